//! From connection ids to outboxes: where the core's deliveries go. `deliver` queues them, `holding` has publishers wait for those who
//! are too slow for them.

mod deliver;
mod holding;
mod origin;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::broker::core::Budget;
use crate::broker::outbox::{Outbox, Sink};
use crate::wire::ids::ConnectionId;
use crate::wire::{Encode, ErrorCode, Event, Frame};

use super::cut_log::CutLog;
use super::durable::Durable;
use super::full::Full;
use super::stats::Stats;
use super::translator::ToTranslate;
use origin::Origin;

/// What a write costs beside its bytes, in the terms of [`Budget`].
const WRITE: usize = 4000;

/// What it costs to find that nothing can be written.
const LOOK: usize = 50;

/// So many bytes are sent at the cost of one nanosecond, as a budget has it.
const BYTES: usize = 4;

/// The outboxes of all connections, and what was queued for them and not tried to be written.
pub(super) struct Routes {
    /// Indexed by connection id.
    outboxes: Vec<Option<Arc<Outbox<dyn Sink>>>>,
    /// Since when each of them has been there, in seconds on the core's clock.
    since: Vec<u32>,
    /// Who was queued something, in that order.
    touched: VecDeque<ConnectionId>,
    /// Who was queued something by a connection that comes after a pause: these do not wait behind the others.
    urgent: VecDeque<ConnectionId>,
    /// Who was cut off and is still in the core's lists.
    cut: VecDeque<ConnectionId>,
    /// Whose paused work may go on.
    roomy: Vec<ConnectionId>,
    /// How many bytes were queued that the actor is to send.
    sending: usize,
    /// Whose outbox was too full, so that publishers were held back.
    full: Full,
    /// Whose actions are being taken now.
    origin: Option<Origin>,
    /// The broker stops, and takes in what has been received.
    quiescing: bool,
    /// It has told all connections: those that still come are told at once.
    stopping: bool,
    /// Not all connections that there have been had the same encoding.
    several_encodings: bool,
    /// That of the first connection.
    encoding: Option<&'static dyn Encode>,
    /// Receipts that wait until what they answer is durable.
    pub(super) durable: Durable,
    /// What has taken effect is durable already.
    pub(super) is_durable_at_once: bool,
    stats: Arc<Stats>,
    pub(super) cut_log: Arc<CutLog>,
}

impl Routes {
    pub(super) fn new(stats: Arc<Stats>, cut_log: Arc<CutLog>) -> Self {
        Self {
            outboxes: Vec::new(),
            since: Vec::new(),
            touched: VecDeque::new(),
            urgent: VecDeque::new(),
            cut: VecDeque::new(),
            roomy: Vec::new(),
            sending: 0,
            full: Full::default(),
            origin: None,
            quiescing: false,
            stopping: false,
            several_encodings: false,
            encoding: None,
            durable: Durable::default(),
            is_durable_at_once: false,
            stats,
            cut_log,
        }
    }

    pub(super) fn connect(&mut self, id: ConnectionId, outbox: Arc<Outbox<dyn Sink>>, now: Duration) {
        if self.outboxes.len() <= id.index() {
            self.outboxes.resize_with(id.index() + 1, || None);
            self.since.resize(id.index() + 1, 0);
        }
        self.since[id.index()] = u32::try_from(now.as_secs()).unwrap_or(u32::MAX);
        if self.stopping {
            tell_shutdown(&outbox, &self.stats);
        }
        let first = *self.encoding.get_or_insert(outbox.encoder());
        self.several_encodings |= !std::ptr::addr_eq(first, outbox.encoder());
        self.outboxes[id.index()] = Some(outbox);
    }

    /// Forgets a connection, and returns its outbox. None if it was never known.
    pub(super) fn disconnect(&mut self, id: ConnectionId) -> Option<Arc<Outbox<dyn Sink>>> {
        self.cut.retain(|other| *other != id);
        self.full.remove(id);
        self.durable.forget(id);
        self.outboxes.get_mut(id.index()).and_then(Option::take)
    }

    /// Whether a connection is to take some of what waits for it before it is given more of what it asked for.
    pub(super) fn awaits_room(&mut self, id: ConnectionId) -> bool {
        let awaits = self.outbox(id).is_some_and(|outbox| outbox.awaits_room());
        if !awaits && self.durable.is_stuck(id) {
            // It will not be told of room that is there.
            self.roomy.push(id);
        }
        awaits
    }

    /// Whether a connection is given anything any more.
    pub(super) fn takes(&self, id: ConnectionId) -> bool {
        self.outbox(id).is_some_and(|outbox| outbox.is_open())
    }

    /// The actor has applied a batch of this connection.
    pub(super) fn applied(&self, id: ConnectionId) {
        if let Some(outbox) = self.outbox(id) {
            outbox.applied();
        }
    }

    /// Whether something was queued that no socket was tried for.
    pub(super) fn has_queued(&self) -> bool {
        !self.touched.is_empty()
    }

    /// Writes to those who are not to wait.
    pub(super) fn flush_urgent(&mut self, budget: &mut Budget) {
        while let Some(id) = self.urgent.pop_front() {
            self.flush(id, budget);
        }
    }

    /// Writes to those touched, as far as the budget goes.
    pub(super) fn flush_touched(&mut self, budget: &mut Budget) {
        while !budget.is_spent() {
            let Some(id) = self.touched.pop_front() else { break };
            self.flush(id, budget);
        }
    }

    fn flush(&mut self, id: ConnectionId, budget: &mut Budget) {
        let Some(outbox) = self.outbox(id) else { return };
        let flushed = outbox.flush();
        budget.spend(if flushed.bytes == 0 { LOOK } else { WRITE + flushed.bytes / BYTES });
        if flushed.has_room {
            self.roomy.push(id);
        }
    }

    /// The frames that these connections would need a translation of which is not there.
    pub(super) fn untranslated<'a>(&self, deliveries: impl Iterator<Item = (ConnectionId, &'a Frame)>) -> Vec<ToTranslate> {
        let mut wanted: Vec<ToTranslate> = Vec::new();
        for (to, frame) in deliveries {
            let Some(encoder) = self.outbox(to).map(|outbox| outbox.encoder()) else { continue };
            let is_wanted = wanted.iter().any(|(other, into)| other.is(frame) && std::ptr::addr_eq(*into, encoder));
            if !is_wanted && !frame.is_ready_in(encoder) {
                wanted.push((frame.clone(), encoder));
            }
        }
        wanted
    }

    /// Whether anything may have to be translated at all.
    pub(super) fn has_several_encodings(&self) -> bool {
        self.several_encodings
    }

    /// The next connection whose paused work may go on.
    pub(super) fn next_roomy(&mut self) -> Option<ConnectionId> {
        self.roomy.pop()
    }

    /// The connection that was cut off first and is still in the core's lists.
    pub(super) fn first_cut(&self) -> Option<ConnectionId> {
        self.cut.front().copied()
    }

    /// The first that was cut off is in no list any more.
    pub(super) fn hung_up(&mut self) {
        self.cut.pop_front();
    }

    /// A connection was cut off, and is still in the core's lists.
    pub(super) fn was_cut(&mut self, id: ConnectionId) {
        self.cut.push_back(id);
    }

    /// Ends a connection that has not asked for it, and tells it why. That is written when it is its turn: there may be thousands of them.
    pub(super) fn expel(&mut self, id: ConnectionId, code: ErrorCode, reason: &str) {
        if let Some(outbox) = self.outbox(id) {
            let queued = outbox.bytes();
            if outbox.finish(Some(&outbox.encode(&Event::CloseConnection { why: Some((code, reason)) }))) {
                self.stats.tell(code);
                self.cut_log.note(Some(id), || outbox.peer(), code.as_str(), || reason.to_owned(), queued);
            }
            self.touched.push_back(id);
            self.was_cut(id);
        }
    }

    /// Asks every connection to take in what it has received; says, by id, who was asked.
    pub(super) fn quiesce(&mut self) -> Vec<bool> {
        self.quiescing = true;
        for (_, outbox) in self.connections() {
            outbox.quiesce();
        }
        self.outboxes.iter().map(Option::is_some).collect()
    }

    /// Tells every connection that the broker stops.
    pub(super) fn shutdown(&mut self) {
        self.stopping = true;
        for (_, outbox) in self.connections() {
            tell_shutdown(outbox, &self.stats);
        }
    }

    /// Ends every connection at once.
    pub(super) fn abort(&self) {
        for (_, outbox) in self.connections() {
            outbox.kill();
        }
    }

    pub(super) fn outbox(&self, id: ConnectionId) -> Option<&Arc<Outbox<dyn Sink>>> {
        self.outboxes.get(id.index()).and_then(Option::as_ref)
    }

    /// The first connection at this place or behind it.
    pub(super) fn next(&self, at: usize) -> Option<ConnectionId> {
        let behind = self.outboxes.get(at..)?.iter().position(Option::is_some)?;
        // Ids are u32, so that the index of one fits.
        Some(ConnectionId((at + behind) as u32))
    }

    /// Since when a connection has been there.
    pub(super) fn since(&self, id: ConnectionId) -> Duration {
        Duration::from_secs(self.since.get(id.index()).copied().unwrap_or(0).into())
    }

    /// Whether receipts that wait for a save are given out before long.
    pub(super) fn can_be_durable(&self) -> bool {
        self.stats.saves.failing().is_none()
    }

    /// So many messages were put.
    pub(super) fn note_messages(&self, count: u64) {
        self.stats.messages.add(count);
    }

    pub(super) fn connections(&self) -> impl Iterator<Item = (ConnectionId, &Arc<Outbox<dyn Sink>>)> {
        // Ids are u32, so that the index of one fits.
        self.outboxes.iter().enumerate().filter_map(|(index, outbox)| Some((ConnectionId(index as u32), outbox.as_ref()?)))
    }

    /// How many bytes were queued to be sent by the actor since this was asked last.
    pub(super) fn take_sending(&mut self) -> usize {
        std::mem::take(&mut self.sending)
    }
}

impl Drop for Routes {
    /// The actor ends, if need be by a panic: nobody is left waiting for it.
    fn drop(&mut self) {
        self.abort();
    }
}

fn tell_shutdown(outbox: &Outbox<dyn Sink>, stats: &Stats) {
    let why = Some((ErrorCode::Shutdown, "the broker stops; connect again when it is back, streams that were not closed may go on"));
    if outbox.finish(Some(&outbox.encode(&Event::CloseConnection { why }))) {
        stats.tell(ErrorCode::Shutdown);
    }
    outbox.flush();
}
