//! What is known of the store, by whoever watches over the broker. Counts and levels: what is stored where is not known here.
#![cfg_attr(
    not(all(feature = "store", feature = "http")),
    allow(dead_code, reason = "without a store nothing is told, and without HTTP nobody is")
)]

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::count::Count;

/// A transaction that takes longer than this is one of a disk that hangs: nobody can say when it ends.
const HANGS: Duration = Duration::from_secs(30);

/// How the store does.
#[derive(Debug, Default)]
pub struct Saves {
    is_kept: AtomicBool,
    /// Since when a transaction is being written.
    writing: Mutex<Option<Instant>>,
    /// Since when it has failed, and why it did last.
    failing: Mutex<Option<(Instant, String)>>,
    /// Transactions that are durable.
    pub(crate) done: Count,
    /// Those that failed.
    pub(crate) failed: Count,
    /// Streams and wills that were written.
    pub(crate) changes: Count,
    /// How long all transactions took, in microseconds.
    pub(crate) micros: Count,
    /// The bytes of the file.
    pub(crate) size: Count,
    /// All bytes that were written to it.
    pub(crate) written: Count,
}

impl Saves {
    /// There is a store.
    pub(crate) fn keep(&self) {
        self.is_kept.store(true, Ordering::Relaxed);
    }

    /// There is none any more.
    pub(crate) fn give_up(&self) {
        self.is_kept.store(false, Ordering::Relaxed);
    }

    /// Whether there is a store, so that anything can be durable.
    pub(crate) fn is_kept(&self) -> bool {
        self.is_kept.load(Ordering::Relaxed)
    }

    /// A transaction begins. It counts as being written until what is returned is dropped.
    pub(crate) fn begin(self: &Arc<Self>) -> Writing {
        *self.writing.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        Writing(Arc::clone(self))
    }

    /// A transaction is durable: so many changes, after so long. The file is of this size now, and so much of it has been written.
    pub(crate) fn wrote(&self, changes: usize, took: Duration, size: u64, written: u64) {
        self.done.add(1);
        self.changes.add(changes as u64);
        self.micros.add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        self.size.set(size);
        self.written.set(written);
    }

    /// All that had changed is durable.
    pub(crate) fn succeeded(&self) {
        *self.failing.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// It could not be written, and why.
    pub(crate) fn failed(&self, why: &str) {
        self.failed.add(1);
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        let since = failing.as_ref().map_or_else(Instant::now, |(since, _)| *since);
        *failing = Some((since, why.to_owned()));
    }

    /// For how long it has not been possible to write it, and why. None if all is well.
    pub(crate) fn failing(&self) -> Option<(Duration, String)> {
        let failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        let failing = failing.as_ref().map(|(since, why)| (since.elapsed(), why.clone()));
        failing.or_else(|| {
            let writing = *self.writing.lock().unwrap_or_else(PoisonError::into_inner);
            let hangs = writing.map(|since| since.elapsed()).filter(|time| *time > HANGS)?;
            Some((hangs, format!("the disk has not finished a write within {} s", HANGS.as_secs())))
        })
    }
}

/// A transaction that is being written.
#[derive(Debug)]
pub(crate) struct Writing(Arc<Saves>);

impl Drop for Writing {
    fn drop(&mut self) {
        *self.0.writing.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_fails_until_it_succeeds() {
        let saves = Saves::default();
        assert_eq!(saves.failing(), None);
        saves.failed("no room");
        saves.failed("still no room");
        assert_eq!(saves.failing().map(|(_, why)| why), Some("still no room".to_owned()));
        saves.succeeded();
        assert_eq!((saves.failing(), saves.failed.value()), (None, 2));
    }

    // Seen to fail: a disk that hung was said to be well, and whoever had said its last line waited for it for ever.
    #[test]
    fn a_disk_that_hangs_fails_until_it_answers() {
        let saves = Arc::new(Saves::default());
        let writing = saves.begin();
        assert_eq!(saves.failing(), None);
        *saves.writing.lock().unwrap() = Instant::now().checked_sub(2 * HANGS);
        assert!(saves.failing().is_some_and(|(time, why)| time > HANGS && why.contains("30 s")));
        drop(writing);
        assert_eq!(saves.failing(), None);
    }
}
