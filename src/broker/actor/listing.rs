//! Lists of the connections, for who watches over the broker: made a page at a time, and each page in pieces, so that nobody's messages
//! wait for it.

use std::collections::VecDeque;

use crate::broker::core::{Budget, Core};

use super::page::{Ask, Listed, Page};
use super::routes::Routes;

/// The most pages that may be asked for at once.
const WAITING: usize = 16;

/// What it costs to look at a connection: to ask the system who is at the other end, above all.
const LOOK: usize = 2000;

/// So many places without a connection are passed over at the cost of one nanosecond.
const PASSED: usize = 4;

/// The pages that are being made, one after the other.
#[derive(Debug, Default)]
pub(super) struct Listing {
    waiting: VecDeque<(Ask, Vec<Listed>)>,
}

impl Listing {
    /// Adds a page to be made. One too many is dropped, and whoever asks is told by that.
    pub(super) fn ask(&mut self, ask: Ask) {
        // Some who asked may have given up.
        self.waiting.retain(|(ask, _)| !ask.answer.is_closed());
        if self.waiting.len() < WAITING {
            self.waiting.push_back((ask, Vec::new()));
        }
    }

    /// Whether nobody asks.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Goes on as far as the budget goes.
    pub(super) fn go_on(&mut self, core: &Core, routes: &Routes, budget: &mut Budget) {
        while !budget.is_spent() {
            let Some((ask, found)) = self.waiting.front_mut() else { return };
            if !ask.answer.is_closed() && !go_on_with(ask, found, core, routes, budget) {
                return;
            }
            if let Some((ask, connections)) = self.waiting.pop_front() {
                let next = ask.after.filter(|_| connections.len() >= ask.most);
                // Whoever asked may be gone by now, which is no matter.
                let _ = ask.answer.send(Page { connections, next });
            }
        }
    }
}

/// Adds what comes next to one page. True if it is whole. `ask.after` is the last that was looked at.
fn go_on_with(ask: &mut Ask, found: &mut Vec<Listed>, core: &Core, routes: &Routes, budget: &mut Budget) -> bool {
    let mut at = ask.after.map_or(0, |after| after.index().saturating_add(1));
    while found.len() < ask.most {
        if budget.is_spent() {
            return false;
        }
        let Some((id, outbox, since)) = routes.next(at) else { return true };
        budget.spend(LOOK + (id.index() - at) / PASSED);
        at = id.index() + 1;
        ask.after = Some(id);
        found.push(Listed {
            id,
            peer: outbox.peer(),
            kind: outbox.kind(),
            encoding: outbox.encoder().name(),
            age: core.time().saturating_sub(since),
            listens: core.listens_of(id),
            queued: outbox.bytes(),
            name: None,
        });
    }
    true
}
