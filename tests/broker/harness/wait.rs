//! Waiting for something to be so, with a deadline that fails the test.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long anything may take before a test fails. Far longer than anything takes, since a busy machine is no fault.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// How often a state that raises no event, such as the size of a process, is looked at.
const GLANCE: Duration = Duration::from_millis(2);

/// Waits until `look` sees something, and returns it.
///
/// # Panics
/// If [`PATIENCE`] runs out.
pub(crate) fn until<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    until_within(PATIENCE, what, look)
}

/// Waits until `look` sees something, and returns it.
///
/// # Panics
/// If it takes longer than `limit`.
pub(crate) fn until_within<T>(limit: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(start.elapsed() < limit, "waited {limit:?} in vain until {what}");
        thread::park_timeout(GLANCE);
    }
}

/// Looks at something again and again for a span of time. Only for what is measured per time, such as the processor's
/// use, and for what must *not* happen: nothing is told apart by how long it took.
pub(crate) fn watch(span: Duration, mut look: impl FnMut()) {
    let start = Instant::now();
    while start.elapsed() < span {
        look();
        thread::park_timeout(GLANCE);
    }
}

/// Held by a test that fills the machine or measures it, so that no two such tests run at once.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    // A test that failed while it held the lock has left nothing behind that concerns the next.
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}
