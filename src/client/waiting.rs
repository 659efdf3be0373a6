//! The events of one stream that wait for a listener. Pure.

use std::collections::VecDeque;

use crate::wire::Position;
use crate::wire::subscriber::{Event, Joined};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    events: VecDeque<Waits>,
    bytes: usize,
    /// Where the listener is, behind the events that it has taken.
    position: Option<Position>,
    /// Where it will be behind all that waits.
    behind: Option<Position>,
}

/// What waits in its place.
#[derive(Debug)]
pub(crate) enum Waits {
    Event(Event),
    /// The stream stood so when it was joined, and from here on is counted.
    Joined(Joined),
    /// The broker has forgotten the stream without a word, as it had neither a header nor an end.
    Forgotten,
}

impl Waiting {
    /// Takes account of an event that comes next. With `latest` it replaces the message that waits. Returns what is to be queued; nothing if
    /// it has become a part of what waits.
    pub(super) fn meet(&mut self, event: Event, latest: bool) -> Option<Event> {
        if latest && is_newest(&event) {
            self.skip();
        }
        self.behind = passed(self.behind, &event);
        match (event, self.events.back_mut()) {
            // Both are before the same message.
            (Event::Skipped { messages }, Some(Waits::Event(Event::Skipped { messages: before }))) => {
                *before = before.saturating_add(messages);
                None
            }
            (event, _) => Some(event),
        }
    }

    /// Queues an event that was met.
    pub(super) fn push(&mut self, event: Event) {
        self.bytes += event.cost();
        self.events.push_back(Waits::Event(event));
    }

    /// The stream was joined, or joined again. One that goes on where it was is told nothing.
    pub(super) fn join(&mut self, joined: Joined, is_told: bool) {
        if self.behind != joined.position || joined.position.is_none() {
            if self.events.is_empty() && !is_told {
                self.position = joined.position;
            } else {
                self.bytes += WORD;
                self.events.push_back(Waits::Joined(joined));
            }
        }
        self.behind = joined.position;
    }

    /// The broker has forgotten the stream.
    pub(super) fn forget(&mut self) {
        self.bytes += WORD;
        self.behind = None;
        self.events.push_back(Waits::Forgotten);
    }

    /// Takes what comes first.
    pub(super) fn pop(&mut self) -> Option<Waits> {
        let first = self.events.pop_front()?;
        match &first {
            Waits::Joined(joined) => {
                self.bytes = self.bytes.saturating_sub(WORD);
                self.position = joined.position;
            }
            Waits::Forgotten => {
                self.bytes = self.bytes.saturating_sub(WORD);
                self.position = None;
            }
            Waits::Event(event) => {
                self.bytes = self.bytes.saturating_sub(event.cost());
                self.position = passed(self.position, event);
            }
        }
        Some(first)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// About what it takes in memory, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Where the listener is.
    pub(super) fn position(&self) -> Option<Position> {
        self.position
    }

    /// What has been taken is of a run that is over.
    pub(super) fn begin_anew(&mut self) {
        self.position = None;
    }

    /// If what waits last is a message, it counts as skipped from now on.
    fn skip(&mut self) {
        if !matches!(self.events.back(), Some(Waits::Event(Event::Message(_)))) {
            return;
        }
        let Some(Waits::Event(message)) = self.events.pop_back() else { return };
        self.bytes = self.bytes.saturating_sub(message.cost());
        match self.events.back_mut() {
            Some(Waits::Event(Event::Skipped { messages })) => *messages = messages.saturating_add(1),
            _ => self.push(Event::Skipped { messages: 1 }),
        }
    }
}

/// What a word that is no event takes in memory, in bytes.
const WORD: usize = size_of::<Waits>();

/// Whether it is of the messages that are replaced by the newest.
pub(super) fn is_newest(event: &Event) -> bool {
    matches!(event, Event::Message(_) | Event::Skipped { .. })
}

/// Where a listener is behind an event.
fn passed(position: Option<Position>, event: &Event) -> Option<Position> {
    position.map(|position| Position { sequence: position.sequence.saturating_add(event.passes()), ..position })
}
