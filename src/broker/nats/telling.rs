//! What a node is told: to whom it goes, and when the way to the log counts as gone.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::broker::space::Told;

/// What does not last for this long is not told: a connection that goes from one server to another is no trouble.
pub(super) const GRACE: Duration = Duration::from_secs(1);

/// What may be in trouble on its own.
#[derive(Debug, Clone, Copy)]
pub(super) enum Part {
    Reading,
    Appending,
}

/// The way to whoever listens.
pub(super) struct Teller {
    tell: Box<dyn Fn(Told) -> bool + Send + Sync>,
    stop: CancellationToken,
    /// Which parts are in trouble.
    troubled: Mutex<[bool; 2]>,
}

impl Teller {
    pub(super) fn new(tell: impl Fn(Told) -> bool + Send + Sync + 'static, stop: CancellationToken) -> Self {
        Self { tell: Box::new(tell), stop, troubled: Mutex::default() }
    }

    /// Tells. If nobody listens any more, or nothing can follow, everything ends.
    pub(super) fn tell(&self, told: Told) {
        let is_over = matches!(told, Told::Over(_));
        if !self.stop.is_cancelled() && (!(self.tell)(told) || is_over) {
            self.stop.cancel();
        }
    }

    /// A part is in trouble, or is not any more. Told only when that is news.
    fn set(&self, part: Part, reason: Option<&str>) {
        let mut troubled = self.troubled.lock().unwrap_or_else(PoisonError::into_inner);
        let was_away = troubled.contains(&true);
        troubled[part as usize] = reason.is_some();
        if was_away != troubled.contains(&true) {
            // Under the lock, so that the order is kept.
            self.tell(Told::Away(reason.map(str::to_owned)));
        }
    }
}

/// How long a part has not succeeded.
pub(super) struct Trouble {
    teller: Arc<Teller>,
    part: Part,
    since: Option<Instant>,
}

impl Trouble {
    pub(super) fn new(teller: Arc<Teller>, part: Part) -> Self {
        Self { teller, part, since: None }
    }

    /// It did not succeed. Told if that has been so for some time.
    pub(super) fn failed(&mut self, reason: &str) {
        if self.since.get_or_insert_with(Instant::now).elapsed() >= GRACE {
            self.teller.set(self.part, Some(reason));
        }
    }

    /// It has succeeded.
    pub(super) fn is_over(&mut self) {
        if self.since.take().is_some() {
            self.teller.set(self.part, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn trouble_that_lasts_is_told_once_and_taken_back_when_all_is_well() {
        let told: Arc<Mutex<Vec<_>>> = Arc::default();
        let (all, stop) = (Arc::clone(&told), CancellationToken::new());
        let tell = move |told| {
            all.lock().unwrap().push(format!("{told:?}"));
            true
        };
        let teller = Arc::new(Teller::new(tell, stop));
        let mut reading = Trouble::new(Arc::clone(&teller), Part::Reading);
        let mut appending = Trouble::new(Arc::clone(&teller), Part::Appending);
        reading.failed("short");
        reading.is_over();
        assert!(told.lock().unwrap().is_empty());
        reading.failed("a");
        appending.failed("b");
        advance(GRACE).await;
        reading.failed("a");
        appending.failed("b");
        reading.is_over();
        appending.failed("b");
        appending.is_over();
        assert_eq!(*told.lock().unwrap(), ["Away(Some(\"a\"))", "Away(None)"]);
    }

    #[test]
    fn nothing_is_told_behind_the_end() {
        let stop = CancellationToken::new();
        let teller = Teller::new(|_| false, stop.clone());
        teller.tell(Told::CaughtUp);
        assert!(stop.is_cancelled());
        let (stop, count) = (CancellationToken::new(), Arc::new(Mutex::new(0)));
        let counted = Arc::clone(&count);
        let tell = move |_| {
            *counted.lock().unwrap() += 1;
            true
        };
        let teller = Teller::new(tell, stop.clone());
        teller.tell(Told::Over("gone".to_owned()));
        teller.tell(Told::CaughtUp);
        assert_eq!((stop.is_cancelled(), *count.lock().unwrap()), (true, 1));
    }
}
