//! Who has yet to take in what it has received, before the broker stops.

use tokio::sync::oneshot;

use crate::wire::ids::ConnectionId;

/// Who has yet to take in what it has received, and who waits for that.
pub(super) struct Quiescing {
    /// By connection id.
    waiting: Vec<bool>,
    count: usize,
    done: oneshot::Sender<()>,
}

impl Quiescing {
    /// `waiting` has yet to do so, by connection id; `done` is told.
    pub(super) fn new(waiting: Vec<bool>, done: oneshot::Sender<()>) -> Self {
        let count = waiting.iter().filter(|waits| **waits).count();
        Self { waiting, count, done }
    }

    /// A connection has yet to do so.
    pub(super) fn wait_for(&mut self, id: ConnectionId) {
        if self.waiting.len() <= id.index() {
            self.waiting.resize(id.index() + 1, false);
        }
        if !std::mem::replace(&mut self.waiting[id.index()], true) {
            self.count += 1;
        }
    }

    /// A connection has done so, or is gone. False if it was not waited for.
    pub(super) fn has_taken_in(&mut self, id: ConnectionId) -> bool {
        let was_waited_for = self.waiting.get_mut(id.index()).is_some_and(|waits| std::mem::replace(waits, false));
        self.count -= usize::from(was_waited_for);
        was_waited_for
    }

    /// Whether nobody is waited for.
    pub(super) fn is_over(&self) -> bool {
        self.count == 0
    }

    /// Tells who waits.
    pub(super) fn tell(self) {
        // Whoever asked may be gone by now, which is no matter.
        let _ = self.done.send(());
    }
}
