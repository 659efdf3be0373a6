//! An outbox's writing, by either side.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::sync::Arc;

use super::outbox::{Held, Outbox, Phase, State, Told, release, wake};
use super::outcome::{Flushed, Written};
use super::queue::{Queue, SLICES};
use super::sink::Sink;
use super::turns::{TakesTurns, Turn, Turns};

/// About how many bytes one write carries: with more the cost of a call no longer counts, and others wait longer.
const WRITE: usize = 64 << 10;

/// About how many bytes one side writes in one turn before others get theirs.
const TURN: usize = 256 << 10;

thread_local! {
    /// Small frames on their way into one write.
    static GATHERED: RefCell<Vec<u8>> = RefCell::new(Vec::with_capacity(WRITE));
}

impl<S: Sink + ?Sized> Outbox<S> {
    /// The actor's turn: writes what was queued straight to the socket, unless the task is waiting for it.
    pub fn flush(&self) -> Flushed {
        let mut state = self.lock();
        state.touched = false;
        let before = state.queue.bytes();
        let told = self.write_now(&mut state);
        let flushed = Flushed { bytes: before - state.queue.bytes(), has_room: std::mem::take(&mut state.has_room) };
        drop(state);
        told.tell();
        flushed
    }

    /// The task's turn: writes what waits, once the socket is ready.
    pub fn write_turn(&self) -> Written {
        let mut state = self.lock();
        let written = self.write(&mut state);
        let held = self.after_writing(&mut state, written);
        let turn = state.turn.take();
        drop(state);
        release(held);
        // Only now it is the next one's.
        drop(turn);
        written
    }

    /// Whether the task may write now. If not, it is woken when it may.
    pub fn may_write(&self, this: impl FnOnce() -> Arc<dyn TakesTurns>) -> bool {
        let mut state = self.lock();
        if state.turn.is_some() {
            return true;
        }
        if !state.awaits_turn {
            state.turn = self.limits.turns.take(this);
            state.awaits_turn = state.turn.is_none();
        }
        state.turn.is_some()
    }

    /// The task does not write after all.
    pub fn pass_turn(&self) {
        let turn = self.lock().turn.take();
        drop(turn);
    }

    /// Writes what waits, unless the task waits to do so. Returns those to tell once the lock is released.
    pub(super) fn write_now(&self, state: &mut State) -> Told {
        if state.blocked || state.phase == Phase::Dead {
            return Told::default();
        }
        let written = self.write(state);
        let held = self.after_writing(state, written);
        let wake = match written {
            Written::All => state.phase == Phase::Finishing,
            Written::More | Written::Blocked { .. } | Written::Gone => true,
        };
        Told { waker: if wake { state.waker.take() } else { None }, held, turn: None }
    }

    /// Updates the state after a turn of writing by either side. Returns the publishers to release once the lock is released.
    fn after_writing(&self, state: &mut State, written: Written) -> Option<Box<Held>> {
        match written {
            Written::All => state.blocked = false,
            Written::More | Written::Blocked { .. } => {
                state.blocked = true;
                state.queue.count(&self.limits.gauge);
            }
            // What waits is dropped by the task.
            Written::Gone => state.phase = Phase::Dead,
        }
        if state.awaits_room && (state.phase != Phase::Open || state.queue.bytes() <= self.limits.limit / 4) {
            (state.awaits_room, state.has_room) = (false, true);
        }
        let enough = state.phase == Phase::Dead || state.queue.bytes() <= self.limits.limit / 2;
        if enough { state.held.take() } else { None }
    }

    fn write(&self, state: &mut State) -> Written {
        let mut total = 0;
        while !state.queue.is_empty() {
            if total >= TURN {
                return Written::More;
            }
            let (asked, written) = self.write_once(&state.queue);
            match written {
                Ok(0) => return Written::Gone,
                Ok(written) => {
                    state.queue.advance(written, &self.limits.gauge);
                    total += written;
                    if written < asked {
                        return Written::Blocked { progress: true };
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Written::Blocked { progress: total > 0 },
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Written::Gone,
            }
        }
        Written::All
    }

    /// One write from the front of the queue: how much it was to carry, and how much it did.
    fn write_once(&self, queue: &Queue) -> (usize, io::Result<usize>) {
        GATHERED.with_borrow_mut(|gathered| {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let count = queue.front(gathered, &mut slices, WRITE);
            if count == 0 {
                return (gathered.len(), self.sink.try_write(&[IoSlice::new(gathered)]));
            }
            let slices = &slices[..count];
            (slices.iter().map(|slice| slice.len()).sum(), self.sink.try_write(slices))
        })
    }
}

impl<S: Sink> TakesTurns for Outbox<S> {
    fn grant(&self, turns: &Arc<Turns>) -> bool {
        let mut state = self.lock();
        state.awaits_turn = false;
        if state.phase == Phase::Dead || !state.blocked {
            return false;
        }
        state.turn = Some(Turn::of(turns));
        let waker = state.waker.take();
        drop(state);
        wake(waker);
        true
    }
}
