//! One connection of the simulated network, with an end for the broker and one for the client.

use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::time::Duration;

use fastrand::Rng;
use msgstream::internal::broker::connection::Transport;
use msgstream::internal::broker::outbox::Sink;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::direction::{Direction, End, Weather};

/// Both directions.
#[derive(Debug)]
struct Both {
    to_broker: Direction,
    to_client: Direction,
    /// Whose writes fail.
    broker_is_cut: bool,
    client_is_cut: bool,
    broker_has_left: bool,
    /// The broker does not learn that the client has left.
    client_is_unheard: bool,
    weather: Weather,
    rng: Rng,
}

/// Learns what is written.
pub(crate) trait Tap: Send + Sync {
    fn wrote(&self, by_broker: bool, bytes: &[u8]);

    /// The broker has read that the client has ended the connection. It may have more to write.
    fn broker_read_end(&self);

    /// The broker has let go of the connection.
    fn broker_left(&self);
}

/// A connection, for the network that it belongs to.
#[derive(Clone)]
pub(crate) struct Wire {
    both: Arc<Mutex<Both>>,
    tap: Arc<dyn Tap>,
}

/// The broker's end.
pub(crate) struct BrokerEnd(Wire);

/// The client's end.
pub(crate) struct ClientEnd(Wire);

impl Wire {
    pub(crate) fn new(weather: Weather, rng: Rng, tap: Arc<dyn Tap>) -> Self {
        let (to_broker, to_client) = (Direction::new(), Direction::new());
        let both = Both {
            to_broker,
            to_client,
            broker_is_cut: false,
            client_is_cut: false,
            broker_has_left: false,
            client_is_unheard: false,
            weather,
            rng,
        };
        Self { both: Arc::new(Mutex::new(both)), tap }
    }

    pub(crate) fn ends(&self) -> (BrokerEnd, ClientEnd) {
        (BrokerEnd(self.clone()), ClientEnd(self.clone()))
    }

    fn lock(&self) -> MutexGuard<'_, Both> {
        self.both.lock().unwrap()
    }

    /// Breaks, and those learn it who are to: the others wait for ever, and what they had sent may still arrive.
    pub(crate) fn break_off(&self, broker_learns: bool, client_learns: bool) {
        let mut both = self.lock();
        let Both { to_broker, to_client, rng, .. } = &mut *both;
        if broker_learns {
            to_broker.reset(rng);
            to_client.is_hole |= !client_learns;
        }
        if client_learns {
            to_client.reset(rng);
        }
        if !broker_learns && !client_learns {
            (to_broker.is_hole, to_client.is_hole) = (true, true);
        }
        both.broker_is_cut |= broker_learns;
        both.client_is_cut |= client_learns;
        both.client_is_unheard |= !broker_learns && both.rng.bool();
        both.to_broker.wake();
        both.to_client.wake();
    }

    /// Nothing arrives for a time.
    pub(crate) fn freeze(&self, at_broker: bool, time: Duration) {
        let mut both = self.lock();
        let direction = if at_broker { &mut both.to_broker } else { &mut both.to_client };
        direction.frozen = Instant::now() + time;
    }
}

impl Both {
    fn write(&mut self, by_broker: bool, slices: &[IoSlice<'_>]) -> io::Result<Vec<u8>> {
        if if by_broker { self.broker_is_cut } else { self.client_is_cut } {
            return Err(ErrorKind::BrokenPipe.into());
        }
        if !by_broker && self.broker_has_left {
            // The system answers for it.
            self.to_client.end = Some((self.to_client.latest, End::Reset));
            self.to_client.wake();
            return Ok(slices.iter().flat_map(|slice| slice.iter().copied()).collect());
        }
        let (weather, rng) = (self.weather, &mut self.rng);
        let direction = if by_broker { &mut self.to_client } else { &mut self.to_broker };
        let mut written = Vec::new();
        for slice in slices {
            let count = direction.write(slice, &weather, rng);
            written.extend_from_slice(&slice[..count]);
            if count < slice.len() {
                break;
            }
        }
        if written.is_empty() { Err(ErrorKind::WouldBlock.into()) } else { Ok(written) }
    }
}

impl Sink for BrokerEnd {
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let written = self.0.lock().write(true, slices)?;
        self.0.tap.wrote(true, &written);
        Ok(written.len())
    }

    fn peer(&self) -> String {
        "simulated".to_owned()
    }
}

impl Transport for BrokerEnd {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.lock().to_broker.poll_readable(cx).map(Ok)
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut both = self.0.lock();
        if both.broker_is_cut || both.to_client.has_room(&both.weather) {
            return Poll::Ready(Ok(()));
        }
        both.to_client.writer = Some(cx.waker().clone());
        Poll::Pending
    }

    fn try_read(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        let read = self.0.lock().to_broker.read(buffer.capacity() - buffer.len());
        if match &read {
            Ok(piece) => piece.is_empty(),
            Err(error) => error.kind() != ErrorKind::WouldBlock,
        } {
            self.0.tap.broker_read_end();
        }
        let piece = read?;
        buffer.extend_from_slice(&piece);
        Ok(piece.len())
    }

    fn close(&self) {
        self.0.lock().to_client.end(End::OfFile);
    }
}

impl Drop for BrokerEnd {
    fn drop(&mut self) {
        let mut both = self.0.lock();
        both.broker_has_left = true;
        // A socket that is closed with unread bytes resets its connection.
        let end = if both.to_broker.pieces.is_empty() { End::OfFile } else { End::Reset };
        both.to_client.end(end);
        drop(both);
        self.0.tap.broker_left();
    }
}

impl AsyncRead for ClientEnd {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut both = self.0.lock();
        std::task::ready!(both.to_client.poll_readable(cx));
        match both.to_client.read(buffer.remaining()) {
            Ok(piece) => {
                buffer.put_slice(&piece);
                Poll::Ready(Ok(()))
            }
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

impl AsyncWrite for ClientEnd {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut both = self.0.lock();
        match both.write(false, &[IoSlice::new(bytes)]) {
            Ok(written) => {
                drop(both);
                self.0.tap.wrote(false, &written);
                Poll::Ready(Ok(written.len()))
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                both.to_broker.writer = Some(cx.waker().clone());
                Poll::Pending
            }
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.lock().to_broker.end(End::OfFile);
        Poll::Ready(Ok(()))
    }
}

impl Drop for ClientEnd {
    fn drop(&mut self) {
        let mut both = self.0.lock();
        let end = if both.to_client.pieces.is_empty() { End::OfFile } else { End::Reset };
        if !both.client_is_unheard {
            both.to_broker.end(end);
        }
    }
}
