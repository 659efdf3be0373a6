//! What has been framed goes to the socket, and what it does not take is held until it does.

use std::io::{self, IoSlice};
use std::task::Waker;

use crate::broker::connection::Transport;
use crate::broker::outbox::Unsent;

use super::framing::{Framing, Piece, Wrapped};
use super::slices::Rest;

/// About how many bytes one write carries, and the longest piece of a line that is framed at once.
const WRITE: usize = 64 << 10;

/// The same for a peer who wants what is new: what has been framed cannot be replaced by what is newer.
pub(super) const LITTLE: usize = 4 << 10;

/// What is between the outbox and the socket.
pub(super) struct State<F> {
    pub(super) framing: F,
    /// Lines that come before all that the peer says.
    pub(super) first: Vec<u8>,
    /// What has come from the peer already.
    pub(super) early: Vec<u8>,
    /// What has been taken and not sent, from `sent` on.
    pub(super) held: Vec<u8>,
    pub(super) sent: usize,
    /// What is to be answered to the framing's own questions, once nothing is held.
    pub(super) answer: Vec<u8>,
    /// The next piece goes on with a line.
    pub(super) within: bool,
    /// Nothing more is to be read.
    pub(super) is_over: bool,
    pub(super) has_said_end: bool,
    /// How many bytes one write carries.
    pub(super) write: usize,
    /// Others get their turn before the next read: the last took all that there was room for, and what came may have said nothing.
    pub(super) pauses: bool,
    pub(super) reader: Option<Waker>,
}

impl<F: Framing> State<F> {
    /// Of a connection on which nothing has been sent.
    pub(super) fn new(framing: F, first: Vec<u8>, early: Vec<u8>) -> Self {
        Self {
            framing,
            first,
            early,
            held: Vec::new(),
            sent: 0,
            answer: Vec::new(),
            within: false,
            is_over: false,
            has_said_end: false,
            write: WRITE,
            pauses: false,
            reader: None,
        }
    }

    pub(super) fn unsent(&self) -> usize {
        self.held.len() - self.sent
    }

    /// Sends what is held, as far as the socket takes it.
    pub(super) fn send(&mut self, socket: &impl Transport) -> io::Result<Unsent> {
        let mut went = socket.try_flush()?.went;
        while self.unsent() > 0 && !socket.holds() {
            match socket.try_write(&[IoSlice::new(self.held.get(self.sent..).unwrap_or_default())]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => (self.sent, went) = (self.sent + count, went + count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if self.unsent() == 0 {
            (self.held, self.sent) = (Vec::new(), 0);
            self.give_answer(socket)?;
        }
        Ok(Unsent { went, left: self.unsent() + usize::from(socket.holds()) })
    }

    /// Sends the answer that waits, if nothing is before it.
    pub(super) fn give_answer(&mut self, socket: &impl Transport) -> io::Result<()> {
        if self.answer.is_empty() || self.unsent() > 0 || self.has_said_end {
            return Ok(());
        }
        let answer = std::mem::take(&mut self.answer);
        self.write(&answer, socket)
    }

    /// Writes, and holds what the socket does not take. Nothing may be held before.
    pub(super) fn write(&mut self, out: &[u8], socket: &impl Transport) -> io::Result<()> {
        let mut at = 0;
        while at < out.len() && !socket.holds() {
            match socket.try_write(&[IoSlice::new(out.get(at..).unwrap_or_default())]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => at += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.held.extend_from_slice(out.get(at..).unwrap_or_default());
        Ok(())
    }

    /// Frames what fits into one write, from `at` of the slices on. Returns how many bytes of them that is.
    pub(super) fn frame(&mut self, rest: &mut Rest<'_>, out: &mut Vec<u8>) -> usize {
        let mut taken = 0;
        self.framing.wrap(out, Wrapped::Begins);
        while out.len() < self.write {
            let Some((bytes, has_end)) = rest.line() else { break };
            // A line that does not fit is begun in a write of its own, so that its start is one piece.
            if taken > 0 && out.len() + bytes.len() > WRITE {
                break;
            }
            let bytes = bytes.get(..WRITE).unwrap_or(bytes);
            let ends = has_end && rest.ends_with(bytes);
            let goes_on = self.framing.frame(Piece { bytes, starts: !self.within, ends }, out);
            if !goes_on {
                self.is_over = true;
                self.wake();
            }
            self.within = !ends;
            let count = bytes.len() + usize::from(ends);
            rest.advance(count);
            taken += count;
        }
        self.framing.wrap(out, Wrapped::Ends);
        taken
    }

    pub(super) fn wake(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}
