//! How what the actor owns is kept beyond its life: by somebody who is told that there is something to save, and who asks for it. The actor
//! waits for nothing of that.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::broker::core::{Budget, Change, Core};
use crate::wire::ids::StreamName;

/// What it costs to hand over one change, in the terms of [`Budget`].
const CHANGE: usize = 400;

/// The most that is handed over at once, in bytes of headers and the like: whoever saves holds no more than that.
const PIECE: usize = 1 << 20;

/// How long whoever keeps it may take at the end. It is told when its thread ends, so that a disk that hangs holds nobody up.
pub(in crate::broker) const LONGEST_FINISH: Duration = Duration::from_secs(8);

/// How long it may take if the broker is to end without delay.
pub(super) const AT_ONCE: Duration = Duration::from_secs(1);

/// Whoever keeps what the actor owns beyond its life.
pub trait Keep: Send {
    /// The actor begins to run with what was restored.
    ///
    /// # Errors
    /// If it cannot be kept.
    fn begin(&mut self) -> Result<(), Box<dyn std::error::Error + Send + Sync>>;

    /// There is something to save, to be asked for with [`Command::Save`](super::Command::Save). It must not wait.
    fn wake(&self);

    /// As [`wake`](Self::wake), and somebody waits: it is to be asked for at once.
    fn hurry(&self);

    /// The actor has ended: what its core has is to be saved as it stands, with all that is kept of messages unless the end is to come
    /// at once.
    fn finish(self: Box<Self>, core: Core, at_once: bool) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}

/// What whoever saves asks of the actor.
#[derive(Debug)]
pub enum Save {
    /// It begins to save what has changed, and where streams are that have had messages, if `moved`.
    Begin {
        /// Whether positions are wanted.
        moved: bool,
        /// The first changes.
        answer: oneshot::Sender<Piece>,
    },
    /// It goes on.
    GoOn {
        /// The next changes.
        answer: oneshot::Sender<Piece>,
    },
    /// All that was handed over is durable, so receipts that wait for that can be given out.
    Done,
    /// It could not be saved: it is to be handed over again.
    Failed(Vec<StreamName>),
    /// Nothing will be saved any more.
    Over,
}

/// Some of what has changed.
#[derive(Debug)]
pub struct Piece {
    /// The changes.
    pub changes: Vec<Change>,
    /// Whether these are the last of this save.
    pub is_last: bool,
    /// Whether there is something for another save.
    pub has_more: bool,
    /// The time on the core's clock.
    pub clock: Duration,
}

/// The piece that is being made.
#[derive(Debug, Default)]
pub(super) struct Saving {
    asked: Option<oneshot::Sender<Piece>>,
    changes: Vec<Change>,
    bytes: usize,
    /// What was not saved, and has yet to be noted again: there may be a million of them.
    failed: Vec<StreamName>,
}

impl Saving {
    /// These were not saved.
    pub(super) fn failed(&mut self, names: Vec<StreamName>) {
        if self.failed.is_empty() {
            self.failed = names;
        } else {
            self.failed.extend(names);
        }
    }

    /// Whether all that was not saved is noted again.
    pub(super) fn is_noted(&self) -> bool {
        self.failed.is_empty()
    }

    /// Notes again what was not saved, as far as the budget goes.
    pub(super) fn note_again(&mut self, core: &mut Core, budget: &mut Budget) {
        while !budget.is_spent() {
            let Some(name) = self.failed.pop() else { return self.failed = Vec::new() };
            budget.spend(CHANGE);
            core.unsaved(&name);
        }
    }

    /// Somebody waits for a piece.
    pub(super) fn ask(&mut self, answer: oneshot::Sender<Piece>) {
        self.asked = Some(answer);
    }

    /// Whether nobody waits for a piece.
    pub(super) fn is_empty(&self) -> bool {
        self.asked.is_none()
    }

    /// Goes on as far as the budget goes. `wants_save` says whether somebody waits for another save.
    pub(super) fn go_on(&mut self, core: &mut Core, wants_save: bool, budget: &mut Budget) {
        let mut is_last = false;
        while !is_last && self.bytes < PIECE {
            if budget.is_spent() {
                return;
            }
            budget.spend(CHANGE);
            match core.next_change() {
                Some(change) => {
                    self.bytes += change.bytes();
                    self.changes.push(change);
                }
                None => is_last = true,
            }
        }
        self.bytes = 0;
        let changes = std::mem::take(&mut self.changes);
        let has_more = core.has_unsaved() || wants_save;
        if let Some(answer) = self.asked.take() {
            // Whoever asked ends with the broker only.
            let _ = answer.send(Piece { changes, is_last, has_more, clock: core.time() });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::broker::core::{CoreLimits, Epochs};

    // Seen to fail: all were noted in one step, in which nobody else was served.
    #[test]
    fn what_was_not_saved_is_noted_again_in_pieces() {
        let limits = CoreLimits { streams: 9, listens: 9, stored: 1 << 30, ..CoreLimits::default() };
        let (mut core, mut saving) = (Core::new(limits, Arc::default(), Epochs::new(0)), Saving::default());
        core.keep_changes();
        saving.failed((0..1000).map(|number| StreamName::new(&number.to_string()).unwrap()).collect());
        let mut turns = 0;
        while !saving.is_noted() {
            saving.note_again(&mut core, &mut Budget::new(100 * CHANGE));
            turns += 1;
        }
        core.begin_save(true);
        assert_eq!(std::iter::from_fn(|| core.next_change()).count(), 1000);
        assert!((10..20).contains(&turns), "{turns}");
    }
}
