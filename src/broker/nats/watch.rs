//! What may go wrong with what NATS sends of the log without a word from it.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::api::Api;
use super::pending::Pending;

/// A consumer that says nothing for this long is gone: it would have said four times that there is nothing.
const SILENCE: Duration = Duration::from_secs(2);

/// The server that leads the log is asked for so often.
const LOOK: Duration = Duration::from_secs(2);

/// Why another server is asked.
pub(super) const LED_BY_ANOTHER: &str = "another NATS server leads the log, and is asked";

/// When something was heard last of a feed.
#[derive(Debug)]
pub(super) struct Heard {
    began: Instant,
    /// In milliseconds since then; the greatest number while nobody listens.
    last: AtomicU64,
}

impl Default for Heard {
    fn default() -> Self {
        Self { began: Instant::now(), last: AtomicU64::new(0) }
    }
}

impl Heard {
    /// Something is heard. False if that was too long ago before.
    pub(super) fn in_time(&self) -> bool {
        let now = self.began.elapsed().as_millis() as u64;
        now.saturating_sub(self.last.swap(now, Ordering::Relaxed)) < SILENCE.as_millis() as u64
    }

    /// Somebody listens again.
    pub(super) fn again(&self) {
        self.last.store(self.began.elapsed().as_millis() as u64, Ordering::Relaxed);
    }

    /// From now on nobody listens.
    pub(super) fn nobody_listens(&self) {
        self.last.store(u64::MAX, Ordering::Relaxed);
    }

    /// When nothing has been heard for too long, if somebody listens.
    fn until(&self) -> Option<Instant> {
        let last = Some(self.last.load(Ordering::Relaxed)).filter(|last| *last != u64::MAX)?;
        Some(self.began + Duration::from_millis(last) + SILENCE)
    }

    /// Waits until nothing has been heard for too long, though somebody listens.
    async fn nothing(&self) {
        loop {
            let until = self.until();
            if until.is_some_and(|until| until <= Instant::now()) {
                return;
            }
            sleep_until(until.unwrap_or_else(|| Instant::now() + SILENCE)).await;
        }
    }
}

/// What may go wrong with a feed without a word from it.
pub(super) struct Watch {
    pub(super) api: Api,
    pub(super) connection: u64,
    pub(super) stream: String,
    /// Which sends, if there are several.
    pub(super) server: Option<String>,
    pub(super) pending: Arc<Pending>,
    pub(super) heard: Arc<Heard>,
}

impl Watch {
    /// Waits until something has gone wrong, and says what.
    pub(super) async fn run(self) -> String {
        let link = self.api.link();
        tokio::select! {
            () = link.lost(self.connection) => link.why_down(),
            () = self.pending.lost() => link.why_silent(),
            () = self.heard.nothing() => link.why_silent(),
            () = self.is_led_by_another() => LED_BY_ANOTHER.to_owned(),
        }
    }

    /// Waits until the server that sends is known not to lead the stream any more.
    async fn is_led_by_another(&self) {
        let Some(server) = &self.server else { return pending().await };
        loop {
            sleep(LOOK).await;
            // If nobody answers, nobody is known.
            if let Ok(Some(info)) = self.api.info(&self.stream).await
                && info.cluster.leader.is_some_and(|leader| leader != *server)
            {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn silence_counts_from_what_was_heard_last_while_somebody_listens() {
        let heard = Heard::default();
        let passed = async |heard: &Heard| {
            let began = Instant::now();
            heard.nothing().await;
            began.elapsed()
        };
        assert_eq!(passed(&heard).await, SILENCE);
        heard.again();
        let more = async {
            sleep(SILENCE / 2).await;
            heard.again();
        };
        let (time, ()) = tokio::join!(passed(&heard), more);
        assert_eq!(time, SILENCE * 3 / 2);
        heard.nobody_listens();
        let listens = async {
            sleep(SILENCE * 9 / 2).await;
            heard.again();
        };
        let (time, ()) = tokio::join!(passed(&heard), listens);
        assert_eq!(time, SILENCE * 11 / 2);
        // Before it is noticed otherwise.
        assert!(!heard.in_time() && heard.in_time());
        sleep(SILENCE / 2).await;
        assert!(heard.in_time());
    }
}
