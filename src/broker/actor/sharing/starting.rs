//! How a node begins with what others have kept, and what it keeps for those that come later.

use std::mem;

use crate::broker::actor::mailbox::Ids;
use crate::broker::core::Core;
use crate::broker::space::{Beside, Op, Snapshot, State, Told};
use crate::wire::ids::StreamName;

use super::entry::Entry;
use super::node::Sharing;
use super::reading::Reading;

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
            Told::Led(sequence) => self.keeping.led(sequence),
            // It is under way until all nodes know.
            Told::Kept(Ok(cut)) => {
                self.keeping.stored();
                self.outgoing.push(Entry::Step(None, Op::Kept(cut)));
            }
            Told::Kept(Err(why)) => {
                self.keeping.failed();
                tracing::warn!(%why, "the state of the space was not kept");
            }
            Told::Away(why) => {
                match &why {
                    Some(why) => tracing::warn!(%why, "there is no way to NATS: publishers wait"),
                    None => {
                        self.keeping.is_back();
                        tracing::info!("there is a way to NATS");
                    }
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
        core.share(log, &self.settings.name);
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
        (self.keeping.cut, self.keeping.grown) = (cut, cut);
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
}
