//! A transport over another one, on which lines travel in frames: as text messages of a WebSocket, or as server-sent events.
//!
//! To the connection it is a socket like any other. What a frame looks like is the [`Framing`]'s business.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::broker::access::Origin;
use crate::broker::connection::Transport;
use crate::broker::outbox::{Sink, TransportKind, Unsent};

use super::slices::Rest;

/// About how many bytes one write carries, and the longest piece of a line that is framed at once.
const WRITE: usize = 64 << 10;

/// The same for a peer who wants what is new: what has been framed cannot be replaced by what is newer.
const LITTLE: usize = 4 << 10;

/// What is read from the socket at once, in bytes.
const READ: usize = 64 << 10;

thread_local! {
    /// Bytes on their way from the socket and to it.
    static BLOCKS: RefCell<(Vec<u8>, Vec<u8>)> = const { RefCell::new((Vec::new(), Vec::new())) };
}

/// A piece of a line. Most lines are one piece.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece<'a> {
    /// Its bytes, without the LF.
    pub(super) bytes: &'a [u8],
    /// The line begins with it.
    pub(super) starts: bool,
    /// The line ends with it.
    pub(super) ends: bool,
}

/// What has come from the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Came {
    /// It may say more.
    Open,
    /// It says no more, or does not keep to the rules: nothing more is taken from it.
    End,
}

/// How lines travel.
pub(super) trait Framing: Send + Unpin + 'static {
    /// What it makes of a socket.
    const KIND: TransportKind;

    /// Appends a piece of a line that is sent to the peer. False if nothing of interest comes after it.
    fn frame(&mut self, piece: Piece<'_>, out: &mut Vec<u8>) -> bool;

    /// Appends the lines in what has come from the peer: at most as many bytes as have come, and one. What is to be answered takes the
    /// place of what `answer` has, which could not be sent yet: so there is never more than one answer.
    fn unframe(&mut self, came: &mut [u8], lines: &mut Vec<u8>, answer: &mut Vec<u8>) -> Came;

    /// Called with the length of `out` before pieces were framed into it, and after.
    fn wrap(&mut self, out: &mut Vec<u8>, wrapped: Wrapped);

    /// Appends what shows that the connection is alive.
    fn beat(&mut self, out: &mut Vec<u8>);

    /// Appends what says that nothing more comes.
    fn end(&mut self, out: &mut Vec<u8>);
}

/// Where one write begins and ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrapped {
    /// Nothing has been framed for it.
    Begins,
    /// All of it has.
    Ends,
}

/// See the module.
///
/// What it has taken from the outbox and not sent is what one write carries, 64 KiB and a little: it takes no more until the socket has
/// taken that. So what waits, waits in the outbox, where it is counted.
pub(super) struct Framed<T, F> {
    socket: T,
    state: Mutex<State<F>>,
}

struct State<F> {
    framing: F,
    /// Lines that come before all that the peer says.
    first: Vec<u8>,
    /// What has come from the peer already.
    early: Vec<u8>,
    /// What has been taken and not sent, from `sent` on.
    held: Vec<u8>,
    sent: usize,
    /// What is to be answered to the framing's own questions, once nothing is held.
    answer: Vec<u8>,
    /// The next piece goes on with a line.
    within: bool,
    /// Nothing more is to be read.
    is_over: bool,
    has_said_end: bool,
    /// How many bytes one write carries.
    write: usize,
    /// Others get their turn before the next read: the last took all that there was room for, and what came may have said nothing.
    pauses: bool,
    reader: Option<Waker>,
}

impl<T: Transport, F: Framing> Framed<T, F> {
    /// Over a socket on which `early` has come already. `first` are the lines that count as said before it.
    pub(super) fn new(socket: T, framing: F, first: Vec<u8>, early: Vec<u8>) -> Self {
        let state = State {
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
        };
        Self { socket, state: Mutex::new(state) }
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

impl<F: Framing> State<F> {
    fn unsent(&self) -> usize {
        self.held.len() - self.sent
    }

    /// Sends what is held, as far as the socket takes it.
    fn send(&mut self, socket: &impl Transport) -> io::Result<Unsent> {
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
    fn give_answer(&mut self, socket: &impl Transport) -> io::Result<()> {
        if self.answer.is_empty() || self.unsent() > 0 || self.has_said_end {
            return Ok(());
        }
        let answer = std::mem::take(&mut self.answer);
        self.write(&answer, socket)
    }

    /// Writes, and holds what the socket does not take. Nothing may be held before.
    fn write(&mut self, out: &[u8], socket: &impl Transport) -> io::Result<()> {
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
    fn frame(&mut self, rest: &mut Rest<'_>, out: &mut Vec<u8>) -> usize {
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

    fn wake(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;
    use crate::broker::http::websocket::TextMessages;

    /// A socket from which the same bytes come without end.
    #[derive(Default)]
    struct Fake {
        comes: &'static [u8],
        /// It takes everything, and sends nothing of it.
        holds: AtomicBool,
        /// It takes nothing, and then the peer is gone.
        is_full: AtomicBool,
        is_gone: AtomicBool,
        /// How often somebody has waited for room.
        awaits_room: AtomicUsize,
    }

    impl Sink for Fake {
        fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
            if self.is_gone.load(Ordering::Relaxed) {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            if self.is_full.load(Ordering::Relaxed) {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            Ok(slices.iter().map(|slice| slice.len()).sum())
        }

        fn holds(&self) -> bool {
            self.holds.load(Ordering::Relaxed)
        }

        fn peer(&self) -> String {
            String::new()
        }
    }

    impl Transport for Fake {
        fn poll_readable(&self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            if self.comes.is_empty() { Poll::Pending } else { Poll::Ready(Ok(())) }
        }

        fn poll_writable(&self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.awaits_room.fetch_add(1, Ordering::Relaxed);
            if self.is_gone.load(Ordering::Relaxed) { Poll::Ready(Ok(())) } else { Poll::Pending }
        }

        fn try_read(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
            let room = buffer.capacity() - buffer.len();
            buffer.extend(self.comes.iter().cycle().take(room));
            Ok(room)
        }

        fn close(&self) {}
    }

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn framed(socket: Fake) -> Framed<Fake, TextMessages> {
        Framed::new(socket, TextMessages::default(), Vec::new(), Vec::new())
    }

    // Seen to fail: a client that sends nothing but pongs was read from until the runtime stepped in, and nobody else had a turn.
    #[test]
    fn who_sends_much_that_says_nothing_lets_others_have_their_turn() {
        let framed = framed(Fake { comes: b"\x8a\x82\0\0\0\0ok", ..Fake::default() });
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let cx = &mut Context::from_waker(&waker);
        for turns in 0..3 {
            assert!(framed.poll_readable(cx).is_ready());
            let read = framed.try_read(&mut Vec::with_capacity(128 << 10));
            assert_eq!(read.map_err(|error| error.kind()), Err(io::ErrorKind::WouldBlock));
            assert!(framed.poll_readable(cx).is_pending(), "others first");
            assert_eq!(woken.0.load(Ordering::Relaxed), turns + 1, "and then it goes on");
        }
    }

    // Seen to fail: a pong that an encrypted socket had taken and could not send waited until something else happened.
    #[test]
    fn what_the_socket_itself_holds_is_waited_for() {
        let framed = framed(Fake { holds: true.into(), ..Fake::default() });
        let cx = &mut Context::from_waker(Waker::noop());
        assert!(framed.poll_readable(cx).is_pending());
        assert_eq!(framed.socket.awaits_room.load(Ordering::Relaxed), 1);
    }

    // Seen to fail: the task of a peer that was gone turned in a circle for a second.
    #[test]
    fn an_end_that_cannot_be_sent_any_more_is_said() {
        let framed = framed(Fake { is_full: true.into(), ..Fake::default() });
        framed.close();
        assert!(!framed.is_closed(), "it waits to be sent");
        framed.socket.is_gone.store(true, Ordering::Relaxed);
        framed.close();
        assert!(framed.is_closed());
    }
}
