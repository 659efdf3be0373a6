//! Where brokers keep what there is: a store on a disk that fails, and that outlives them.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fastrand::Rng;
use msgstream::broker::StoreSettings;
use msgstream::internal::broker::actor::Actor;
use msgstream::internal::broker::connection::ConnectionContext;
use msgstream::internal::broker::keep_without_thread;
use msgstream::internal::broker::store::Store;
use msgstream::units::Span;
use tokio::time::Instant;

use super::disk::{Disk, Until};

/// When all simulations begin, since 1970.
const BEGINNING: Duration = Duration::from_secs(1_700_000_000);

pub(crate) struct Kept {
    disk: Mutex<Disk>,
    is_full: AtomicBool,
    interval: Duration,
    born: Instant,
}

impl Kept {
    /// A new store, on a disk with which all is well.
    pub(crate) fn new(interval: Duration) -> Self {
        let kept = Self { disk: Mutex::default(), is_full: AtomicBool::new(false), interval, born: Instant::now() };
        Store::with_backend(kept.disk(), BEGINNING).unwrap().close().unwrap();
        kept
    }

    fn disk(&self) -> Disk {
        self.disk.lock().unwrap().clone()
    }

    /// Has a broker begin with what the last one has left, and keep what it has.
    pub(crate) fn keep(&self, actor: Actor, context: &ConnectionContext) -> Result<Actor, String> {
        let now = BEGINNING + self.born.elapsed();
        let store = Store::with_backend(self.disk(), now).map_err(|error| error.to_string())?;
        let settings = StoreSettings::default().interval(Span(self.interval));
        let kept = keep_without_thread(actor, store, &settings, now, &context.mailbox, &context.stats);
        let mut actor = kept.map_err(|error| error.to_string())?;
        actor.begin_to_keep().map_err(|error| error.to_string())?;
        Ok(actor)
    }

    /// From now on the disk is full, or is not.
    pub(crate) fn fill(&self, is_full: bool) {
        self.is_full.store(is_full, Ordering::Relaxed);
        self.disk().fill(is_full);
    }

    pub(crate) fn is_full(&self) -> bool {
        self.is_full.load(Ordering::Relaxed)
    }

    /// Lets the power fail while it writes.
    pub(crate) fn fail_soon(&self, rng: &mut Rng) {
        let (until, most) = [(Until::Operation, 30), (Until::Sync, 2)][rng.usize(0..2)];
        self.disk().fail_after(until, rng.usize(0..most));
    }

    pub(crate) fn failures(&self) -> usize {
        self.disk().failures()
    }

    /// Whether the last broker has left all that it had, as it says.
    pub(crate) fn is_whole(&self) -> bool {
        let store = Store::with_backend(Disk::of(self.disk().content()), BEGINNING);
        store.and_then(|mut store| store.read_clock(BEGINNING)).is_ok_and(|loaded| loaded.life.is_some())
    }

    /// The broker was killed, or its machine is gone: then not all that was written may be there. Whoever had the disk before has it no
    /// more, whatever it still writes.
    pub(crate) fn crash(&self, rng: &mut Rng) {
        let mut disk = self.disk.lock().unwrap();
        // There is room on what it has become.
        self.is_full.store(false, Ordering::Relaxed);
        *disk = if disk.failures() == 0 && rng.bool() { Disk::of(disk.content()) } else { disk.after_crash(rng) };
    }
}
