//! What the actor tells once a turn of how things stand, for those who watch over the broker.

use crate::broker::core::{Core, CoreLimits};

use super::stats::Stats;

impl Stats {
    /// How things stand after a turn. A few stores, and nothing of it on the way of a message.
    pub(super) fn set_levels(&self, core: &Core, translated: u64) {
        let tally = core.tally();
        self.streams.set(core.streams() as u64);
        self.listeners.set(tally.listeners as u64);
        self.sessions.set(core.sessions() as u64);
        self.window_bytes.set(core.replayable() as u64);
        self.stored_bytes.set(core.stored() as u64);
        self.resumed.set(tally.resumed);
        self.resume_missed.set(tally.missed);
        self.wills.set(tally.wills);
        self.translated.set(translated);
    }

    /// The limits that the core keeps to from now on.
    pub(super) fn set_most(&self, limits: &CoreLimits) {
        self.most.streams.set(limits.streams as u64);
        self.most.sessions.set(limits.sessions as u64);
        self.most.stored.set(limits.stored as u64);
        self.most.windows.set(limits.replay.total as u64);
    }
}
