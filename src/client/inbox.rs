//! What waits for one listener.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::wire::Position;
use crate::wire::subscriber::{Event, Joined, Reason};
use crate::wire::units::ByteSize;

use super::waiting::{Waiting, Waits, is_newest};

/// The queue between the connection, which fills it, and the listener.
#[derive(Debug)]
pub(super) struct Inbox {
    /// The most that may wait, in bytes.
    limit: usize,
    /// Only the newest message is wanted: it replaces the one that waits.
    latest: bool,
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: Waiting,
    /// The broker's first answer to the listener; none until that has come.
    joined: Option<Joined>,
    /// The last event is in the queue, or was.
    ended: bool,
    waker: Option<Waker>,
}

impl Inbox {
    pub(super) fn new(ByteSize(limit): ByteSize, latest: bool) -> Arc<Self> {
        Arc::new(Self { limit, latest, queue: Mutex::default() })
    }

    /// Queues an event. False if nothing more is taken: this or an earlier one was the last.
    pub(super) fn push(&self, event: Event) -> bool {
        let mut queue = self.lock();
        if queue.ended {
            return false;
        }
        let Some(event) = queue.waiting.meet(event, self.latest) else { return true };
        // The newest message always has room, with what tells how many it has replaced.
        let is_free = event.is_last() || self.latest && is_newest(&event) || queue.waiting.is_empty();
        let has_room = is_free || queue.waiting.bytes() + event.cost() <= self.limit;
        let event = if has_room { event } else { Event::CutOff(too_slow(self.limit)) };
        queue.ended = event.is_last();
        queue.waiting.push(event);
        let (goes_on, waker) = (!queue.ended, queue.waker.take());
        drop(queue);
        if let Some(waker) = waker {
            waker.wake();
        }
        goes_on
    }

    /// The broker has said how the stream stands, and where the listener begins, or goes on.
    pub(super) fn join(&self, joined: Joined) {
        let mut queue = self.lock();
        queue.joined.get_or_insert(joined);
        queue.waiting.join(joined, false);
        if let Some(waker) = queue.waker.take() {
            waker.wake();
        }
    }

    /// The next event; none after the last.
    pub(super) fn poll_next(&self, cx: &Context<'_>) -> Poll<Option<Event>> {
        let mut queue = self.lock();
        while let Some(first) = queue.waiting.pop() {
            if let Waits::Event(event) = first {
                return Poll::Ready(Some(event));
            }
        }
        if queue.ended {
            return Poll::Ready(None);
        }
        queue.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Where the listener is.
    pub(super) fn position(&self) -> Option<Position> {
        self.lock().waiting.position()
    }

    /// The broker's answer; none if the listener was refused.
    pub(super) fn poll_joined(&self, cx: &Context<'_>) -> Poll<Option<Joined>> {
        let mut queue = self.lock();
        if queue.joined.is_some() || queue.ended {
            return Poll::Ready(queue.joined);
        }
        queue.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing under this lock can panic half way.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a listener is cut off that does not read.
pub(super) fn too_slow(limit: usize) -> Reason {
    let reason = format!("more than {limit} bytes waited for this listener in its own program (Options::listener_queue); read faster");
    Reason { code: "slow_listener".to_owned(), reason }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;
    use crate::job::content::Content;
    use crate::wire::{Epoch, StreamState};

    #[test]
    fn the_newest_message_replaces_the_one_that_waits_and_is_never_too_much() {
        let inbox = Inbox::new(ByteSize(1000), true);
        let message = |number: u32| Event::Message(Content::from_json(&number.to_string()).unwrap());
        assert!(inbox.push(Event::Header(Content::from_json("0").unwrap())));
        for number in 1..=100 {
            assert!(inbox.push(message(number)));
            assert!(inbox.push(Event::Skipped { messages: 2 }));
        }
        assert!(inbox.push(message(101)));
        assert!(!inbox.push(Event::Ended { message: None }));
        let mut seen = Vec::new();
        while let Poll::Ready(Some(event)) = inbox.poll_next(&Context::from_waker(Waker::noop())) {
            seen.push(event);
        }
        let header = Event::Header(Content::from_json("0").unwrap());
        assert_eq!(seen, [header, Event::Skipped { messages: 300 }, message(101), Event::Ended { message: None }]);
        assert_eq!(inbox.lock().waiting.bytes(), 0);
    }

    fn joined(sequence: u64) -> Joined {
        Joined { resumed: true, position: Some(at(sequence)), ..Joined::new(StreamState::Running) }
    }

    fn at(sequence: u64) -> Position {
        Position { epoch: Epoch::new(1), sequence }
    }

    // Seen to fail: a connection that was lost left a message behind each time, until there were too many.
    #[test]
    fn one_that_comes_back_to_where_it_was_still_has_only_the_newest() {
        let inbox = Inbox::new(ByteSize(1000), true);
        inbox.join(joined(0));
        for number in 1..=100 {
            assert!(inbox.push(Event::Message(Content::from_json(&number.to_string()).unwrap())));
            inbox.join(joined(number));
        }
        let cx = Context::from_waker(Waker::noop());
        assert_eq!(inbox.poll_next(&cx), Poll::Ready(Some(Event::Skipped { messages: 99 })));
        assert_eq!(inbox.position(), Some(at(99)));
        assert_eq!(inbox.poll_next(&cx), Poll::Ready(Some(Event::Message(Content::from_json("100").unwrap()))));
        assert_eq!(inbox.position(), Some(at(100)));
    }

    // Seen to fail: with what tells how many were skipped, the message was too much.
    #[test]
    fn the_newest_message_alone_has_room_however_large_it_is() {
        let inbox = Inbox::new(ByteSize(100), true);
        let large = || Event::Message(Content::from_json(&format!("\"{}\"", "x".repeat(500))).unwrap());
        assert!(inbox.push(large()));
        assert!(inbox.push(large()));
        let cx = Context::from_waker(Waker::noop());
        assert_eq!(inbox.poll_next(&cx), Poll::Ready(Some(Event::Skipped { messages: 1 })));
        assert_eq!(inbox.poll_next(&cx), Poll::Ready(Some(large())));
    }
}
