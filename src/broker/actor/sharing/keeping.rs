//! When the state is kept for nodes that come later.

use std::time::Duration;

use tokio::time::Instant;

use crate::broker::space::StateWriter;
use crate::wire::ids::StreamName;

/// The state is kept when the log has grown by as much as it takes, and by this many bytes at least, ...
const LEAST: usize = 16 << 20;
/// ... but before it takes this share of what it may, since it is forgotten only up to where the state was kept before the last time, ...
const SHARE: usize = 5;
/// A state that may not have been kept is written again after so long.
const AGAIN: Duration = Duration::from_secs(10);
/// ... or by this many records, if nobody says another number.
pub const KEEP_AFTER: usize = 50_000;

/// What the log has had since the state was kept.
#[derive(Debug, Default)]
pub(super) struct Keeping {
    pub(super) records: usize,
    pub(super) bytes: usize,
    /// What the last state took.
    pub(super) size: usize,
    /// The last record that was done.
    pub(super) sequence: u64,
    /// Up to where the state was kept last.
    pub(super) cut: u64,
    pub(super) is_under_way: bool,
    /// All that was said before is to be forgotten then, since nothing more fits.
    pub(super) forgets_all: bool,
    /// When this node last tried to keep it.
    pub(super) tried: Option<Instant>,
    /// After so many records it is due.
    after: usize,
    /// The most that the log may take.
    log: usize,
}

impl Keeping {
    pub(super) fn after(records: usize, log: usize) -> Self {
        Self { after: records, log, ..Self::default() }
    }

    pub(super) fn read(&mut self, bytes: usize) {
        self.records += 1;
        self.bytes += bytes;
    }

    pub(super) fn done(&mut self, sequence: u64) {
        self.sequence = sequence;
    }

    /// Some node has kept the state up to this record.
    pub(super) fn kept(&mut self, cut: u64) {
        self.is_under_way = false;
        if cut > self.cut {
            (self.records, self.bytes, self.cut) = (0, 0, cut);
        }
    }

    /// Nobody will say that it is kept.
    pub(super) fn give_up(&mut self) {
        self.is_under_way = false;
    }

    /// Whether the log may be so full that nothing more fits, as far as this node knows.
    pub(super) fn may_be_stuck(&self) -> bool {
        self.bytes > self.log / SHARE && self.tried.is_none_or(|tried| tried.elapsed() > AGAIN)
    }

    pub(super) fn is_due(&self) -> bool {
        !self.is_under_way && (self.bytes > LEAST.max(self.size).min(self.log / SHARE) || self.records > self.after)
    }
}

/// A state that is being written. It stands in the order of records, so that nothing changes meanwhile.
#[derive(Default)]
pub(in crate::broker::actor) struct StateWork {
    pub(super) writer: Option<StateWriter>,
    pub(super) part: usize,
    pub(super) names: Vec<StreamName>,
    pub(super) size: usize,
}
