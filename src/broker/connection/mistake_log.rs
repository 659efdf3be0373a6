//! The mistakes of clients in the log: some of them one by one, all of them as a number.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::{debug, info};

use crate::wire::ErrorCode;
use crate::wire::ids::ConnectionId;

/// A time in which no more than [`MOST`] are logged one by one.
const WINDOW: Duration = Duration::from_secs(1);
/// How many mistakes of one window are logged one by one.
const MOST: u64 = 10;
/// After this time all that were made in it are told as a number.
const SUM: Duration = Duration::from_secs(60);

/// Logs mistakes.
#[derive(Debug, Default)]
pub struct MistakeLog(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    /// When the window began, and how many were logged in it.
    window: Option<(Instant, u64)>,
    /// Those that have not been told as a number yet.
    untold: u64,
}

/// What a client is told about the mistakes of one read.
#[derive(Debug)]
pub(super) struct Told {
    /// The first.
    pub(super) code: ErrorCode,
    pub(super) reason: String,
    /// How often each code was told.
    pub(super) codes: [u32; ErrorCode::ALL.len()],
    /// Why the connection is turned away, if it is.
    pub(super) away: Option<(ErrorCode, String)>,
}

impl MistakeLog {
    /// A client made some mistakes in one turn, and was told; `first` is about the first.
    pub(super) fn made(self: &Arc<Self>, connection: ConnectionId, peer: impl FnOnce() -> String, count: u64, first: Option<&Told>) {
        let (is_first, is_logged) = self.count(count);
        if is_logged && let Some(Told { code, reason, .. }) = first {
            debug!(connection = connection.0, peer = peer(), %code, reason, count, "line refused");
        }
        if is_first {
            let log = Arc::clone(self);
            tokio::spawn(async move {
                sleep(SUM).await;
                log.tell();
            });
        }
    }

    /// Says how many there were.
    pub fn tell(&self) {
        let count = std::mem::take(&mut self.lock().untold);
        if count > 0 {
            info!(count, "lines of clients were refused, who were told; log.level = \"debug\" shows some of them");
        }
    }

    /// Counts. Whether these are the first to be told, and whether they are logged by themselves.
    fn count(&self, count: u64) -> (bool, bool) {
        let now = Instant::now();
        let mut counts = self.lock();
        let is_first = counts.untold == 0;
        counts.untold += count;
        let (began, logged) = counts.window.filter(|(began, _)| now.duration_since(*began) < WINDOW).unwrap_or((now, 0));
        counts.window = Some((began, logged + 1));
        (is_first, logged < MOST)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
