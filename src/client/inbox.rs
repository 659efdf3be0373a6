//! What waits for one listener.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::wire::Position;
use crate::wire::subscriber::{Event, Joined, Reason};

/// The queue between the connection, which fills it, and the listener.
#[derive(Debug)]
pub(super) struct Inbox {
    /// The most that may wait, in bytes.
    limit: usize,
    /// Only the newest message is wanted: it replaces the one that waits.
    latest: bool,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    events: VecDeque<Waits>,
    bytes: usize,
    /// The broker's first answer to the listener; none until that has come.
    joined: Option<Joined>,
    /// Where the listener is, behind the events that it has taken.
    position: Option<Position>,
    /// Where it will be behind all that waits.
    behind: Option<Position>,
    /// The last event is in the queue, or was.
    ended: bool,
    waker: Option<Waker>,
}

#[derive(Debug)]
enum Waits {
    Event(Event),
    /// From here on is counted.
    Position(Option<Position>),
}

impl Waiting {
    /// If what waits last is a message, it counts as skipped from now on.
    fn skip(&mut self) {
        if !matches!(self.events.back(), Some(Waits::Event(Event::Message(_)))) {
            return;
        }
        let Some(Waits::Event(message)) = self.events.pop_back() else { return };
        self.bytes = self.bytes.saturating_sub(message.cost());
        match self.events.back_mut() {
            Some(Waits::Event(Event::Skipped { messages })) => *messages += 1,
            _ => {
                let skipped = Event::Skipped { messages: 1 };
                self.bytes += skipped.cost();
                self.events.push_back(Waits::Event(skipped));
            }
        }
    }
}

/// Where a listener is behind an event.
fn passed(position: Option<Position>, event: &Event) -> Option<Position> {
    position.map(|position| Position { sequence: position.sequence.saturating_add(event.passes()), ..position })
}

impl Inbox {
    pub(super) fn new(limit: usize, latest: bool) -> Arc<Self> {
        Arc::new(Self { limit, latest, waiting: Mutex::default() })
    }

    /// Queues an event. False if nothing more is taken: this or an earlier one was the last.
    pub(super) fn push(&self, event: Event) -> bool {
        let mut waiting = self.lock();
        if waiting.ended {
            return false;
        }
        let is_newest = self.latest && matches!(event, Event::Message(_) | Event::Skipped { .. });
        if is_newest {
            waiting.skip();
        }
        waiting.behind = passed(waiting.behind, &event);
        if let (Event::Skipped { messages }, Some(Waits::Event(Event::Skipped { messages: before }))) = (&event, waiting.events.back_mut())
        {
            // Both are before the same message.
            *before += messages;
            return true;
        }
        let cost = event.cost();
        // The newest message alone always has room, with what tells how many it has replaced.
        let has_room = waiting.bytes + cost <= self.limit || waiting.events.is_empty() || is_newest || event.is_last();
        let event = if !has_room {
            let limit = self.limit;
            let reason =
                format!("more than {limit} bytes waited for this listener in its own program (Options::listener_queue); read faster");
            Event::CutOff(Reason { code: "slow_listener".to_owned(), reason })
        } else {
            event
        };
        waiting.bytes += cost;
        waiting.ended = event.is_last();
        waiting.events.push_back(Waits::Event(event));
        let (goes_on, waker) = (!waiting.ended, waiting.waker.take());
        drop(waiting);
        if let Some(waker) = waker {
            waker.wake();
        }
        goes_on
    }

    /// The broker has said how the stream stands, and where the listener begins, or goes on.
    pub(super) fn join(&self, joined: Joined) {
        let mut waiting = self.lock();
        waiting.joined.get_or_insert(joined);
        if waiting.events.is_empty() {
            waiting.position = joined.position;
        } else if waiting.behind != joined.position {
            waiting.events.push_back(Waits::Position(joined.position));
        }
        waiting.behind = joined.position;
        if let Some(waker) = waiting.waker.take() {
            waker.wake();
        }
    }

    /// The next event; none after the last.
    pub(super) fn poll_next(&self, cx: &Context<'_>) -> Poll<Option<Event>> {
        let mut waiting = self.lock();
        while let Some(first) = waiting.events.pop_front() {
            match first {
                Waits::Position(position) => waiting.position = position,
                Waits::Event(event) => {
                    waiting.bytes = waiting.bytes.saturating_sub(event.cost());
                    waiting.position = passed(waiting.position, &event);
                    return Poll::Ready(Some(event));
                }
            }
        }
        if waiting.ended {
            return Poll::Ready(None);
        }
        waiting.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Where the listener is.
    pub(super) fn position(&self) -> Option<Position> {
        self.lock().position
    }

    /// The broker's answer; none if the listener was refused.
    pub(super) fn poll_joined(&self, cx: &Context<'_>) -> Poll<Option<Joined>> {
        let mut waiting = self.lock();
        if waiting.joined.is_some() || waiting.ended {
            return Poll::Ready(waiting.joined);
        }
        waiting.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing under this lock can panic half way.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;
    use crate::job::content::Content;
    use crate::wire::{Epoch, StreamState};

    #[test]
    fn the_newest_message_replaces_the_one_that_waits_and_is_never_too_much() {
        let inbox = Inbox::new(1000, true);
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
        assert_eq!(inbox.lock().bytes, 0);
    }

    fn joined(sequence: u64) -> Joined {
        Joined { state: StreamState::Running, age: None, resumed: true, missed: None, position: Some(at(sequence)) }
    }

    fn at(sequence: u64) -> Position {
        Position { epoch: Epoch::new(1), sequence }
    }

    // Seen to fail: a connection that was lost left a message behind each time, until there were too many.
    #[test]
    fn one_that_comes_back_to_where_it_was_still_has_only_the_newest() {
        let inbox = Inbox::new(1000, true);
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
        let inbox = Inbox::new(100, true);
        let large = || Event::Message(Content::from_json(&format!("\"{}\"", "x".repeat(500))).unwrap());
        assert!(inbox.push(large()));
        assert!(inbox.push(large()));
        let cx = Context::from_waker(Waker::noop());
        assert_eq!(inbox.poll_next(&cx), Poll::Ready(Some(Event::Skipped { messages: 1 })));
        assert_eq!(inbox.poll_next(&cx), Poll::Ready(Some(large())));
    }
}
