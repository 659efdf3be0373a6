//! How much may have been told that was not taken yet, so that a long log does not fill the memory of who is slow to apply it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

/// So many bytes of records may have been told and not taken.
const LIMIT: usize = 16 << 20;

/// What a record takes beyond its own bytes, about.
const OVERHEAD: usize = 64;

/// Up to where records were taken. Told from anywhere.
#[derive(Debug, Default)]
pub(super) struct Taken {
    sequence: AtomicU64,
    more: Notify,
}

impl Taken {
    /// All records up to this one have been applied.
    pub(super) fn up_to(&self, sequence: u64) {
        self.sequence.fetch_max(sequence, Ordering::Relaxed);
        self.more.notify_one();
    }
}

/// What was told and not taken.
#[derive(Debug, Default)]
pub(super) struct Untaken {
    /// The sequences of records, and what each takes.
    records: VecDeque<(u64, usize)>,
    bytes: usize,
}

impl Untaken {
    /// A record is told.
    pub(super) fn told(&mut self, sequence: u64, length: usize, taken: &Taken) {
        let bytes = length + OVERHEAD;
        self.records.push_back((sequence, bytes));
        self.bytes += bytes;
        self.forget(taken);
    }

    /// Whether another record may be told.
    pub(super) fn has_room(&self) -> bool {
        self.bytes < LIMIT
    }

    /// Waits until another record may be told.
    pub(super) async fn room(&mut self, taken: &Taken) {
        self.forget(taken);
        while !self.has_room() {
            taken.more.notified().await;
            self.forget(taken);
        }
    }

    fn forget(&mut self, taken: &Taken) {
        let up_to = taken.sequence.load(Ordering::Relaxed);
        while let Some((_, bytes)) = self.records.front().filter(|(sequence, _)| *sequence <= up_to) {
            self.bytes -= bytes;
            self.records.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;

    #[test]
    fn there_is_room_again_once_records_were_taken() {
        let (taken, mut untaken) = (Taken::default(), Untaken::default());
        untaken.told(3, LIMIT / 2, &taken);
        assert!(untaken.has_room());
        untaken.told(4, LIMIT / 2, &taken);
        assert!(!untaken.has_room());
        let mut context = Context::from_waker(Waker::noop());
        {
            let mut room = pin!(untaken.room(&taken));
            assert!(room.as_mut().poll(&mut context).is_pending());
            taken.up_to(2);
            assert!(room.as_mut().poll(&mut context).is_pending());
            taken.up_to(3);
            assert!(room.as_mut().poll(&mut context).is_ready());
        }
        untaken.told(5, 1, &taken);
        taken.up_to(5);
        untaken.told(6, 1, &taken);
        assert_eq!((untaken.records.len(), untaken.bytes), (1, 1 + OVERHEAD));
    }
}
