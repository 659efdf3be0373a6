//! One stream, and what is known of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use msgstream::internal::wire::{Epoch, Position};

use super::core;

/// What a stream, its end and a listener take beside the lines that are kept, in bytes of memory.
pub(super) const PLACE: usize = 272;
pub(super) const END_KEPT: usize = 128;
pub(super) const LISTENER: usize = 80;

#[derive(Debug, Clone)]
pub(super) struct Stream {
    pub(super) header: Option<String>,
    pub(super) ended: Option<Ended>,
    /// And whether they asked for it by its name.
    pub(super) listeners: BTreeMap<u32, bool>,
    /// Those of them who get the latest message only.
    pub(super) latest: BTreeSet<u32>,
    pub(super) epoch: Epoch,
    pub(super) sequence: u64,
    /// How many bytes its messages took.
    pub(super) bytes: u64,
    pub(super) header_at: Duration,
    /// How often its header or its end was stored.
    pub(super) touched: u64,
    pub(super) since: Duration,
    /// The last messages, and when they were put.
    pub(super) window: Vec<(String, Duration)>,
    /// Since when it has had a past.
    pub(super) listed: Option<Duration>,
}

#[derive(Debug, Clone)]
pub(super) struct Ended {
    /// What late listeners are told: the last message, if there was room to keep it.
    pub(super) last: Option<String>,
    pub(super) forget_at: Duration,
}

impl Stream {
    pub(super) fn stored(&self) -> usize {
        let last = self.ended.iter().filter_map(|ended| ended.last.as_ref());
        let lines: usize = self.header.iter().chain(last).map(|line| core::cost(line)).sum();
        PLACE + lines + END_KEPT * usize::from(self.ended.is_some()) + LISTENER * self.listeners.len()
    }

    pub(super) fn state(&self) -> &'static str {
        match (&self.ended, &self.header) {
            (Some(_), _) => "ended",
            (None, Some(_)) => "running",
            (None, None) => "waiting",
        }
    }

    pub(super) fn position(&self) -> Position {
        Position { epoch: self.epoch, sequence: self.sequence }
    }

    /// Whether nothing is left, its past aside.
    pub(super) fn is_empty(&self) -> bool {
        self.header.is_none() && self.ended.is_none() && !self.listeners.values().any(|named| *named)
    }
}
