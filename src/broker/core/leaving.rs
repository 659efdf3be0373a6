//! How one listen is taken back while another one may still hold the stream.

use crate::wire::ids::{ConnectionId, Prefix, StreamName};
use crate::wire::{Effect, ReceiptId};

use super::budget::{Budget, HANG_UP, JOIN};
use super::directory;
use super::input::{Deliver, Input};
use super::listens::Listens;
use super::machine::{Comes, Core, answer};
use super::order::ORDERED;

impl Core {
    /// Stops listening to a prefix. Streams that the connection also listens to by name, or by another prefix, stay. Returns what is left
    /// to do when the budget is spent.
    pub(super) fn hang_up_prefix(
        &mut self,
        from: ConnectionId,
        prefix: Prefix,
        mut at: Option<StreamName>,
        receipt: Option<ReceiptId>,
        budget: &mut Budget,
        deliver: &mut impl Deliver,
    ) -> Option<Input> {
        if at.is_none() && self.prefixes.listens(from, &prefix) {
            self.drop_prefix(from, &prefix);
        }
        while let Some((name, named)) = self.connections.get(from.index()).and_then(|listens| listens.next(&prefix, at.as_ref())) {
            let stays = named || self.prefixes.match_for(from, &name);
            budget.spend(JOIN);
            if !stays {
                self.hang_up(from, &name, Comes::NoMore, budget);
            }
            at = Some(name);
            if budget.is_spent() {
                return Some(Input::HangupPrefix { prefix, at, receipt });
            }
        }
        answer(from, receipt.as_ref(), Effect::default(), deliver);
        None
    }

    /// Takes back that a connection listens to a stream by its name. If one of its prefixes matches, it stays a listener.
    pub(super) fn hang_up_name(&mut self, connection: ConnectionId, name: &StreamName, budget: &mut Budget) {
        if directory::is_entry(name) || !self.prefixes.match_for(connection, name) {
            return self.hang_up(connection, name, Comes::NoMore, budget);
        }
        budget.spend(HANG_UP);
        let place = self.connections.get_mut(connection.index()).and_then(|listens| listens.get_mut(name));
        let Some(place) = place.filter(|place| place.named) else { return };
        place.named = false;
        let Some(stream) = self.streams.get_mut(name) else { return };
        stream.run.by_prefix += 1;
        if stream.is_empty() && stream.run.listed.is_none() && stream.run.common.as_ref().is_none_or(|common| common.is_over) {
            self.remove(name);
        }
    }

    /// Takes a connection out of all prefixes. False if the budget was spent and there is more that it listens to.
    pub(super) fn drop_prefixes(&mut self, connection: ConnectionId, budget: &mut Budget) -> bool {
        while let Some(prefix) = self.prefixes.first(connection).cloned() {
            self.drop_prefix(connection, &prefix);
            budget.spend(HANG_UP);
            if budget.is_spent() {
                let listens = self.connections.get(connection.index()).map_or(0, Listens::len);
                return self.prefixes.first(connection).is_none() && listens == 0;
            }
        }
        true
    }

    /// Takes the listener of a prefix out. What it listens to stays.
    fn drop_prefix(&mut self, connection: ConnectionId, prefix: &Prefix) {
        self.stored -= self.prefixes.remove(connection, prefix);
        self.unwatch(usize::from(directory::subjects(prefix).is_some()));
        if self.prefixes.is_empty() && self.order.is_kept() {
            self.stored -= ORDERED * self.streams.len();
            self.order.give_up();
        }
    }
}
