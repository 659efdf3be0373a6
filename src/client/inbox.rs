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

impl Inbox {
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, waiting: Mutex::default() })
    }

    /// Queues an event. False if nothing more is taken: this or an earlier one was the last.
    pub(super) fn push(&self, event: Event) -> bool {
        let mut waiting = self.lock();
        if waiting.ended {
            return false;
        }
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
                    if let (Event::Message(_), Some(position)) = (&event, &mut waiting.position) {
                        position.sequence += 1;
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
