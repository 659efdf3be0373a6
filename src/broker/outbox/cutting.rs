//! How an outbox cuts its connection off: as a slow listener, or for the memory of all.

use crate::wire::{ErrorCode, Event};

use super::outbox::{Outbox, Phase, State, Told};
use super::outcome::Relieved;
use super::sink::Sink;

/// How many frames of an ended connection are dropped before others get their turn.
const DROPPED: usize = 4096;

impl<S: Sink + ?Sized> Outbox<S> {
    /// Cuts the connection off as a slow listener: takes no more, and says why behind what already waits. False if it
    /// was ending anyway.
    pub fn cut(&self, reason: &str) -> bool {
        let mut state = self.lock();
        if state.phase != Phase::Open {
            return false;
        }
        let told = self.cut_off(&mut state, reason);
        drop(state);
        told.tell();
        true
    }

    /// Cuts the connection off and gives back the memory of what waits: only the rest of a frame that was sent in part
    /// and the reason are still sent. One that was cut off so before, and is still in the way, is ended at once.
    pub fn relieve(&self, reason: &str) -> Relieved {
        let mut state = self.lock();
        if state.phase == Phase::Dead {
            return Relieved::Ending { promised: state.queue.gain() };
        }
        if state.queue.is_empty() {
            return Relieved::Nothing;
        }
        if std::mem::replace(&mut state.relieved, true) {
            drop(state);
            self.kill();
            return Relieved::Ended;
        }
        // One that is about to end has its last word in the queue already: it is not told the end twice.
        if state.phase == Phase::Finishing && state.queue.len() == 1 {
            return Relieved::Nothing;
        }
        let promised = state.queue.truncate(&self.limits.gauge);
        let told = self.cut_off(&mut state, reason);
        drop(state);
        told.tell();
        Relieved::Cut { promised }
    }

    /// About how much memory cutting this connection off would give back, in bytes.
    pub fn gain(&self) -> usize {
        self.lock().queue.gain()
    }

    /// Ends the connection at once: what waits is dropped.
    pub fn kill(&self) {
        let mut state = self.lock();
        state.phase = Phase::Dead;
        state.queue.clear(&self.limits.gauge);
        let told = state.told();
        drop(state);
        told.tell();
    }

    /// Ends the connection as [`kill`](Self::kill) does, and drops some of what waits; there may be a million frames. True once all
    /// of it is dropped. The task calls this until then.
    pub fn wind_up(&self) -> bool {
        let mut state = self.lock();
        state.phase = Phase::Dead;
        let done = state.queue.drop_some(DROPPED, &self.limits.gauge);
        let told = state.told();
        drop(state);
        told.tell();
        done
    }

    /// Queues the reason and takes no more. Returns those to tell once the lock is released.
    pub(super) fn cut_off(&self, state: &mut State, reason: &str) -> Told {
        let last = self.encode(&Event::CloseConnection { why: Some((ErrorCode::SlowListener, reason)) });
        state.queue.push(last, &self.limits.gauge);
        state.phase = Phase::Finishing;
        // The task takes over, and with it the drain time begins.
        state.blocked = true;
        state.queue.count(&self.limits.gauge);
        state.told()
    }
}
