//! A connection within the program: a transport whose far end is a request that is answered over HTTP.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::broker::access::Origin;
use crate::broker::connection::Transport;
use crate::broker::outbox::{Sink, TransportKind};

/// How much may stand in a pipe, in bytes for each direction: what does not fit waits where it is counted.
const ROOM: usize = 64 << 10;

/// Who is at the far end of a transport.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    /// Where it comes from.
    pub(super) origin: Origin,
    /// The name in its certificate, if it has one.
    pub(super) certificate: Option<Arc<str>>,
    /// The same for people.
    pub(super) name: Arc<str>,
}

impl Peer {
    /// At the far end of this one.
    pub(super) fn of(transport: &impl Transport) -> Self {
        Self { origin: transport.origin(), certificate: transport.certificate(), name: transport.peer().into() }
    }
}

/// The broker's end.
pub(super) struct Pipe {
    shared: Arc<Mutex<Inner>>,
    peer: Peer,
}

/// The end of the request. The connection ends when it is dropped.
pub(super) struct FarEnd(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    to_broker: Vec<u8>,
    from_broker: Vec<u8>,
    /// What the far end has said is not the start of a line.
    is_whole: bool,
    /// The far end says no more.
    is_said: bool,
    /// The broker says no more.
    is_told: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
    far: Option<Waker>,
}

/// Both ends of a new pipe.
pub(super) fn pipe(peer: Peer) -> (Pipe, FarEnd) {
    let shared = Arc::new(Mutex::new(Inner { is_whole: true, ..Inner::default() }));
    (Pipe { shared: Arc::clone(&shared), peer }, FarEnd(shared))
}

impl FarEnd {
    /// Says all of this, as it is taken.
    pub(super) async fn say(&self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            poll_fn(|cx| {
                let mut inner = lock(&self.0);
                let part = bytes.len().min(ROOM.saturating_sub(inner.to_broker.len()));
                if inner.is_told {
                    // Nobody takes it any more.
                    bytes = &[];
                    return Poll::Ready(());
                }
                if part == 0 {
                    inner.far = Some(cx.waker().clone());
                    return Poll::Pending;
                }
                inner.to_broker.extend_from_slice(bytes.get(..part).unwrap_or_default());
                inner.is_whole = inner.to_broker.ends_with(b"\n");
                bytes = bytes.get(part..).unwrap_or_default();
                wake(&mut inner.reader);
                Poll::Ready(())
            })
            .await;
        }
    }

    /// Appends what the broker has said to `buffer`. False if it says no more.
    pub(super) async fn hear(&self, buffer: &mut Vec<u8>) -> bool {
        poll_fn(|cx| self.poll_hear(buffer, cx)).await
    }

    fn poll_hear(&self, buffer: &mut Vec<u8>, cx: &Context<'_>) -> Poll<bool> {
        let mut inner = lock(&self.0);
        if !inner.from_broker.is_empty() {
            buffer.append(&mut inner.from_broker);
            wake(&mut inner.writer);
            return Poll::Ready(true);
        }
        if inner.is_told {
            return Poll::Ready(false);
        }
        inner.far = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for FarEnd {
    fn drop(&mut self) {
        let mut inner = lock(&self.0);
        if inner.is_whole && !inner.is_told {
            // A client whose connection just ends may come back: what it has listened to would be remembered for it.
            inner.to_broker.extend_from_slice(b"{\"action\":\"hangup\"}\n");
        }
        inner.is_said = true;
        // The request is over, and nobody hears what is still said.
        inner.from_broker = Vec::new();
        wake(&mut inner.reader);
        wake(&mut inner.writer);
    }
}

impl Sink for Pipe {
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut inner = self.lock();
        if inner.is_said {
            // Nobody hears it, and the connection is yet to take in how the far end left.
            return Ok(slices.iter().map(|slice| slice.len()).sum());
        }
        let mut written = 0;
        for slice in slices {
            let part = slice.len().min(ROOM.saturating_sub(inner.from_broker.len()));
            inner.from_broker.extend_from_slice(slice.get(..part).unwrap_or_default());
            written += part;
        }
        wake(&mut inner.far);
        if written == 0 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(written) }
    }

    fn kind(&self) -> TransportKind {
        TransportKind::Http
    }

    fn peer(&self) -> String {
        format!("{} by HTTP", self.peer.name)
    }
}

impl Transport for Pipe {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut inner = self.lock();
        if !inner.to_broker.is_empty() || inner.is_said {
            return Poll::Ready(Ok(()));
        }
        inner.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut inner = self.lock();
        if inner.from_broker.len() < ROOM || inner.is_said {
            return Poll::Ready(Ok(()));
        }
        inner.writer = Some(cx.waker().clone());
        Poll::Pending
    }

    fn try_read(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        let mut inner = self.lock();
        if inner.to_broker.is_empty() {
            return if inner.is_said { Ok(0) } else { Err(io::ErrorKind::WouldBlock.into()) };
        }
        let part = inner.to_broker.len().min(buffer.capacity() - buffer.len());
        buffer.extend(inner.to_broker.drain(..part));
        wake(&mut inner.far);
        Ok(part)
    }

    fn close(&self) {
        let mut inner = self.lock();
        inner.is_told = true;
        wake(&mut inner.far);
    }

    fn origin(&self) -> Origin {
        self.peer.origin
    }

    fn certificate(&self) -> Option<Arc<str>> {
        self.peer.certificate.clone()
    }
}

impl Pipe {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        lock(&self.shared)
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        self.close();
    }
}

fn lock(inner: &Mutex<Inner>) -> MutexGuard<'_, Inner> {
    // Nothing under this lock can panic half way.
    inner.lock().unwrap_or_else(PoisonError::into_inner)
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}
