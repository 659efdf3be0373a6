//! What waits of streams of which a connection wants the newest message only.
//!
//! The first message that has to wait has a place in the queue, kept by a frame without content. Newer ones replace it outside the queue;
//! when the place is reached, what is the newest then is put there. So one message of each stream waits at the most, however slow the
//! listener is, and no stream waits longer than its place in the queue.

use std::collections::{BTreeMap, VecDeque};

use crate::wire::ids::StreamName;
use crate::wire::{Encode, Frame, Gauge};

/// What one that waits takes beside its frame, in bytes of memory: its places in two collections that may be half empty.
const PLACE: usize = 2 * (size_of::<Waiting>() + size_of::<(StreamName, u64)>());

/// How many of those that wait are looked at to tell what dropping them would give back.
const SAMPLE: usize = 16;

/// The newest messages that wait for one connection.
pub(super) struct Latest {
    /// In the order of their places in the queue.
    waiting: VecDeque<Waiting>,
    /// How many have been taken from the front: with it, each has a number that stays.
    taken: u64,
    /// Those that a newer message replaces, by number.
    open: BTreeMap<StreamName, u64>,
    /// Keeps a place in the queue.
    stand_in: Frame,
    /// The bytes of those that nothing replaces any more.
    pub(super) sealed: usize,
    /// How many bytes at the front of the queue were put there from here.
    pub(super) sending: usize,
}

/// The newest message of a stream.
pub(super) struct Waiting {
    pub(super) stream: StreamName,
    /// As it came, maybe in another encoding: only what is sent is translated.
    pub(super) newest: Frame,
    /// How many messages it stands for, itself included.
    pub(super) messages: u64,
    is_sealed: bool,
}

impl Latest {
    pub(super) fn new(encoder: &'static dyn Encode) -> Self {
        Self { waiting: VecDeque::new(), taken: 0, open: BTreeMap::new(), stand_in: Frame::stand_in(encoder), sealed: 0, sending: 0 }
    }

    /// Takes the newest message of a stream. Returns what is to keep its place in the queue, if it has none.
    pub(super) fn put(&mut self, stream: &StreamName, newest: Frame, messages: u64, gauge: &Gauge) -> Option<Frame> {
        newest.enter(gauge);
        let number = self.open.get(stream).copied();
        if let Some(waiting) = number.and_then(|number| self.waiting.get_mut((number - self.taken) as usize)) {
            std::mem::replace(&mut waiting.newest, newest).leave(gauge);
            waiting.messages += messages;
            return None;
        }
        gauge.add(PLACE);
        self.open.insert(stream.clone(), self.taken + self.waiting.len() as u64);
        self.waiting.push_back(Waiting { stream: stream.clone(), newest, messages, is_sealed: false });
        Some(self.stand_in.clone())
    }

    /// Nothing replaces what waits of this stream any more.
    pub(super) fn seal(&mut self, stream: &StreamName) {
        let Some(number) = self.open.remove(stream) else { return };
        if let Some(waiting) = self.waiting.get_mut((number - self.taken) as usize) {
            waiting.is_sealed = true;
            self.sealed += waiting.newest.bytes().len();
        }
    }

    /// Takes the first that waits.
    pub(super) fn take(&mut self, gauge: &Gauge) -> Option<Waiting> {
        let waiting = self.waiting.pop_front()?;
        self.taken += 1;
        waiting.newest.leave(gauge);
        gauge.remove(PLACE);
        if waiting.is_sealed {
            self.sealed -= waiting.newest.bytes().len();
        } else {
            self.open.remove(&waiting.stream);
        }
        // The room that many needed is not kept.
        if self.waiting.is_empty() {
            self.waiting = VecDeque::new();
        }
        Some(waiting)
    }

    /// Drops all that waits.
    pub(super) fn clear(&mut self, gauge: &Gauge) {
        while self.take(gauge).is_some() {}
        self.sending = 0;
    }

    /// About how much memory dropping what waits would give back, in bytes.
    pub(super) fn gain(&self) -> usize {
        let step = (self.waiting.len() / SAMPLE).max(1);
        let (shares, count) =
            self.waiting.iter().step_by(step).fold((0, 0), |(shares, count), waiting| (shares + waiting.newest.share() + PLACE, count + 1));
        shares / count.max(1) * self.waiting.len()
    }
}
