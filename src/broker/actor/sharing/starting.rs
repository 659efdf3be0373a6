//! How a node begins with what others have kept, and what it keeps for those that come later.

use std::mem;

use crate::broker::actor::mailbox::Ids;
use crate::broker::core::{Budget, Core};
use crate::broker::space::{Beside, Op, Snapshot, State, StateWriter, Told};
use crate::wire::ids::StreamName;

use super::Sharing;
use super::entry::Entry;
use super::reading::Reading;

/// The state is kept when the log has grown by as much as it takes, and by this many bytes at least, ...
const LEAST: usize = 16 << 20;
/// ... or by this many records, if nobody says another number.
pub const KEEP_AFTER: usize = 50_000;

/// What it costs to write a stream, and each byte of it.
const STREAM: usize = 300;
const BYTES: usize = 8;

/// What the log has had since the state was kept.
#[derive(Debug, Default)]
pub(super) struct Keeping {
    records: usize,
    bytes: usize,
    /// What the last state took.
    size: usize,
    /// The last record that was done.
    sequence: u64,
    /// Up to where the state was kept last.
    cut: u64,
    is_under_way: bool,
    /// After so many records it is due.
    after: usize,
}

impl Keeping {
    pub(super) fn after(records: usize) -> Self {
        Self { after: records, ..Self::default() }
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
        if cut > self.cut {
            (self.records, self.bytes, self.cut) = (0, 0, cut);
        }
    }

    fn is_due(&self) -> bool {
        !self.is_under_way && (self.bytes > LEAST.max(self.size) || self.records > self.after)
    }
}

/// A state that is being written. It stands in the order of records, so that nothing changes meanwhile.
#[derive(Default)]
pub(in crate::broker::actor) struct StateWork {
    writer: StateWriter,
    part: usize,
    names: Vec<StreamName>,
    size: usize,
}

impl StateWork {
    /// Goes on as far as the budget goes. True if all of it is written.
    pub(in crate::broker::actor) fn go_on(&mut self, core: &Core, budget: &mut Budget) -> bool {
        while !budget.is_spent() {
            let Some(name) = self.names.pop() else {
                if self.part == Core::PARTS {
                    return true;
                }
                self.names = core.common_names(self.part);
                self.part += 1;
                budget.spend(STREAM);
                continue;
            };
            let bytes = core.saved_common(&name).map_or(0, |stream| self.writer.add(&stream));
            self.size += bytes;
            budget.spend(STREAM + bytes / BYTES);
        }
        false
    }
}

/// What the actor is to do next, of what it was told by the log.
pub(in crate::broker::actor) enum Next {
    Nothing,
    Read(Box<Reading>),
}

impl Sharing {
    /// What is told by whatever keeps the log.
    pub(in crate::broker::actor) fn hear(&mut self, told: Told, core: &mut Core, ids: &Ids) -> Next {
        match told {
            Told::Begins { log, snapshot } => self.begin(log, snapshot, core, ids),
            Told::Record { sequence, at, record } => return self.receive(sequence, at, record),
            Told::CaughtUp => {
                self.has_caught_up = true;
                self.introduce();
                tracing::info!(streams = core.streams(), nodes = self.members.iter().count(), "the log of the space is read");
            }
            Told::Kept(Ok(cut)) => {
                self.keeping.is_under_way = false;
                self.outgoing.push(Entry::Step(None, Op::Kept(cut)));
            }
            Told::Kept(Err(why)) => {
                self.keeping.is_under_way = false;
                // It is tried again with the next that is due.
                (self.keeping.records, self.keeping.bytes) = (0, self.keeping.bytes / 2);
                tracing::warn!(%why, "the state of the space was not kept");
            }
            Told::Away(why) => {
                match &why {
                    Some(why) => tracing::warn!(%why, "there is no way to NATS: publishers wait"),
                    None => tracing::info!("there is a way to NATS"),
                }
                self.contact.tell(why);
            }
            Told::Over(why) => self.over = Some(why),
        }
        Next::Nothing
    }

    fn receive(&mut self, sequence: u64, at: std::time::Duration, record: Vec<u8>) -> Next {
        let own = crate::broker::space::Envelope::read(&record).ok().map(|(envelope, _)| envelope.id);
        let own = own.filter(|id| id.life == self.life);
        self.contact.read(own.is_some(), record.len());
        let own = own.and_then(|id| self.outgoing.came_back(id, &mut *self.port));
        Next::Read(Box::new(Reading::new(sequence, at, record, own)))
    }

    fn begin(&mut self, log: u64, snapshot: Option<Snapshot>, core: &mut Core, ids: &Ids) {
        if mem::replace(&mut self.has_begun, true) {
            return;
        }
        core.share(log);
        core.set_shared_limits(&self.limits);
        let Some(Snapshot { cut, pieces }) = snapshot else { return };
        self.keeping.size = pieces.iter().map(Vec::len).sum();
        let state = match State::read(&pieces, &mut || ids.take()) {
            Ok(state) => state,
            Err(fault) => {
                self.over = Some(format!("the state of the space cannot be read: {fault}; a newer version may have written it"));
                return;
            }
        };
        self.restore(state, core);
        self.keeping.cut = cut;
    }

    fn restore(&mut self, State { beside, streams }: State, core: &mut Core) {
        let Beside { clock, limits, lease, members, over, shared } = beside;
        core.set_shared_limits(&limits);
        core.enter_log();
        core.restore_shared(shared);
        streams.into_iter().for_each(|stream| core.restore_common(stream));
        (self.clock, self.limits, self.lease) = (clock, limits, lease);
        self.members.set_over(over);
        for (life, member) in members {
            self.members.insert(life, member);
        }
        let streams: Vec<StreamName> = self.members.iter().flat_map(|(_, member)| member.counts.keys().cloned()).collect();
        for stream in streams {
            core.set_elsewhere(&stream, self.members.elsewhere(&stream, self.life));
        }
        core.leave_log();
    }

    /// The state that is to be written, if it is this node's turn and there is need.
    pub(in crate::broker::actor) fn state_to_keep(&mut self, core: &Core) -> Option<Box<StateWork>> {
        if !self.keeping.is_due() || self.members.eldest() != Some(self.life) || self.is_leaving {
            return None;
        }
        self.keeping.is_under_way = true;
        let members = self.members.iter().map(|(life, member)| (life, member.clone())).collect();
        let over = self.members.over().clone();
        let beside = Beside {
            clock: self.clock.clone(),
            limits: self.limits.clone(),
            lease: self.lease,
            members,
            over,
            shared: core.saved_shared(),
        };
        Some(Box::new(StateWork { writer: StateWriter::new(&beside), part: 0, names: Vec::new(), size: 0 }))
    }

    /// A state is written: it is to be kept.
    pub(in crate::broker::actor) fn keep(&mut self, work: StateWork) {
        self.keeping.size = work.size;
        let forget = self.keeping.cut;
        self.port.keep(work.writer.finish(self.keeping.sequence), forget);
    }
}
