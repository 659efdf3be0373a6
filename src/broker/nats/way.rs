//! The way of a node to its log.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::broker::space::{Log, RecordId, Snapshot, Told};

use super::appending::QuietSender;
use super::credit::Taken;
use super::keeping::Keep;
use super::pending::{Append, Pending};
use super::telling::Teller;

/// The last record is waited for this long at the end.
const LAST_WORD: Duration = Duration::from_secs(2);

/// The way to a log in JetStream. It ends when it is dropped.
pub struct Way {
    pub(super) pending: Arc<Pending>,
    /// There as soon as NATS is called.
    pub(super) sender: Arc<OnceLock<QuietSender>>,
    pub(super) keeps: mpsc::Sender<Keep>,
    /// A snapshot is being stored.
    pub(super) is_busy: Arc<AtomicBool>,
    pub(super) taken: Arc<Taken>,
    pub(super) teller: Arc<Teller>,
    pub(super) stop: CancellationToken,
    pub(super) _stops: DropGuard,
}

impl Log for Way {
    fn append(&mut self, id: RecordId, record: Vec<u8>) {
        let append = Append { id, record: record.into() };
        self.pending.append(append, |record| self.sender.get().is_some_and(|sender| sender.send(record)));
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

    fn finish(self: Box<Self>) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move {
            tokio::select! {
                () = self.pending.free() => {}
                () = self.stop.cancelled() => {}
                () = sleep(LAST_WORD) => {}
            }
        })
    }
}
