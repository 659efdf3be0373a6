//! What has been received and has not taken effect: unfinished lines, and batches on their way to the actor.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::wire::Gauge;

/// When batches that wait for their turn take more than this together, connections read little at a time, so that the actor gets to
/// them soon. It is a matter of a few milliseconds of decoding rather than of memory.
const CROWDED: usize = 4 << 20;

/// Counts what all connections have received and what has not taken effect, in bytes of memory.
#[derive(Debug)]
pub struct Intake {
    /// The most that may be received. Small lines are taken beyond it.
    most: AtomicUsize,
    received: Gauge,
    /// The part of `received` that has been decoded, ...
    decoded: Gauge,
    /// ... and the part of that which waits for nothing but its turn.
    ready: Gauge,
    /// All bytes that have ever been read.
    read: AtomicU64,
}

impl Intake {
    /// An intake of `most` bytes.
    pub fn new(most: usize) -> Self {
        let (received, decoded, ready) = (Gauge::default(), Gauge::default(), Gauge::default());
        Self { most: AtomicUsize::new(most), received, decoded, ready, read: AtomicU64::new(0) }
    }

    /// A connection has read so many bytes.
    pub fn note_read(&self, bytes: usize) {
        self.read.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// How many bytes all connections have read.
    pub fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// The most that may be received.
    pub fn most(&self) -> usize {
        self.most.load(Ordering::Relaxed)
    }

    /// From now on so much may be received.
    pub fn set_most(&self, most: usize) {
        self.most.store(most, Ordering::Relaxed);
    }

    /// What has been received and has not taken effect.
    pub fn received(&self) -> &Gauge {
        &self.received
    }

    /// Whether connections are to read little at a time: because much waits for the actor, or because what waits, for whatever,
    /// takes half of the room.
    pub fn is_crowded(&self) -> bool {
        self.ready.bytes() > CROWDED || self.decoded.bytes() > self.most() / 2
    }

    /// Counts a batch of `bytes` until the claim is dropped.
    pub fn claim(self: &Arc<Self>, bytes: usize) -> Claim {
        self.received.add(bytes);
        self.decoded.add(bytes);
        self.ready.add(bytes);
        Claim { intake: Some(Arc::clone(self)), bytes, parked: false }
    }
}

/// The memory of one batch. Dropped with it.
#[derive(Debug, Default)]
pub struct Claim {
    intake: Option<Arc<Intake>>,
    bytes: usize,
    parked: bool,
}

impl Claim {
    /// The batch waits for something else than its turn, which comes no sooner if others read less.
    pub(super) fn park(&mut self) {
        if let Some(intake) = self.intake.as_ref().filter(|_| !self.parked) {
            self.parked = true;
            intake.ready.remove(self.bytes);
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.park();
        if let Some(intake) = &self.intake {
            intake.decoded.remove(self.bytes);
            intake.received.remove(self.bytes);
        }
    }
}
