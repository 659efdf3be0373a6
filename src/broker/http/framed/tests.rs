use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Wake, Waker};

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
