//! Cut listeners in the log: each one, but no more than a few in a second.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::warn;

use crate::wire::ids::ConnectionId;

/// A time in which no more than [`MOST`] are logged one by one.
const WINDOW: Duration = Duration::from_secs(1);
/// How many cuts of one window are logged one by one.
const MOST: u64 = 10;

/// Logs cut listeners.
#[derive(Debug, Default)]
pub struct CutLog(Mutex<Option<Window>>);

#[derive(Debug)]
struct Window {
    began: Instant,
    cuts: u64,
}

impl CutLog {
    /// A listener was cut off with `bytes` in its queue.
    pub fn cut(self: &Arc<Self>, connection: ConnectionId, peer: impl FnOnce() -> String, reason: &str, bytes: usize) {
        let now = Instant::now();
        let cuts = {
            let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let window = match &mut *window {
                Some(window) if now.duration_since(window.began) < WINDOW || window.cuts > MOST => window,
                window => window.insert(Window { began: now, cuts: 0 }),
            };
            window.cuts += 1;
            window.cuts
        };
        if cuts <= MOST {
            warn!(connection = connection.0, peer = peer(), reason, bytes, "listener cut off");
        } else if cuts == MOST + 1 {
            let log = Arc::clone(self);
            tokio::spawn(async move {
                sleep(WINDOW).await;
                log.tell_rest();
            });
        }
    }

    /// Says how many were not logged one by one, and starts a new count.
    pub fn tell_rest(&self) {
        let window = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Window { cuts, .. }) = window
            && cuts > MOST
        {
            warn!(count = cuts - MOST, "listeners cut off, not logged one by one");
        }
    }
}
