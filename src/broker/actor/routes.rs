//! From connection ids to outboxes: where the core's deliveries go.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::broker::core::{Budget, Deliver};
use crate::broker::outbox::{Outbox, Pushed, Sink};
use crate::wire::ids::{ConnectionId, StreamName};
use crate::wire::{Encode, ErrorCode, Event, Frame};

use super::cut_log::{Cut, CutLog};
use super::full::Full;
use super::stats::Stats;
use super::translator::ToTranslate;

/// What a write costs beside its bytes, in the terms of [`Budget`].
const WRITE: usize = 4000;

/// What it costs to find that nothing can be written.
const LOOK: usize = 50;

/// What it costs to look at somebody whose outbox was too full, and to hold a publisher back for it.
const HOLD: usize = 150;

/// So many bytes are sent at the cost of one nanosecond, as a budget has it.
const BYTES: usize = 4;

/// What a connection may ask for before its queue is looked at, in bytes.
const MUCH: usize = 64 << 10;

/// The messages of a connection that comes after a pause are urgent for this many listeners.
const MOST_URGENT: usize = 32;

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
    stats: Arc<Stats>,
    pub(super) cut_log: Arc<CutLog>,
}

/// The connection whose actions are being taken.
struct Origin {
    id: ConnectionId,
    /// Its answers, which are queued as one frame.
    answers: Vec<u8>,
    count: u32,
    /// How many bytes it has queued for itself in this turn.
    own: usize,
    /// That and its answers are much.
    has_much: bool,
    /// What it queues for itself is written before what waits longer.
    overtakes: bool,
    /// How many others may be written to before those who wait longer.
    urgent: usize,
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
        self.outboxes.get_mut(id.index()).and_then(Option::take)
    }

    /// From now on the actions of this connection are taken.
    pub(super) fn begin(&mut self, id: ConnectionId, fresh: bool) {
        // Without others' messages before them, its own wait for nobody.
        let overtakes = self.has_queued();
        let answers = self.origin.take().map(|publisher| publisher.answers).unwrap_or_default();
        self.origin = Some(Origin {
            id,
            answers,
            count: 0,
            own: 0,
            has_much: false,
            overtakes,
            urgent: if fresh && overtakes { MOST_URGENT } else { 0 },
        });
    }

    /// What is delivered now is nobody's doing.
    pub(super) fn nobody_begins(&mut self) {
        self.origin = None;
    }

    /// Its turn is over. True if it has been given all it should be before it takes some of it.
    pub(super) fn end(&mut self) -> bool {
        self.queue_answers();
        let Some(publisher) = &mut self.origin else { return false };
        let (id, own) = (publisher.id, std::mem::take(&mut publisher.own));
        own > 0 && self.awaits_room(id)
    }

    /// Whether a connection is to take some of what waits for it before it is given more of what it asked for.
    pub(super) fn awaits_room(&self, id: ConnectionId) -> bool {
        self.outbox(id).is_some_and(|outbox| outbox.awaits_room())
    }

    /// Whether the connection has queued so much for itself in this turn that its queue is to be looked at.
    pub(super) fn has_much_of_its_own(&self) -> bool {
        self.origin.as_ref().is_some_and(|origin| origin.has_much)
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

    /// So many messages were put.
    pub(super) fn note_messages(&self, count: u64) {
        self.stats.messages.add(count);
    }

    pub(super) fn connections(&self) -> impl Iterator<Item = (ConnectionId, &Arc<Outbox<dyn Sink>>)> {
        // Ids are u32, so that the index of one fits.
        self.outboxes.iter().enumerate().filter_map(|(index, outbox)| Some((ConnectionId(index as u32), outbox.as_ref()?)))
    }

    /// Queues the publisher's answers so far, which stand before what comes for it now.
    fn queue_answers(&mut self) {
        let Some(publisher) = self.origin.as_mut().filter(|publisher| publisher.count > 0) else { return };
        let (id, bytes) = (publisher.id, Box::from(&publisher.answers[..]));
        let count = std::mem::take(&mut publisher.count);
        publisher.answers.clear();
        if let Some(outbox) = self.outbox(id) {
            let frame = Frame::new(bytes, count, outbox.encoder());
            self.push(id, &frame);
        }
    }

    fn push(&mut self, to: ConnectionId, frame: &Frame) -> bool {
        self.push_by(to, frame, |outbox| outbox.push(frame))
    }

    #[inline]
    fn push_by(&mut self, to: ConnectionId, frame: &Frame, push: impl FnOnce(&Outbox<dyn Sink>) -> Pushed) -> bool {
        let Some(outbox) = self.outboxes.get(to.index()).and_then(Option::as_ref) else { return false };
        let length = frame.bytes().len();
        if self.quiescing && self.origin.as_ref().is_some_and(|origin| origin.id == to) && outbox.is_full_with(length) {
            // Nobody waits any more for it to take its answers. It is told why it gets no more of them.
            tell_shutdown(outbox, &self.stats);
            return false;
        }
        let pushed = push(outbox);
        let mut urgent = false;
        if let Some(publisher) = &mut self.origin {
            urgent = publisher.overtakes && publisher.id == to || publisher.urgent > 0;
            if publisher.id == to {
                publisher.own += length;
                publisher.has_much |= publisher.own > much(outbox);
            } else {
                publisher.urgent = publisher.urgent.saturating_sub(1);
            }
        }
        match pushed {
            // One that was touched before may stand far behind among those touched.
            Pushed::First | Pushed::Queued if urgent => self.urgent.push_back(to),
            Pushed::First => self.touched.push_back(to),
            Pushed::Queued => {}
            Pushed::Blocked => {
                self.stats.delivered.add(u64::from(frame.messages()));
                return true;
            }
            Pushed::Full => {
                self.touched.push_back(to);
                self.full.insert(to);
                if let Some(publisher) = self.origin.as_ref().and_then(|publisher| self.outbox(publisher.id)) {
                    outbox.hold(publisher);
                }
            }
            Pushed::Cut => {
                self.cut_log.cut(to, || outbox.peer(), Cut::Limit, || outbox.too_much(), outbox.bytes());
                self.stats.cut_limit.add(1);
                self.stats.tell(ErrorCode::SlowListener);
                self.cut.push_back(to);
                return false;
            }
            Pushed::Refused => return false,
        }
        self.stats.delivered.add(u64::from(frame.messages()));
        self.sending += length;
        true
    }

    /// How many bytes were queued to be sent by the actor since this was asked last.
    pub(super) fn take_sending(&mut self) -> usize {
        std::mem::take(&mut self.sending)
    }

    /// Whether a full outbox holds back this publisher, which then waits for room as one whose own queue is full.
    pub(super) fn is_held(&self, id: ConnectionId) -> bool {
        self.has_full() && self.outbox(id).is_some_and(|outbox| outbox.awaits_release())
    }

    /// Whether somebody's outbox may be too full.
    pub(super) fn has_full(&self) -> bool {
        !self.full.is_empty()
    }

    /// Those of these connections whose outbox may be too full.
    pub(super) fn full_among(&self, connections: &[ConnectionId]) -> Vec<ConnectionId> {
        connections.iter().copied().filter(|id| self.full.contains(*id)).collect()
    }

    /// These connections listen to less than before: nobody is to wait for them who sends what they do not listen to any more.
    pub(super) fn listen_to_less(&self, connections: &[ConnectionId]) {
        connections.iter().filter_map(|id| self.outbox(*id)).for_each(|outbox| outbox.let_go());
    }

    /// Streams have ended, whoever listened to them: nobody is to wait for those who listen to less now.
    pub(super) fn all_listen_to_less(&self) {
        self.full.iter().filter_map(|id| self.outbox(id)).for_each(|outbox| outbox.let_go());
    }

    /// Has this publisher wait for those of the listeners that are too full for what it is about to send. True if it is to wait.
    pub(super) fn hold_back(&mut self, from: ConnectionId, listeners: &[ConnectionId], budget: &mut Budget) -> bool {
        let Some(publisher) = self.outbox(from).cloned() else { return false };
        for id in listeners {
            if !self.full.contains(*id) {
                continue;
            }
            budget.spend(HOLD);
            match self.outbox(*id) {
                Some(outbox) if outbox.holds_back() => outbox.hold(&publisher),
                Some(_) | None => self.full.remove(*id),
            }
        }
        self.is_held(from)
    }
}

impl Drop for Routes {
    /// The actor ends, if need be by a panic: nobody is left waiting for it.
    fn drop(&mut self) {
        self.abort();
    }
}

/// How many bytes a connection may ask for before its queue is looked at: a part of what its queue may take.
fn much(outbox: &Outbox<dyn Sink>) -> usize {
    MUCH.min(outbox.limit() / 4)
}

fn tell_shutdown(outbox: &Outbox<dyn Sink>, stats: &Stats) {
    let why = Some((ErrorCode::Shutdown, "the broker stops; connect again when it is back, streams that were not closed may go on"));
    if outbox.finish(Some(&outbox.encode(&Event::CloseConnection { why }))) {
        stats.tell(ErrorCode::Shutdown);
    }
    outbox.flush();
}

impl Deliver for Routes {
    fn frame(&mut self, to: ConnectionId, frame: &Frame) -> bool {
        if self.origin.as_ref().is_some_and(|publisher| publisher.count > 0 && publisher.id == to) {
            self.queue_answers();
        }
        self.push(to, frame)
    }

    fn latest(&mut self, to: ConnectionId, stream: &StreamName, newest: &Frame, messages: u64) -> bool {
        if self.origin.as_ref().is_some_and(|publisher| publisher.count > 0 && publisher.id == to) {
            self.queue_answers();
        }
        self.push_by(to, newest, |outbox| outbox.push_latest(stream, newest, messages))
    }

    fn begin_latest(&mut self, to: ConnectionId, stream: &StreamName) {
        if let Some(outbox) = self.outbox(to) {
            outbox.begin_latest(stream);
        }
    }

    fn event(&mut self, to: ConnectionId, event: &Event<'_>) {
        let Some(outbox) = self.outboxes.get(to.index()).and_then(Option::as_ref) else { return };
        if let Event::Error { code, .. } = event {
            self.stats.tell(*code);
        }
        match &mut self.origin {
            Some(publisher) if publisher.id == to => {
                outbox.encoder().encode(event, &mut publisher.answers);
                publisher.count += 1;
                publisher.has_much |= publisher.own + publisher.answers.len() > much(outbox);
            }
            _ => {
                let frame = outbox.encode(event);
                self.push(to, &frame);
            }
        }
    }

    fn event_again(&mut self, to: ConnectionId, event: &Event<'_>, encoded: &mut Option<Frame>) {
        if self.origin.as_ref().is_some_and(|publisher| publisher.id == to) {
            return self.event(to, event);
        }
        let Some(outbox) = self.outbox(to) else { return };
        let frame = match encoded.take().filter(|frame| frame.is_in(outbox.encoder())) {
            Some(frame) => frame,
            None => outbox.encode(event),
        };
        self.push(to, encoded.insert(frame));
    }

    fn end(&mut self, to: ConnectionId, code: ErrorCode, reason: &str) {
        if let Some(outbox) = self.outbox(to) {
            if outbox.finish(Some(&outbox.encode(&Event::CloseConnection { why: Some((code, reason)) }))) {
                self.stats.tell(code);
            }
            self.urgent.push_back(to);
            self.was_cut(to);
        }
    }

    fn finish(&mut self, to: ConnectionId, last: Option<&Frame>) {
        self.queue_answers();
        if let Some(outbox) = self.outbox(to) {
            outbox.finish(last);
            self.urgent.push_back(to);
        }
    }
}
