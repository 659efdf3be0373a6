//! Publishers wait for those whose outboxes are too full for what they send.

use crate::broker::core::Budget;
use crate::wire::ids::ConnectionId;

use super::Routes;

/// What it costs to look at somebody whose outbox was too full, and to hold a publisher back for it.
const HOLD: usize = 150;

impl Routes {
    /// Whether a full outbox holds back this publisher, which then waits for room as one whose own queue is full.
    pub(in crate::broker::actor) fn is_held(&self, id: ConnectionId) -> bool {
        self.has_full() && self.outbox(id).is_some_and(|outbox| outbox.awaits_release())
    }

    /// Whether somebody's outbox may be too full.
    pub(in crate::broker::actor) fn has_full(&self) -> bool {
        !self.full.is_empty()
    }

    /// Those of these connections whose outbox may be too full.
    pub(in crate::broker::actor) fn full_among(&self, connections: &[ConnectionId]) -> Vec<ConnectionId> {
        connections.iter().copied().filter(|id| self.full.contains(*id)).collect()
    }

    /// These connections listen to less than before: nobody is to wait for them who sends what they do not listen to any more.
    pub(in crate::broker::actor) fn listen_to_less(&self, connections: &[ConnectionId]) {
        connections.iter().filter_map(|id| self.outbox(*id)).for_each(|outbox| outbox.let_go());
    }

    /// Streams have ended, whoever listened to them: nobody is to wait for those who listen to less now.
    pub(in crate::broker::actor) fn all_listen_to_less(&self) {
        self.full.iter().filter_map(|id| self.outbox(id)).for_each(|outbox| outbox.let_go());
    }

    /// Has this publisher wait for those of the listeners that are too full for what it is about to send. True if it is to wait.
    pub(in crate::broker::actor) fn hold_back(&mut self, from: ConnectionId, listeners: &[ConnectionId], budget: &mut Budget) -> bool {
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
