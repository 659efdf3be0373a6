//! Queues what the core delivers, and knows whose actions that comes from.

use crate::broker::core::{Budget, Deliver};
use crate::broker::outbox::{Outbox, Pushed, Sink};
use crate::wire::ids::{ConnectionId, StreamName};
use crate::wire::{ErrorCode, Event, Frame};

use super::super::cut_log::Cut;
use super::origin::Origin;
use super::{Routes, tell_shutdown};

/// What a connection may ask for before its queue is looked at, in bytes.
const MUCH: usize = 64 << 10;

/// What it costs to give out a receipt that has waited.
const GIVE_OUT: usize = 150;

/// The messages of a connection that comes after a pause are urgent for this many listeners.
const MOST_URGENT: usize = 32;

impl Routes {
    /// From now on the actions of this connection are taken.
    pub(in crate::broker::actor) fn begin(&mut self, id: ConnectionId, fresh: bool) {
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

    /// From now on the actions of this connection are taken, between those of others.
    pub(in crate::broker::actor) fn turn_to(&mut self, id: ConnectionId) {
        if self.origin.as_ref().is_none_or(|origin| origin.id != id) {
            self.queue_answers();
            self.begin(id, true);
        }
    }

    /// What is delivered now is nobody's doing.
    pub(in crate::broker::actor) fn nobody_begins(&mut self) {
        self.origin = None;
    }

    /// Its turn is over. True if it has been given all it should be before it takes some of it.
    pub(in crate::broker::actor) fn end(&mut self) -> bool {
        self.queue_answers();
        let Some(publisher) = &mut self.origin else { return false };
        let (id, own) = (publisher.id, std::mem::take(&mut publisher.own));
        own > 0 && self.awaits_room(id)
    }

    /// Whether the connection has queued so much for itself in this turn that its queue is to be looked at.
    pub(in crate::broker::actor) fn has_much_of_its_own(&self) -> bool {
        self.origin.as_ref().is_some_and(|origin| origin.has_much)
    }

    /// Gives out receipts of what is durable now, as far as the budget goes.
    pub(in crate::broker::actor) fn give_out_durable(&mut self, budget: &mut Budget) {
        if !self.durable.is_done() {
            return;
        }
        self.nobody_begins();
        while !budget.is_spent() {
            let Some((id, receipts)) = self.durable.pop_done() else { return };
            budget.spend(GIVE_OUT * receipts.len());
            let mut receipts = receipts.into_iter();
            while let Some(receipt) = receipts.next() {
                if self.quiescing {
                    self.push_last(id, &receipt);
                } else if self.awaits_room(id) {
                    // They are what it asked for, so that it is not cut off for them.
                    self.durable.stick(id, std::iter::once(receipt).chain(receipts).collect());
                    break;
                } else {
                    self.push(id, &receipt);
                }
            }
            if !self.durable.is_stuck(id) {
                self.roomy.push(id);
            }
        }
    }

    /// While the broker stops, nobody waits any more for one to take its answers. It is told why it gets no more of them.
    fn push_last(&mut self, id: ConnectionId, receipt: &Frame) {
        match self.outbox(id) {
            Some(outbox) if outbox.is_full_with(receipt.bytes().len()) => tell_shutdown(outbox, &self.stats),
            Some(_) => drop(self.push(id, receipt)),
            None => {}
        }
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
        if let Event::Receipt { receipt, .. } = event
            && receipt.is_durable()
            && !self.is_durable_at_once
        {
            return self.durable.park(to, outbox.encode(event));
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

/// How many bytes a connection may ask for before its queue is looked at: a part of what its queue may take.
fn much(outbox: &Outbox<dyn Sink>) -> usize {
    MUCH.min(outbox.limit() / 4)
}
