//! Which tasks may write.
//!
//! When thousands of sockets become ready at once, each task would write its part before any other task runs. So tasks
//! take turns: a few write, the others wait here without holding anybody up, and each that has written lets the next one go on.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// An outbox whose task waits for a permit.
pub trait AwaitsPermit: Send + Sync {
    /// The task may write now. False if it has no use for that.
    fn grant(&self, permits: &Arc<WritePermits>) -> bool;
}

/// How many tasks may write at once. A second one is ready when the first is done.
const AT_ONCE: usize = 2;

/// The permits of one broker.
pub struct WritePermits(Mutex<Waiters>);

struct Waiters {
    free: usize,
    waiting: VecDeque<Arc<dyn AwaitsPermit>>,
}

/// The right to write once. When it is dropped, it goes to the next task that waits. Never to be dropped while an outbox is locked.
pub(super) struct WritePermit(Arc<WritePermits>);

impl Default for WritePermits {
    fn default() -> Self {
        Self(Mutex::new(Waiters { free: AT_ONCE, waiting: VecDeque::new() }))
    }
}

impl WritePermits {
    /// A permit, if one is free. If not, the outbox is granted one later.
    pub(super) fn take(self: &Arc<Self>, outbox: impl FnOnce() -> Arc<dyn AwaitsPermit>) -> Option<WritePermit> {
        let mut state = self.lock();
        if state.free > 0 {
            state.free -= 1;
            return Some(WritePermit(Arc::clone(self)));
        }
        state.waiting.push_back(outbox());
        None
    }

    fn next(&self) -> Option<Arc<dyn AwaitsPermit>> {
        let mut state = self.lock();
        let next = state.waiting.pop_front();
        if next.is_none() {
            state.free += 1;
            // The room that a crowd needed is not kept.
            state.waiting.shrink_to(64);
        }
        next
    }

    fn lock(&self) -> MutexGuard<'_, Waiters> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for WritePermits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WritePermits").finish_non_exhaustive()
    }
}

impl Drop for WritePermit {
    fn drop(&mut self) {
        while let Some(outbox) = self.0.next() {
            if outbox.grant(&self.0) {
                return;
            }
        }
    }
}

impl WritePermit {
    /// A permit that was handed on.
    pub(super) fn of(permits: &Arc<WritePermits>) -> Self {
        Self(Arc::clone(permits))
    }
}
