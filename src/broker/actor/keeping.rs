//! What the actor does for whoever keeps what it owns beyond its life, and for those who wait for that, above all when the broker stops.

use tokio::sync::oneshot;

use crate::broker::core::Budget;
use crate::wire::ids::ConnectionId;

use super::Actor;
use super::agenda::Awaits;
use super::quiescing::Quiescing;
use super::saving::Save;

impl Actor {
    /// Whoever keeps it asks for what has changed, or says what has become of that.
    pub(super) fn save(&mut self, save: Save) {
        match save {
            Save::Begin { moved, answer } => {
                // It is part of this. There was time for that, unless a stop has it begin at once.
                self.saving.note_again(&mut self.core, &mut Budget::unlimited());
                if self.core.begin_save(moved) {
                    self.routes.durable.begin();
                }
                self.saving.ask(answer);
            }
            Save::GoOn { answer } => self.saving.ask(answer),
            Save::Done => self.routes.durable.end(true),
            Save::Failed(names) => {
                self.saving.failed(names);
                self.routes.durable.end(false);
                // Who has said its last line waits for no disk, nor does the stop.
                self.routes.durable.waiting().for_each(|id| self.agenda.resume(id, Awaits::Room));
                if self.quiescing.is_some() {
                    self.routes.durable.give_up();
                }
            }
            Save::Over => {
                self.routes.durable.waiting().for_each(|id| self.agenda.resume(id, Awaits::Room));
                self.routes.durable.give_up();
            }
        }
    }

    /// Tells whoever saves that there is something to save, if there is.
    pub(super) fn ask_to_save(&mut self) {
        let Some(keep) = &self.keep else { return };
        if self.core.take_news() | self.routes.durable.take_news() {
            keep.wake();
            self.hurry_to_save();
        }
    }

    /// Who has said its last line does not wait for a disk that hangs, of which nobody is told.
    pub(super) fn look_at_disk(&mut self) {
        if !self.routes.durable.is_empty() && !self.routes.can_be_durable() {
            self.routes.durable.waiting().for_each(|id| self.agenda.resume(id, Awaits::Room));
        }
    }

    /// When the broker stops, receipts that wait for a save are given out at once, or never if the disk fails: also those that are asked for
    /// by what is yet taken in.
    pub(super) fn hurry_to_save(&mut self) {
        let Some(keep) = self.keep.as_ref().filter(|_| self.quiescing.is_some() && !self.routes.durable.is_empty()) else { return };
        if self.routes.can_be_durable() {
            return keep.hurry();
        }
        self.routes.durable.waiting().for_each(|id| self.agenda.resume(id, Awaits::Room));
        self.routes.durable.give_up();
        self.tell_quiesced();
    }

    /// The broker stops, and `done` is told when all connections have taken in what they have received.
    pub(super) fn quiesce(&mut self, done: oneshot::Sender<()>) {
        self.core.stop();
        self.quiescing = Some(Quiescing::new(self.routes.quiesce(), done));
        self.routes.durable.unstick_all();
        self.hurry_to_save();
        // From here on nobody's answers have to be taken first: all others would wait for that.
        self.agenda.resume_all();
        self.tell_quiesced();
    }

    /// The connection has taken in what it has received, or is gone.
    pub(super) fn quiesced(&mut self, id: ConnectionId) {
        if self.quiescing.as_mut().is_some_and(|quiescing| quiescing.has_taken_in(id)) {
            self.tell_quiesced();
        }
    }

    /// Tells when all connections have taken in what they have received, and have been given the receipts that waited for a save.
    pub(super) fn tell_quiesced(&mut self) {
        let is_answered = self.routes.durable.is_empty();
        if let Some(quiescing) = self.quiescing.take_if(|quiescing| quiescing.is_over() && is_answered) {
            quiescing.tell();
        }
    }
}
