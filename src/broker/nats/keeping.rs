//! Has the snapshots of this node stored, one at a time, and the log forget what they stand for.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use tokio::sync::mpsc::Receiver;

use crate::broker::space::{Snapshot, Told};

use super::api::{Api, Fault, WRONG_LAST_SEQUENCE};
use super::names::Names;
use super::snapshot::Head;
use super::telling::Teller;

/// The head is tried so often, if others write theirs meanwhile.
const TRIES: usize = 5;

/// A snapshot to be stored, and up to where the log may forget.
pub(super) type Keep = (Snapshot, u64);

/// Has snapshots stored.
pub(super) struct Keeper {
    pub(super) api: Api,
    pub(super) names: Names,
    pub(super) teller: Arc<Teller>,
    pub(super) keeps: Receiver<Keep>,
    /// One is being stored.
    pub(super) is_busy: Arc<AtomicBool>,
    /// Which log it is, once that is known.
    pub(super) log: Arc<OnceLock<u64>>,
    /// A snapshot of which there are pieces that can never count.
    pub(super) left: Option<String>,
}

impl Keeper {
    /// Stores what there is, until whoever has it stored is gone.
    pub(super) async fn run(mut self) {
        while let Some((snapshot, forget)) = self.keeps.recv().await {
            let kept = self.keep(snapshot, forget).await;
            self.is_busy.store(false, Ordering::Release);
            self.teller.tell(Told::Kept(kept));
        }
    }

    /// Returns the cut of the snapshot that stands there then: this one, or a newer one.
    async fn keep(&mut self, snapshot: Snapshot, forget: u64) -> Result<u64, String> {
        let Some(log) = self.log.get().copied() else {
            return Err("the log has not been read yet; keep a snapshot when it has begun".to_owned());
        };
        // Only then are there new ones: otherwise those that fail would fill the disk.
        self.clear().await.map_err(|fault| fault.to_string())?;
        let stored = self.stored(snapshot, log).await;
        if stored.is_err() {
            // If that fails too, it is done before the next.
            drop(self.clear().await);
        }
        let head = stored.map_err(|fault| fault.to_string())?;
        self.forgotten(&head, forget).await.map_err(|fault| format!("the snapshot is kept, but the log does not forget: {fault}"))?;
        Ok(head.cut)
    }

    /// Returns the head that stands there then.
    async fn stored(&mut self, snapshot: Snapshot, log: u64) -> Result<Head, Fault> {
        let (head, snapshot) = Head::of(snapshot, log).await?;
        let mut before = match self.before(&head).await? {
            Before::Newer(newer) => return Ok(newer),
            Before::Older(sequence) => sequence,
        };
        self.left = Some(head.id.clone());
        for (number, piece) in snapshot.pieces.into_iter().enumerate() {
            self.api.store(self.names.piece(&head.id, number), piece.into(), None).await?;
        }
        let content = serde_json::to_vec(&head).map_err(|error| Fault::Silent(error.to_string()))?;
        for _ in 0..TRIES {
            match self.api.store(self.names.head(), content.clone().into(), Some(before)).await {
                Ok(_) => {
                    self.left = None;
                    return Ok(head);
                }
                // Another node was faster; or it is not known who was.
                Err(fault) if fault.is(WRONG_LAST_SEQUENCE) || matches!(fault, Fault::Silent(_)) => {
                    if matches!(fault, Fault::Silent(_)) {
                        // From here on it may count.
                        self.left = None;
                    }
                    match self.before(&head).await? {
                        Before::Newer(newer) => return Ok(newer),
                        Before::Older(sequence) => before = sequence,
                    }
                }
                Err(fault) => return Err(fault),
            }
        }
        Err(Fault::Silent("other nodes write snapshots all the time; this one is left out".to_owned()))
    }

    /// What stands there before a head is written.
    async fn before(&self, head: &Head) -> Result<Before, Fault> {
        Ok(match Head::read(&self.api, &self.names).await? {
            None => Before::Older(0),
            Some((other, _)) if other.log != head.log => {
                return Err(Fault::Silent(format!("the snapshots in {} are of another log; start this node again", self.names.state)));
            }
            Some((other, _)) if other.cut >= head.cut => Before::Newer(other),
            Some((_, sequence)) => Before::Older(sequence),
        })
    }

    /// Has the pieces forgotten of a snapshot that was not stored.
    async fn clear(&mut self) -> Result<(), Fault> {
        if let Some(id) = &self.left {
            self.api.purge(&self.names.state, &self.names.pieces(Some(id))).await?;
            self.left = None;
        }
        Ok(())
    }

    /// Has the pieces forgotten that never count any more, and the records that the snapshot stands for.
    async fn forgotten(&self, head: &Head, forget: u64) -> Result<(), Fault> {
        let subjects = self.api.subjects(&self.names.state, &self.names.pieces(None)).await?;
        let mut ids: Vec<_> = subjects.iter().filter_map(|subject| self.names.id_of(subject)).filter(|id| head.outlives(id)).collect();
        ids.sort_unstable();
        ids.dedup();
        for id in ids {
            self.api.purge(&self.names.state, &self.names.pieces(Some(id))).await?;
        }
        match forget.min(head.cut) {
            0 => Ok(()),
            forget => self.api.purge_before(&self.names.log, forget + 1).await,
        }
    }
}

/// The head that stands there before another is written.
enum Before {
    /// One that need not be replaced.
    Newer(Head),
    /// One that has this sequence, or 0 if there is none.
    Older(u64),
}
