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
        if self.latest && matches!(event, Event::Message(_) | Event::Skipped { .. }) {
            waiting.skip();
        }
        let event = match (event, waiting.events.back_mut()) {
            // Both are before the same message.
            (Event::Skipped { messages }, Some(Waits::Event(Event::Skipped { messages: before }))) => {
                *before += messages;
                return true;
            }
            (event, _) => event,
        };
        let cost = event.cost();
        let event = if waiting.bytes + cost > self.limit && !event.is_last() && !waiting.events.is_empty() {
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
        } else {
            waiting.events.push_back(Waits::Position(joined.position));
        }
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
                    let passed = match &event {
                        Event::Message(_) => 1,
                        Event::Skipped { messages } => *messages,
                        _ => 0,
                    };
                    if let Some(position) = &mut waiting.position {
                        position.sequence = position.sequence.saturating_add(passed);
                    }
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
}
