//! The way of a node to its log.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_util::sync::DropGuard;

use crate::broker::space::{Log, RecordId, Snapshot, Told};

use super::appending::Append;
use super::credit::Taken;
use super::keeping::Keep;
use super::telling::Teller;

/// The last record is waited for this long at the end.
const LAST_WORD: Duration = Duration::from_secs(2);

/// The way to a log in JetStream. It ends when it is dropped.
pub struct Way {
    pub(super) appends: mpsc::UnboundedSender<Append>,
    /// How many records were appended, ...
    pub(super) appended: u64,
    /// ... and of how many of them it is known that they are stored, or replaced by another.
    pub(super) done: watch::Receiver<u64>,
    pub(super) keeps: mpsc::Sender<Keep>,
    /// A snapshot is being stored.
    pub(super) is_busy: Arc<AtomicBool>,
    pub(super) taken: Arc<Taken>,
    pub(super) teller: Arc<Teller>,
    pub(super) _stop: DropGuard,
}

impl Log for Way {
    fn append(&mut self, id: RecordId, record: Vec<u8>) {
        self.appended += 1;
        // Nobody is there only behind the end, which has been told.
        let _ = self.appends.send(Append { id, record: record.into() });
    }

    fn keep(&mut self, snapshot: Snapshot, forget: u64) {
        let sent = !self.is_busy.swap(true, Ordering::AcqRel) && self.keeps.try_send((snapshot, forget)).is_ok();
        if !sent {
            self.teller.tell(Told::Kept(Err("another snapshot is still being stored".to_owned())));
        }
    }

    fn taken(&mut self, sequence: u64) {
        self.taken.up_to(sequence);
    }

    fn finish(mut self: Box<Self>) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move {
            let appended = self.appended;
            let _ = timeout(LAST_WORD, self.done.wait_for(|done| *done >= appended)).await;
        })
    }
}
