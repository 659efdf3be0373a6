//! A transport over another one, on which lines travel in frames: as text messages of a WebSocket, or as server-sent events.
//!
//! To the connection it is a socket like any other. What a frame looks like is the [`Framing`]'s business; `sending` has what was taken of
//! the outbox and not sent.

mod framing;
mod sending;
mod slices;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use crate::broker::access::Origin;
use crate::broker::connection::Transport;
use crate::broker::outbox::{Sink, TransportKind, Unsent};

pub(super) use framing::{Came, Framing, Piece, Wrapped};
use sending::{LITTLE, State};
use slices::Rest;

/// What is read from the socket at once, in bytes.
const READ: usize = 64 << 10;

thread_local! {
    /// Bytes on their way from the socket and to it.
    static BLOCKS: RefCell<(Vec<u8>, Vec<u8>)> = const { RefCell::new((Vec::new(), Vec::new())) };
}

/// See the module.
///
/// What it has taken from the outbox and not sent is what one write carries, 64 KiB and a little: it takes no more until the socket has
/// taken that. So what waits, waits in the outbox, where it is counted.
pub(super) struct Framed<T, F> {
    socket: T,
    state: Mutex<State<F>>,
}

impl<T: Transport, F: Framing> Framed<T, F> {
    /// Over a socket on which `early` has come already. `first` are the lines that count as said before it.
    pub(super) fn new(socket: T, framing: F, first: Vec<u8>, early: Vec<u8>) -> Self {
        Self { socket, state: Mutex::new(State::new(framing, first, early)) }
    }

    /// Shows the peer, and whatever is between, that the connection is alive. False once it is not.
    pub(super) fn beat(&self) -> bool {
        let mut state = self.lock();
        // What waits to be sent shows it as well, or will.
        if state.unsent() == 0 && !state.within && !state.has_said_end {
            let mut out = Vec::new();
            state.framing.wrap(&mut out, Wrapped::Begins);
            state.framing.beat(&mut out);
            state.framing.wrap(&mut out, Wrapped::Ends);
            return state.write(&out, &self.socket).is_ok();
        }
        !state.has_said_end
    }

    fn lock(&self) -> MutexGuard<'_, State<F>> {
        // A panic under the lock ends this connection, or the broker.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Transport, F: Framing> Sink for Framed<T, F> {
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut state = self.lock();
        if state.send(&self.socket)?.left > 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        BLOCKS.with_borrow_mut(|(_, out)| {
            let mut rest = Rest::new(slices);
            let mut total = 0;
            while state.unsent() == 0 && !self.socket.holds() {
                out.clear();
                let taken = state.frame(&mut rest, out);
                if taken == 0 {
                    break;
                }
                total += taken;
                state.write(out, &self.socket)?;
            }
            Ok(total)
        })
    }

    fn is_ready(&self) -> bool {
        !self.holds()
    }

    fn may_hold(&self) -> bool {
        true
    }

    fn holds(&self) -> bool {
        self.lock().unsent() > 0 || self.socket.holds()
    }

    fn try_flush(&self) -> io::Result<Unsent> {
        self.lock().send(&self.socket)
    }

    fn hold_little(&self) {
        self.lock().write = LITTLE;
        self.socket.hold_little();
    }

    fn kind(&self) -> TransportKind {
        F::KIND
    }

    fn peer(&self) -> String {
        self.socket.peer()
    }
}

impl<T: Transport, F: Framing> Transport for Framed<T, F> {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.lock();
        if std::mem::take(&mut state.pauses) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        // What no write of the outbox will take along, such as an answer: whoever waits to read also waits to send that, be it here or in
        // the socket, which may have taken it and not sent it.
        while state.unsent() > 0 || self.socket.holds() {
            match self.socket.poll_writable(cx) {
                Poll::Ready(Ok(())) => drop(state.send(&self.socket)?),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => break,
            }
        }
        if !state.has_said_end && (state.is_over || !state.first.is_empty() || !state.early.is_empty()) {
            return Poll::Ready(Ok(()));
        }
        if state.reader.as_ref().is_none_or(|reader| !reader.will_wake(cx.waker())) {
            state.reader = Some(cx.waker().clone());
        }
        self.socket.poll_readable(cx)
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_writable(cx)
    }

    fn try_read(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        let mut state = self.lock();
        if state.has_said_end {
            // It is read only to be dropped, until the peer has ended as well.
            return self.socket.try_read(buffer);
        }
        // A line's end may be one byte more than has come.
        let (before, room) = (buffer.len(), (buffer.capacity() - buffer.len()).saturating_sub(1).max(1));
        if !state.first.is_empty() {
            let part = room.min(state.first.len());
            buffer.extend(state.first.drain(..part));
            state.first.shrink_to_fit();
            return Ok(part);
        }
        if state.is_over {
            return Ok(0);
        }
        BLOCKS.with_borrow_mut(|(block, _)| {
            block.clear();
            if state.early.is_empty() {
                block.reserve_exact(READ);
                // No more than there is room for: what is read is not kept.
                let most = block.capacity().min(room);
                let count = if block.capacity() <= room { self.socket.try_read(block)? } else { read_part(&self.socket, block, room)? };
                if count == 0 {
                    state.is_over = true;
                    return Ok(0);
                }
                state.pauses = count == most;
            } else {
                let part = room.min(state.early.len());
                block.extend(state.early.drain(..part));
                state.early.shrink_to_fit();
            }
            let State { framing, answer, .. } = &mut *state;
            let came = framing.unframe(block, buffer, answer);
            state.give_answer(&self.socket)?;
            match came {
                Came::Open => {}
                Came::End => state.is_over = true,
            }
            match buffer.len() - before {
                0 if state.is_over => Ok(0),
                0 => Err(io::ErrorKind::WouldBlock.into()),
                count => Ok(count),
            }
        })
    }

    fn close(&self) {
        let mut state = self.lock();
        if !state.has_said_end {
            state.has_said_end = true;
            let mut out = Vec::new();
            state.framing.end(&mut out);
            state.held.extend_from_slice(&out);
        }
        match state.send(&self.socket) {
            // The end of the socket would overtake what it has not taken.
            Ok(unsent) if unsent.left > 0 => return,
            Ok(_) => {}
            // The peer is gone already.
            Err(_) => (state.held, state.sent) = (Vec::new(), 0),
        }
        self.socket.close();
    }

    fn is_closed(&self) -> bool {
        !self.holds() && self.socket.is_closed()
    }

    fn origin(&self) -> Origin {
        self.socket.origin()
    }

    fn certificate(&self) -> Option<Arc<str>> {
        self.socket.certificate()
    }
}

/// Reads up to `most` bytes where there would be room for more.
fn read_part(socket: &impl Transport, block: &mut Vec<u8>, most: usize) -> io::Result<usize> {
    let mut part = Vec::with_capacity(most);
    let count = socket.try_read(&mut part)?;
    block.append(&mut part);
    Ok(count)
}
