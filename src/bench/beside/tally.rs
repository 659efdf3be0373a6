//! What the threads of a run tell each other.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;

/// What the threads of a run tell each other.
pub(super) struct Tally {
    /// When nothing new is begun any more.
    pub(super) end: Instant,
    /// When nothing is waited for any more.
    given_up: Instant,
    /// Bytes that all listeners together have received.
    received: Mutex<u64>,
    moved: Condvar,
    /// Bytes that will have been received once all bursts so far have arrived.
    expected: AtomicU64,
    ended: AtomicBool,
}

/// How soon a thread that waits for the broker notices the end of the run.
pub(super) const TICK: Duration = Duration::from_millis(50);

impl Tally {
    /// A run until `end`, after which what has begun may take as long as `patience` allows.
    pub(super) fn new(end: Instant, patience: Duration) -> Self {
        Self {
            end,
            given_up: end + patience,
            received: Mutex::default(),
            moved: Condvar::new(),
            expected: AtomicU64::new(0),
            ended: AtomicBool::new(false),
        }
    }

    /// Ends the run for all if one thread fails.
    pub(super) fn guard<T>(&self, thread: impl FnOnce() -> Result<T>) -> Result<T> {
        let outcome = thread();
        if outcome.is_err() {
            self.end();
        }
        outcome
    }

    pub(super) fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }

    /// Whether all is done, or has taken too long, or cannot go on.
    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed) || Instant::now() >= self.given_up
    }

    /// Notes what the listeners will receive; returns how much that makes in all.
    pub(super) fn expect(&self, bytes: u64) -> u64 {
        self.expected.fetch_add(bytes, Ordering::Relaxed) + bytes
    }

    pub(super) fn add(&self, bytes: u64) {
        *self.received.lock().unwrap_or_else(PoisonError::into_inner) += bytes;
        self.moved.notify_all();
    }

    /// Waits until the listeners have received that much in all; says whether they have before the run ended.
    pub(super) fn await_received(&self, goal: u64) -> bool {
        let mut received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        while *received < goal && !self.has_ended() {
            received = self.moved.wait_timeout(received, TICK).unwrap_or_else(PoisonError::into_inner).0;
        }
        *received >= goal
    }
}
