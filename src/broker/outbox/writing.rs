//! An outbox's writing, by either side.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::outbox::{Held, Inner, Openness, Outbox, Told, release, wake};
use super::outcome::{Flushed, Written};
use super::permits::{AwaitsPermit, WritePermit, WritePermits};
use super::queue::{Queue, SLICES};
use super::sink::{Sink, Unsent};

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
        state.filled = 0;
        let told = self.write_now(&mut state);
        let bytes = before + state.filled - state.queue.bytes();
        let flushed = Flushed { bytes, has_room: std::mem::take(&mut state.has_room) };
        drop(state);
        told.tell();
        flushed
    }

    /// The task's turn: writes what waits, once the socket is ready.
    pub fn write_some(&self) -> Written {
        let mut state = self.lock();
        let written = match self.sink.try_flush() {
            Ok(Unsent { left: 0, went }) => self.write(&mut state).after_flushing(went),
            Ok(Unsent { went, .. }) => Written::Blocked { progress: went > 0 },
            Err(_) => Written::Gone,
        };
        let held = self.after_writing(&mut state, written);
        let permit = state.permit.take();
        drop(state);
        release(held);
        // Only now it is the next one's.
        drop(permit);
        written
    }

    /// Whether the task may write now. If not, it is woken when it may.
    pub fn may_write(&self, this: impl FnOnce() -> Arc<dyn AwaitsPermit>) -> bool {
        let mut state = self.lock();
        if state.permit.is_some() {
            return true;
        }
        if !state.awaits_permit {
            state.permit = self.limits.permits.take(this);
            state.awaits_permit = state.permit.is_none();
        }
        state.permit.is_some()
    }

    /// The task does not write after all.
    pub fn pass_permit(&self) {
        let permit = self.lock().permit.take();
        drop(permit);
    }

    /// Writes what waits, unless the task waits to do so. Returns those to tell once the lock is released.
    pub(super) fn write_now(&self, state: &mut Inner) -> Told {
        if state.blocked || state.openness == Openness::Dead {
            return Told::default();
        }
        let written = self.write(state);
        let held = self.after_writing(state, written);
        let wake = match written {
            Written::All => state.openness == Openness::Finishing,
            Written::More | Written::Blocked { .. } | Written::Gone => true,
        };
        Told { waker: if wake { state.waker.take() } else { None }, held, permit: None }
    }

    /// Updates the state after a turn of writing by either side. Returns the publishers to release once the lock is released.
    fn after_writing(&self, state: &mut Inner, written: Written) -> Option<Box<Held>> {
        match written {
            Written::All => state.blocked = false,
            Written::More | Written::Blocked { .. } => {
                state.blocked = true;
                state.queue.count(&self.limits.gauge);
            }
            // What waits is dropped by the task.
            Written::Gone => state.openness = Openness::Dead,
        }
        if state.awaits_room && (state.openness != Openness::Open || state.queue.bytes() <= self.limits.limit / 4) {
            (state.awaits_room, state.has_room) = (false, true);
        }
        let releases = state.held.is_some() && (state.openness == Openness::Dead || state.queued() <= self.limits.limit / 2);
        if releases { state.held.take() } else { None }
    }

    fn write(&self, state: &mut Inner) -> Written {
        if state.latest.is_some() { self.write_latest(state) } else { self.write_turn::<false>(state) }
    }

    /// Apart from the usual case, so that that one stays short.
    #[cold]
    #[inline(never)]
    fn write_latest(&self, state: &mut Inner) -> Written {
        self.write_turn::<true>(state)
    }

    /// A turn of writing. `LATEST`: there may be places in the queue that newest messages are to take.
    #[inline(always)]
    fn write_turn<const LATEST: bool>(&self, state: &mut Inner) -> Written {
        let mut total = 0;
        while !state.queue.is_empty() {
            if total >= TURN {
                return Written::More;
            }
            if LATEST && state.queue.begins_with_stand_in() {
                if !self.sink.is_ready() {
                    return Written::Blocked { progress: total > 0 };
                }
                self.fill_in(state);
                continue;
            }
            let (asked, written) = self.write_once(&state.queue);
            match written {
                Ok(0) => return Written::Gone,
                Ok(written) => {
                    self.limits.sent.fetch_add(written as u64, Ordering::Relaxed);
                    state.queue.advance(written, &self.limits.gauge);
                    if LATEST && let Some(latest) = &mut state.latest {
                        latest.sending = latest.sending.saturating_sub(written);
                    }
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
        if self.holds(state) { Written::Blocked { progress: total > 0 } } else { Written::All }
    }

    /// Whether the sink holds something of what it took. Most never do, and are not asked after each write.
    pub(super) fn holds(&self, state: &Inner) -> bool {
        state.may_hold && self.sink.holds()
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

impl<S: Sink> AwaitsPermit for Outbox<S> {
    fn grant(&self, permits: &Arc<WritePermits>) -> bool {
        let mut state = self.lock();
        state.awaits_permit = false;
        if state.openness == Openness::Dead || !state.blocked {
            return false;
        }
        state.permit = Some(WritePermit::of(permits));
        let waker = state.waker.take();
        drop(state);
        wake(waker);
        true
    }
}
