//! Holding publishers back under the policy `throttle`, and releasing them.

use std::sync::Arc;

use tokio::time::Instant;

use super::outbox::{Held, Openness, Outbox, wake};
use super::sink::Sink;

impl<S: Sink + ?Sized> Outbox<S> {
    /// Holds a publisher's reading back until this outbox, which is full, has emptied by half.
    pub fn hold(&self, publisher: &Arc<Outbox<dyn Sink>>) {
        // Counted first, so that a release in between finds a hold to take back.
        publisher.lock().holds += 1;
        let mut state = self.lock();
        let full = state.openness == Openness::Open && state.queued() > self.limits.limit;
        let known = state.held.as_ref().is_some_and(|held| held.publishers.iter().any(|other| Arc::ptr_eq(other, publisher)));
        if full && !known {
            // The first hold starts a clock, which the task keeps.
            let waker = if state.held.is_none() { state.waker.take() } else { None };
            let held = state.held.get_or_insert_with(|| Box::new(Held { since: Instant::now(), publishers: Vec::new() }));
            held.publishers.push(Arc::clone(publisher));
            drop(state);
            wake(waker);
            return;
        }
        drop(state);
        publisher.release_one();
    }

    /// Lets the publishers go that it holds back, since it listens to less than before. Those that still send what it listens to are
    /// held again, and its time does not begin anew.
    pub fn let_go(&self) {
        let mut state = self.lock();
        let publishers = state.held.as_mut().map(|held| std::mem::take(&mut held.publishers)).unwrap_or_default();
        drop(state);
        publishers.iter().for_each(|publisher| publisher.release_one());
    }

    /// Whether a full outbox holds this publisher back.
    pub fn is_held(&self) -> bool {
        self.lock().holds > 0
    }

    /// Whether this outbox is full, or still so full that it holds publishers back.
    pub fn holds_back(&self) -> bool {
        let state = self.lock();
        state.held.is_some() || state.openness == Openness::Open && state.queued() > self.limits.limit
    }

    /// Whether a full outbox holds this publisher back, and the actor is to be told when none does any more.
    pub fn awaits_release(&self) -> bool {
        if self.sink.waits_itself() {
            return false;
        }
        let mut state = self.lock();
        let waits = state.holds > 0 && state.openness == Openness::Open;
        state.awaits_room |= waits;
        waits
    }

    /// Takes back the hold of one full outbox.
    pub(super) fn release_one(&self) {
        let mut state = self.lock();
        state.holds = state.holds.saturating_sub(1);
        if state.holds == 0 && std::mem::take(&mut state.awaits_room) {
            state.has_room = true;
        }
        let waker = if state.holds == 0 { state.waker.take() } else { None };
        drop(state);
        wake(waker);
    }
}
