//! Whether what this node has stored in the log comes back from it.
//!
//! A server whose copy of the log stays behind the others' says nothing of it: its consumers have all that it has, and go on saying so. But of
//! what this node has stored, JetStream has said where in the log it stands.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// What is stored comes within this, or it is asked for again, perhaps of another server.
const PATIENCE: Duration = Duration::from_secs(2);

/// Up to where the records of this node stand in the log. Told from anywhere.
#[derive(Debug, Default)]
pub(super) struct Stored(AtomicU64);

impl Stored {
    /// A record of this node stands here.
    pub(super) fn up_to(&self, sequence: u64) {
        self.0.fetch_max(sequence, Ordering::Relaxed);
    }

    fn has(&self, next: u64) -> bool {
        self.0.load(Ordering::Relaxed) >= next
    }
}

/// For how long nothing has come of a log that has more.
#[derive(Debug, Default)]
pub(super) struct Overdue(Option<Instant>);

impl Overdue {
    /// A record has come.
    pub(super) fn came(&mut self) {
        self.0 = None;
    }

    /// The server says that it has nothing new, but it must have the `next` record. True if that has been so for too long.
    pub(super) fn is_so(&mut self, stored: &Stored, next: u64) -> bool {
        if !stored.has(next) {
            self.0 = None;
            return false;
        }
        self.0.get_or_insert_with(Instant::now).elapsed() >= PATIENCE
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_stored_and_does_not_come_is_overdue_in_time() {
        let (stored, mut overdue) = (Stored::default(), Overdue::default());
        stored.up_to(7);
        advance(PATIENCE * 9).await;
        assert!(!overdue.is_so(&stored, 8) && !overdue.is_so(&stored, 7), "it may be on its way");
        advance(PATIENCE / 2).await;
        assert!(!overdue.is_so(&stored, 7));
        advance(PATIENCE / 2).await;
        assert!(overdue.is_so(&stored, 7));
        overdue.came();
        assert!(!overdue.is_so(&stored, 7), "another has come");
        advance(PATIENCE).await;
        assert!(!overdue.is_so(&stored, 8) && !overdue.is_so(&stored, 7), "all has come meanwhile");
    }
}
