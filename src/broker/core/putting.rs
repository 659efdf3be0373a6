//! What becomes of messages: each listener gets them, and the window keeps them.

use crate::wire::ids::{ConnectionId, StreamName};
use crate::wire::{Effect, Frame, Position};

use super::budget::{Budget, PUSH};
use super::changes::Mark;
use super::input::{Deliver, Extra, Input};
use super::machine::{Core, answer, reaching, refuse};
use super::parts::Parts;

/// What became of a run.
#[derive(Default)]
pub(super) struct Taken {
    reached: usize,
    /// Where the stream stands after it.
    position: Option<Position>,
    /// How many messages that counts more than before.
    counted: u64,
}

impl Taken {
    /// Where the stream stands after one of its messages.
    fn after(&self, index: u32) -> Option<Position> {
        let behind = self.counted.saturating_sub(u64::from(index) + 1);
        self.position.map(|position| Position { sequence: position.sequence - behind, ..position })
    }
}

impl Core {
    /// Returns what is left of it when the budget is spent.
    pub(super) fn put(
        &mut self,
        from: ConnectionId,
        name: &StreamName,
        run: &Frame,
        extras: Vec<Extra>,
        budget: &mut Budget,
        deliver: &mut impl Deliver,
    ) -> Option<Input> {
        if extras.is_empty() {
            self.deliver_run(name, run, budget, deliver);
            return None;
        }
        // A publisher that listens to its own messages gets each receipt behind its message. Whoever joins at the birth of the stream
        // joins behind the message that brings the first header.
        // Nodes have other listeners, and the same positions: for them it is the birth that counts.
        let is_apart = self.listens(from, name) || self.is_born_to_listeners(name) || self.is_reopened_on_all_nodes(name);
        if run.messages() > 1 && (is_apart || !self.has_room_for(name, &extras)) {
            let mut parts = Parts::new(name, run, extras);
            while let Some(part) = parts.next() {
                self.handle(from, part, budget, deliver);
                if budget.is_spent() {
                    return parts.rest();
                }
            }
            return None;
        }
        let (mut headers, mut receipts) = (Vec::new(), Vec::new());
        for Extra { header, receipt, index, .. } in extras {
            headers.extend(header);
            receipts.extend(receipt.map(|receipt| (receipt, index)));
        }
        // Nobody can join between the messages of a run, so only the last header is ever seen.
        let begins = match headers.pop().map(|header| self.store_header(name, header)) {
            Some(Ok(begins)) => begins,
            None => false,
            Some(Err(refused)) => {
                refuse(from, &refused, Some(name), receipts.first().map(|(receipt, _)| receipt), deliver);
                return None;
            }
        };
        budget.spend(PUSH * receipts.len());
        let taken = self.deliver_run(name, run, budget, deliver);
        if begins {
            // The header says already what the message says.
            self.announce(name, budget, deliver);
        }
        for (receipt, index) in &receipts {
            answer(from, Some(receipt), Effect { position: taken.after(*index), ..reaching(taken.reached) }, deliver);
        }
        None
    }

    /// Gives a run to every listener, and keeps it for those who come back.
    pub(super) fn deliver_run(&mut self, name: &StreamName, run: &Frame, budget: &mut Budget, deliver: &mut impl Deliver) -> Taken {
        if self.shared.is_some() { self.deliver_shared(name, run, budget, deliver) } else { self.deliver_here(name, run, budget, deliver) }
    }

    /// The same where nodes share the stream.
    #[cold]
    fn deliver_shared(&mut self, name: &StreamName, run: &Frame, budget: &mut Budget, deliver: &mut impl Deliver) -> Taken {
        if !self.is_applying() {
            // There was no room for it, and it is not in the log.
            if let Err(refused) = self.room_to_keep(name, false, 0) {
                self.tell_missed(name, &refused, budget, deliver);
            }
            return Taken::default();
        }
        self.renew(name);
        if self.streams.get(name).is_some_and(|stream| stream.run.is_over()) {
            return self.deliver_nowhere(name, run, budget, deliver);
        }
        let taken = self.deliver_here(name, run, budget, deliver);
        let elsewhere = self.streams.get(name).filter(|_| taken.counted > 0).map_or(0, |stream| stream.run.elsewhere());
        Taken { reached: taken.reached + elsewhere, ..taken }
    }

    #[inline]
    fn deliver_here(&mut self, name: &StreamName, run: &Frame, budget: &mut Budget, deliver: &mut impl Deliver) -> Taken {
        let Some(named) = self.streams.get_named(name).filter(|named| named.stream.run.ended.is_none()) else {
            return self.deliver_nowhere(name, run, budget, deliver);
        };
        let counted = u64::from(run.messages());
        named.stream.run.sequence += counted;
        named.stream.run.bytes += run.bytes().len() as u64;
        budget.spend(PUSH * named.stream.listeners.len());
        let (each, latest) = named.stream.audience();
        let mut reached = each.iter().filter(|listener| deliver.frame(**listener, run)).count();
        if !latest.is_empty() {
            reached += deliver_latest(latest, &named.name, run, budget, deliver);
        }
        let taken = Taken { reached, position: Some(named.stream.run.position()), counted };
        self.directory.note(&named.name);
        // One without a header is not saved while the broker runs.
        if named.stream.run.mark == Mark::Saved && named.stream.header.is_some() {
            named.stream.run.mark = Mark::Moved;
            self.changes.note_moved(&named.name);
        }
        if self.past.is_kept() {
            self.past.keep(named, run, self.now, &self.queues);
            self.relieve_windows(name);
        }
        taken
    }

    /// Takes a run for a stream that nobody has seen, or that has ended: nobody listens. There may be somebody who looks back at it.
    pub(super) fn deliver_nowhere(&mut self, name: &StreamName, run: &Frame, budget: &mut Budget, deliver: &mut impl Deliver) -> Taken {
        self.forget_if_over(name);
        if let Some(stream) = self.streams.get(name).filter(|stream| !stream.run.is_over()) {
            return Taken { position: Some(stream.run.position()), ..Taken::default() };
        }
        if !self.past.is_kept() && self.shared.is_none() {
            return Taken::default();
        }
        if let Err(refused) = self.room_for_stream(name, false).and_then(|()| self.room_to_keep(name, false, 0)) {
            self.tell_missed(name, &refused, budget, deliver);
            return Taken::default();
        }
        self.stream(name);
        self.announce(name, budget, deliver);
        self.deliver_here(name, run, budget, deliver)
    }
}

/// Gives the last message of a run to those who get the latest. Returns how many were reached.
#[cold]
fn deliver_latest(to: &[ConnectionId], name: &StreamName, run: &Frame, budget: &mut Budget, deliver: &mut impl Deliver) -> usize {
    // Its place in the run is looked for message by message in some encodings.
    budget.spend(run.messages() as usize);
    let newest = run.last();
    to.iter().filter(|listener| deliver.latest(**listener, name, &newest, run.messages().into())).count()
}
