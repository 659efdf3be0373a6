//! Whether the server that leads the log answers this node, and whether what it has stored comes back.
//!
//! A node reads only while its own records are answered for. A leader that has been cut off from the others takes records that the others never
//! agree to, and a NATS server may, once it is no leader any more, put them into its copy of the log all the same. It elects anew after four
//! seconds at the earliest, so a node that stops reading before that never sees them.
//!
//! A server whose copy stays behind the others' says nothing of it either: its consumers have all that it has, and go on saying so. But of what
//! this node has stored, JetStream has said where in the log it stands.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

/// An answer, and what is stored, comes within this.
const PATIENCE: Duration = Duration::from_secs(2);

/// How often it is looked at whether one waits.
const LOOK: Duration = Duration::from_millis(250);

/// What JetStream says of the records of this node. Told from anywhere.
#[derive(Debug, Default)]
pub(super) struct Touch {
    /// Up to where they stand in the log.
    stored: AtomicU64,
    /// Since when one waits to be answered for.
    waits: Mutex<Option<Instant>>,
    /// An answer has come that had not for too long.
    found: Notify,
}

impl Touch {
    /// A record waits to be answered for from now on.
    pub(super) fn asked(&self) {
        self.set(Some(Instant::now()));
    }

    /// No record waits any more.
    pub(super) fn is_done(&self) {
        self.set(None);
    }

    /// A record of this node stands here.
    pub(super) fn stored(&self, sequence: u64) {
        self.stored.fetch_max(sequence, Ordering::Relaxed);
        self.is_done();
    }

    fn set(&self, waits: Option<Instant>) {
        let was = std::mem::replace(&mut *self.waits.lock().unwrap_or_else(PoisonError::into_inner), waits);
        if was.is_some_and(is_too_long) {
            self.found.notify_one();
        }
    }

    fn waits(&self) -> Option<Instant> {
        *self.waits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether no answer has come for too long.
    pub(super) fn is_lost(&self) -> bool {
        self.waits().is_some_and(is_too_long)
    }

    /// Waits until no answer has come for too long.
    pub(super) async fn lost(&self) {
        while !self.is_lost() {
            // Nobody is woken for each record: it is looked at now and then.
            let left = self.waits().map_or(PATIENCE, |since| PATIENCE.saturating_sub(since.elapsed()));
            sleep(left.min(LOOK)).await;
        }
    }

    /// Waits until an answer has come. Only one may wait.
    pub(super) async fn found(&self) {
        while self.is_lost() {
            self.found.notified().await;
        }
    }

    fn has(&self, next: u64) -> bool {
        self.stored.load(Ordering::Relaxed) >= next
    }
}

fn is_too_long(since: Instant) -> bool {
    since.elapsed() >= PATIENCE
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
    pub(super) fn is_so(&mut self, touch: &Touch, next: u64) -> bool {
        if !touch.has(next) {
            self.0 = None;
            return false;
        }
        self.0.get_or_insert_with(Instant::now).elapsed() >= PATIENCE
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_stored_and_does_not_come_is_overdue_in_time() {
        let (touch, mut overdue) = (Touch::default(), Overdue::default());
        touch.stored(7);
        advance(PATIENCE * 9).await;
        assert!(!overdue.is_so(&touch, 8) && !overdue.is_so(&touch, 7), "it may be on its way");
        advance(PATIENCE / 2).await;
        assert!(!overdue.is_so(&touch, 7));
        advance(PATIENCE / 2).await;
        assert!(overdue.is_so(&touch, 7));
        overdue.came();
        assert!(!overdue.is_so(&touch, 7), "another has come");
        advance(PATIENCE).await;
        assert!(!overdue.is_so(&touch, 8) && !overdue.is_so(&touch, 7), "all has come meanwhile");
    }

    #[tokio::test(start_paused = true)]
    async fn touch_is_lost_while_a_record_waits_for_too_long() {
        let touch = Touch::default();
        let began = Instant::now();
        let is_pending = |future: &mut (dyn Future<Output = ()> + Unpin)| {
            std::pin::Pin::new(future).poll(&mut Context::from_waker(Waker::noop())) == Poll::Pending
        };
        {
            let mut lost = pin!(touch.lost());
            assert!(is_pending(&mut lost));
            advance(PATIENCE * 9).await;
            assert!(is_pending(&mut lost), "nothing waits");
            touch.asked();
            assert!(is_pending(&mut lost));
            advance(PATIENCE / 2).await;
            touch.stored(1);
            touch.asked();
            advance(PATIENCE / 2).await;
            assert!(is_pending(&mut lost), "another waits, and not for so long");
            lost.await;
        }
        assert_eq!(began.elapsed(), PATIENCE * 21 / 2);
        {
            let mut found = pin!(touch.found());
            assert!(is_pending(&mut found));
            touch.stored(2);
            assert!(!is_pending(&mut found));
        }
        assert!(!touch.is_lost());
    }
}
