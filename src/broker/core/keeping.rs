//! What is stored of streams, the memory that it takes, and when it is forgotten.

use std::time::Duration;

use crate::wire::ids::StreamName;
use crate::wire::{Frame, Gauge};

use super::budget::{Budget, FORGET};
use super::input::Extra;
use super::machine::{Core, Refused};
use super::stream::{ENDED, Ended, Stream, place};
use super::table::Named;

impl Core {
    /// Moves the clock. `now` counts from any fixed moment and never goes back.
    pub fn set_time(&mut self, now: Duration) {
        self.now = self.now.max(now);
    }

    /// Whether there are streams whose time is over and that are not forgotten yet. Clients cannot see the difference.
    pub fn has_forgettable(&self) -> bool {
        self.ended.first().is_some_and(|(forget_at, _)| *forget_at <= self.now)
    }

    /// Forgets the streams whose time is over, as many as the budget allows.
    pub fn forget(&mut self, budget: &mut Budget) {
        while !budget.is_spent() && self.forget_first() {
            budget.spend(FORGET);
        }
    }

    /// Forgets the stream that has been over for longest. False if there is none.
    fn forget_first(&mut self) -> bool {
        if !self.has_forgettable() {
            return false;
        }
        if let Some((_, name)) = self.ended.first().cloned() {
            self.remove(&name);
        }
        true
    }

    /// Forgets the stream if its time is over.
    pub(super) fn forget_if_over(&mut self, name: &StreamName) {
        let over = |stream: &Stream| stream.ended.as_ref().is_some_and(|ended| ended.forget_at <= self.now);
        if !self.ended.is_empty() && self.streams.get(name).is_some_and(over) {
            self.remove(name);
        }
    }

    /// The stream of this name, made if there is none yet.
    pub(super) fn stream(&mut self, name: &StreamName) -> &mut Named {
        let (named, made) = self.streams.get_or_insert(name);
        if made {
            self.stored += place(name);
        }
        named
    }

    /// Takes a stream out of the table, if it is there, with all that is kept of it.
    pub(super) fn remove(&mut self, name: &StreamName) {
        self.reopen(name);
        if let Some(stream) = self.streams.remove(name) {
            debug_assert!(stream.listeners.is_empty(), "{name:?} is forgotten while it is listened to");
            self.stored -= place(name);
            if let Some(header) = stream.header {
                self.let_go(&header);
            }
        }
    }

    /// Stores a header in place of the one before; reopens the stream if it has ended.
    pub(super) fn store_header(&mut self, name: &StreamName, header: Frame) -> Result<(), Refused> {
        self.forget_if_over(name);
        let stream = self.streams.get(name);
        let (known, before) = (stream.is_some(), header_cost(stream));
        self.room_for_stream(known)?;
        self.room_to_keep(name, known, header.cost().saturating_sub(before))?;
        self.reopen(name);
        self.stored += header.cost();
        header.store(&self.queues);
        if let Some(before) = self.stream(name).stream.header.replace(header) {
            self.let_go(&before);
        }
        Ok(())
    }

    /// Whether each of these headers could be stored in turn.
    pub(super) fn has_room_for(&mut self, name: &StreamName, extras: &[Extra]) -> bool {
        let largest = extras.iter().filter_map(|extra| extra.header.as_ref()).map(Frame::cost).max();
        let stream = self.streams.get(name);
        let (known, before) = (stream.is_some(), header_cost(stream));
        largest.is_none_or(|largest| {
            self.room_for_stream(known).is_ok() && self.room_to_keep(name, known, largest.saturating_sub(before)).is_ok()
        })
    }

    /// Stores the end of a stream that has none yet.
    pub(super) fn keep_end(&mut self, name: &StreamName, ended: Ended) {
        self.stored += ENDED;
        if let Some(last) = &ended.last {
            self.stored += last.cost();
            last.store(&self.queues);
        }
        let forget_at = ended.forget_at;
        let named = self.stream(name);
        named.stream.ended = Some(Box::new(ended));
        let name = named.name.clone();
        self.ended.insert((forget_at, name));
    }

    /// Takes back the end of a stream, if it has ended.
    pub(super) fn reopen(&mut self, name: &StreamName) {
        if self.ended.is_empty() {
            return;
        }
        let Some(ended) = self.streams.get_mut(name).and_then(|stream| stream.ended.take()) else { return };
        self.ended.remove(&(ended.forget_at, name.clone()));
        self.stored -= ENDED;
        if let Some(last) = ended.last {
            self.let_go(&last);
        }
    }

    /// Whether there may be a stream that is `known`, or one more.
    pub(super) fn room_for_stream(&mut self, known: bool) -> Result<(), Refused> {
        if known {
            return Ok(());
        }
        // Streams that are over and not forgotten yet take no room from others.
        while self.streams.len() >= self.limits.streams && self.forget_first() {}
        if self.streams.len() < self.limits.streams {
            return Ok(());
        }
        let most = self.limits.streams;
        Err(Refused(format!("there are {most} streams, the most allowed (limits.streams); delete or close some, or raise the limit")))
    }

    /// Whether there is room to keep `more` bytes of a stream, and its name unless it is `known`.
    pub(super) fn room_to_keep(&mut self, name: &StreamName, known: bool, more: usize) -> Result<(), Refused> {
        let more = more + if known { 0 } else { place(name) };
        if self.has_room(more) {
            return Ok(());
        }
        let most = self.limits.stored;
        Err(Refused(format!(
            "headers, last messages, names and listeners of all streams together would take more than {most} bytes, the most allowed (limits.headers_total); delete some streams, or raise the limit"
        )))
    }

    /// Whether `more` bytes can be kept. What is over and not forgotten yet is in nobody's way.
    pub(super) fn has_room(&mut self, more: usize) -> bool {
        while self.stored + more > self.limits.stored && self.forget_first() {}
        self.stored + more <= self.limits.stored
    }

    /// A frame is stored no more.
    fn let_go(&mut self, frame: &Frame) {
        self.stored -= frame.cost();
        let queues: &Gauge = &self.queues;
        frame.unstore(queues);
    }
}

fn header_cost(stream: Option<&Stream>) -> usize {
    stream.and_then(|stream| stream.header.as_ref()).map_or(0, Frame::cost)
}
