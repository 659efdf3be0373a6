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
        let Some((id, outbox)) = routes.next(at).and_then(|id| Some((id, routes.outbox(id)?))) else { return true };
        budget.spend(LOOK + (id.index() - at) / PASSED);
        at = id.index() + 1;
        ask.after = Some(id);
        found.push(Listed {
            id,
            peer: outbox.peer(),
            kind: outbox.kind(),
            encoding: outbox.encoder().name(),
            age: core.time().saturating_sub(routes.since(id)),
            listens: core.listens_of(id),
            queued: outbox.bytes(),
            name: None,
        });
    }
    true
}

#[cfg(test)]
mod tests {
    use std::io::{self, IoSlice};
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::sync::oneshot;

    use super::*;
    use crate::broker::core::{CoreLimits, Epochs};
    use crate::broker::outbox::{Outbox, OutboxLimits, Sink};
    use crate::wire::ids::ConnectionId;

    struct Void;

    impl Sink for Void {
        fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
            Ok(slices.iter().map(|slice| slice.len()).sum())
        }

        fn peer(&self) -> String {
            String::new()
        }
    }

    /// Every second place has a connection.
    fn crowd(count: u32) -> (Core, Routes) {
        let limits = Arc::new(OutboxLimits::disconnecting(1));
        let mut routes = Routes::new(Arc::default(), Arc::default());
        for number in 0..count {
            routes.connect(ConnectionId(2 * number), Arc::new(Outbox::new(Void, Arc::clone(&limits))), Duration::ZERO);
        }
        (Core::new(CoreLimits::default(), Arc::default(), Epochs::new(0)), routes)
    }

    // Seen to fail: a page was one step, however many there were.
    #[test]
    fn a_page_is_made_in_pieces_of_the_budget() {
        let ((core, routes), mut listing) = (crowd(3000), Listing::default());
        let (answer, mut answered) = oneshot::channel();
        listing.ask(Ask { after: Some(ConnectionId(1000)), most: 1000, answer });
        let mut pieces = 0;
        while !listing.is_empty() {
            listing.go_on(&core, &routes, &mut Budget::new(10 * LOOK));
            pieces += 1;
        }
        let page = answered.try_recv().unwrap();
        let ids: Vec<_> = page.connections.iter().map(|listed| listed.id.0).collect();
        assert_eq!(ids, (501..1501).map(|number| 2 * number).collect::<Vec<_>>());
        assert_eq!((page.next, pieces), (Some(ConnectionId(3000)), 100));
    }

    #[test]
    fn no_more_than_some_pages_wait_and_none_for_who_has_given_up() {
        let ((core, routes), mut listing) = (crowd(10), Listing::default());
        let mut ask = || {
            let (answer, answered) = oneshot::channel();
            listing.ask(Ask { after: None, most: 10, answer });
            answered
        };
        let given_up: Vec<_> = (0..WAITING).map(|_| ask()).collect();
        let mut too_many = ask();
        drop(given_up);
        let mut last = ask();
        listing.go_on(&core, &routes, &mut Budget::unlimited());
        assert!(too_many.try_recv().is_err());
        assert_eq!(last.try_recv().unwrap().connections.len(), 10);
        assert!(listing.is_empty());
    }
}
