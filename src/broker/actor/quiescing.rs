//! How the actor comes to rest: all that was received takes effect, and those who wait for a save are given their receipts.

use tokio::sync::oneshot;

use crate::wire::ids::ConnectionId;

use super::Actor;

/// Who has yet to take in what it has received, and who waits for that.
pub(super) struct Quiescing {
    /// By connection id.
    waiting: Vec<bool>,
    count: usize,
    done: oneshot::Sender<()>,
}

impl Actor {
    /// Begins to come to rest.
    pub(super) fn quiesce(&mut self, done: oneshot::Sender<()>) {
        self.core.stop();
        let waiting = self.routes.quiesce();
        let count = waiting.iter().filter(|waits| **waits).count();
        self.quiescing = Some(Quiescing { waiting, count, done });
        self.routes.durable.unstick_all();
        self.hurry_to_save();
        // From here on nobody's answers have to be taken first: all others would wait for that.
        self.agenda.resume_all();
        self.tell_quiesced();
    }

    /// The connection has taken in what it has received, or is gone.
    pub(super) fn quiesced(&mut self, id: ConnectionId) {
        if let Some(Quiescing { waiting, count, .. }) = &mut self.quiescing
            && waiting.get_mut(id.index()).is_some_and(|waits| std::mem::replace(waits, false))
        {
            *count -= 1;
            self.tell_quiesced();
        }
    }

    /// Tells when all connections have taken in what they have received, and have been given the receipts that waited for a save.
    pub(super) fn tell_quiesced(&mut self) {
        let is_answered = self.routes.durable.is_empty();
        if let Some(Quiescing { done, .. }) = self.quiescing.take_if(|quiescing| quiescing.count == 0 && is_answered) {
            // Whoever asked may be gone by now, which is no matter.
            let _ = done.send(());
        }
    }
}

impl Quiescing {
    /// A connection has yet to take in what it has received.
    pub(super) fn wait_for(&mut self, id: ConnectionId) {
        if self.waiting.len() <= id.index() {
            self.waiting.resize(id.index() + 1, false);
        }
        if !std::mem::replace(&mut self.waiting[id.index()], true) {
            self.count += 1;
        }
    }
}
