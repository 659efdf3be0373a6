//! Connections that the broker ends against their will: cut listeners in the log, each one, but no more than a few in a second; and the
//! last of all of them, for who asks.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::time::{Instant, sleep};
use tracing::warn;

use crate::broker::access::Access;
use crate::wire::ids::ConnectionId;

use super::recent::{Recent, Removed};

/// A time in which no more than [`MOST`] are logged one by one.
const WINDOW: Duration = Duration::from_secs(1);
/// How many cuts of one window are logged one by one.
const MOST: u64 = 10;

/// Logs cut listeners, and remembers the last connections that were cut off or turned away.
#[derive(Debug, Default)]
pub struct CutLog {
    window: Mutex<Option<Window>>,
    recent: Mutex<Recent>,
    /// Who knows the names of those who are connected.
    access: OnceLock<Arc<Access>>,
}

#[derive(Debug)]
struct Window {
    began: Instant,
    cuts: u64,
}

/// Why a listener is cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// More waited for it than one may have.
    Limit,
    /// It was the one whose cut gives back most when all queues took too much.
    Total,
    /// It took nothing for too long.
    Write,
    /// It held publishers back for too long.
    Throttle,
}

impl Cut {
    /// Every reason.
    pub const ALL: [Self; 4] = [Self::Limit, Self::Total, Self::Write, Self::Throttle];

    /// The setting that was exceeded, as a word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Limit => "outbox_limit",
            Self::Total => "outbox_total",
            Self::Write => "write_time",
            Self::Throttle => "throttle_time",
        }
    }
}

impl CutLog {
    /// From now on the names of those who are connected are known.
    pub fn knows(&self, access: &Arc<Access>) {
        // A broker has one table of identities.
        let _ = self.access.set(Arc::clone(access));
    }

    /// A listener was cut off with `bytes` in its queue; `reason` is what it was told.
    pub fn cut(self: &Arc<Self>, connection: ConnectionId, peer: impl Fn() -> String, why: Cut, reason: impl Fn() -> String, bytes: usize) {
        let cuts = self.count();
        if cuts <= MOST {
            let reason = match why {
                Cut::Limit | Cut::Total => why.as_str().to_owned(),
                // Which of the times it was, and how long that is, is said by the text.
                Cut::Write | Cut::Throttle => reason(),
            };
            warn!(connection = connection.0, peer = peer(), reason, bytes, "listener cut off");
        } else if cuts == MOST + 1 {
            let log = Arc::clone(self);
            tokio::spawn(async move {
                sleep(WINDOW).await;
                log.tell_rest();
            });
        }
        self.note(Some(connection), peer, why.as_str(), reason, bytes);
    }

    /// A connection was cut off or turned away, and told why. Beyond a number in one second they are only counted.
    pub(crate) fn note(
        &self,
        connection: Option<ConnectionId>,
        peer: impl FnOnce() -> String,
        code: &'static str,
        reason: impl FnOnce() -> String,
        queued: usize,
    ) {
        if !lock(&self.recent).takes_one(Instant::now()) {
            return;
        }
        let name = connection.and_then(|id| self.access.get()?.try_name_of(id));
        let connection = connection.map(|id| id.0);
        // Made outside the lock, since a peer's name is asked of the system.
        let removed = Removed { when: SystemTime::now(), connection, peer: peer(), name, code, reason: reason(), queued, others: 0 };
        lock(&self.recent).keep(removed);
    }

    /// The last connections that were cut off or turned away, no more than a hundred, the last one first.
    pub fn recent(&self) -> Vec<Removed> {
        lock(&self.recent).all()
    }

    /// Counts a cut. How many there have been in this window.
    fn count(&self) -> u64 {
        let now = Instant::now();
        let mut window = lock(&self.window);
        let window = match &mut *window {
            Some(window) if now.duration_since(window.began) < WINDOW || window.cuts > MOST => window,
            window => window.insert(Window { began: now, cuts: 0 }),
        };
        window.cuts += 1;
        window.cuts
    }

    /// Says how many were not logged one by one, and starts a new count.
    pub fn tell_rest(&self) {
        let window = lock(&self.window).take();
        if let Some(Window { cuts, .. }) = window
            && cuts > MOST
        {
            warn!(count = cuts - MOST, "listeners cut off, not logged one by one");
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
