//! How the state is written, between two records.

use std::time::Duration;

use crate::broker::core::{Budget, Core};
use crate::broker::space::{Beside, StateWriter};

use super::keeping::StateWork;
use super::node::Sharing;

/// If nothing has come back for so long, the log may be full.
const STUCK: Duration = Duration::from_secs(6);

/// What it costs to write a stream, and each byte of it.
const STREAM: usize = 300;
const BYTES: usize = 8;

impl Sharing {
    /// Whether the state is to be written, by this node.
    pub(in crate::broker::actor) fn is_to_keep(&self) -> bool {
        // Asked in every turn: the dear question comes last.
        !self.is_leaving
            && !self.keeping.is_busy()
            && (self.keeping.is_due() && self.members.eldest() == Some(self.life) || self.is_stuck())
    }

    /// Whether nothing can be said any more, perhaps since the log is full. Then it may be that the one whose turn it is has gone, which nobody can
    /// say either. As nothing changes, it is no matter who keeps the state.
    fn is_stuck(&self) -> bool {
        let is_cut_off = || self.contact.cut_off().is_some_and(|(time, _)| time > STUCK);
        self.has_caught_up && self.keeping.may_be_stuck() && is_cut_off()
    }

    /// The state is going to be written.
    pub(in crate::broker::actor) fn begin_to_keep(&mut self) {
        self.keeping.begin(self.is_stuck());
    }

    /// Writes the state, as far as the budget goes. True if all of it is written. Nothing changes it meanwhile.
    pub(in crate::broker::actor) fn write(&self, state: &mut StateWork, core: &Core, budget: &mut Budget) -> bool {
        let writer = state.writer.get_or_insert_with(|| {
            let members = self.members.iter().map(|(life, member)| (life, member.clone())).collect();
            let (clock, limits, over) = (self.clock.clone(), self.limits.clone(), self.members.over().clone());
            StateWriter::new(&Beside { clock, limits, lease: self.lease, members, over, shared: core.saved_shared() })
        });
        while !budget.is_spent() {
            let Some(name) = state.names.pop() else {
                if state.part == Core::PARTS {
                    return true;
                }
                state.names = core.common_names(state.part);
                state.part += 1;
                budget.spend(STREAM);
                continue;
            };
            let bytes = core.saved_common(&name).map_or(0, |stream| writer.add(&stream));
            state.size += bytes;
            budget.spend(STREAM + bytes / BYTES);
        }
        false
    }

    /// A state is written: it is to be kept.
    pub(in crate::broker::actor) fn keep(&mut self, work: StateWork) {
        let Some(writer) = work.writer else { return };
        let forget = self.keeping.written(work.size);
        self.port.keep(writer.finish(self.keeping.sequence), forget);
    }
}
