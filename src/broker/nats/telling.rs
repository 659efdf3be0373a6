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
    away: Mutex<Away>,
}

#[derive(Debug, Default)]
struct Away {
    /// Which parts are in trouble.
    troubled: [bool; 2],
    /// It has been told that NATS refuses something.
    is_refusal_told: bool,
}

/// Why something did not succeed.
#[derive(Debug, Clone, Copy)]
enum Reason<'a> {
    Silent(&'a str),
    Refused(&'a str),
}

impl Teller {
    pub(super) fn new(tell: impl Fn(Told) -> bool + Send + Sync + 'static, stop: CancellationToken) -> Self {
        Self { tell: Box::new(tell), stop, away: Mutex::default() }
    }

    /// Tells. If nobody listens any more, or nothing can follow, everything ends.
    pub(super) fn tell(&self, told: Told) {
        let is_over = matches!(told, Told::Over(_));
        if !self.stop.is_cancelled() && (!(self.tell)(told) || is_over) {
            self.stop.cancel();
        }
    }

    /// A part is in trouble, or is not any more. Told only when that is news; what NATS refuses is news once, since it tells more than its
    /// silence before.
    fn set(&self, part: Part, reason: Option<Reason<'_>>) {
        let mut away = self.away.lock().unwrap_or_else(PoisonError::into_inner);
        let was_away = away.troubled.contains(&true);
        away.troubled[part as usize] = reason.is_some();
        let is_away = away.troubled.contains(&true);
        let is_refusal_told = is_away && (away.is_refusal_told || matches!(reason, Some(Reason::Refused(_))));
        let is_news = was_away != is_away || is_refusal_told && !away.is_refusal_told;
        away.is_refusal_told = is_refusal_told;
        if is_news {
            // Under the lock, so that the order is kept.
            self.tell(Told::Away(reason.map(|(Reason::Silent(why) | Reason::Refused(why))| why.to_owned())));
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
        self.has(Reason::Silent(reason));
    }

    /// The same, since NATS has said no.
    pub(super) fn refused(&mut self, reason: &str) {
        self.has(Reason::Refused(reason));
    }

    fn has(&mut self, reason: Reason<'_>) {
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

    /// Both parts, and what is told of them.
    fn parts() -> (Trouble, Trouble, Arc<Mutex<Vec<String>>>) {
        let told = Arc::<Mutex<Vec<_>>>::default();
        let all = Arc::clone(&told);
        let tell = move |told| {
            all.lock().unwrap().push(format!("{told:?}"));
            true
        };
        let teller = Arc::new(Teller::new(tell, CancellationToken::new()));
        (Trouble::new(Arc::clone(&teller), Part::Reading), Trouble::new(teller, Part::Appending), told)
    }

    #[tokio::test(start_paused = true)]
    async fn trouble_that_lasts_is_told_once_and_taken_back_when_all_is_well() {
        let (mut reading, mut appending, told) = parts();
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

    // Seen to fail: a log that was full when its server was back counted as one that does not answer.
    #[tokio::test(start_paused = true)]
    async fn what_is_refused_is_told_in_place_of_a_silence_before() {
        let (mut reading, mut appending, told) = parts();
        reading.failed("silent");
        appending.failed("silent");
        advance(GRACE).await;
        reading.failed("silent");
        appending.failed("silent");
        reading.is_over();
        appending.refused("full");
        appending.failed("silent");
        appending.refused("full");
        appending.is_over();
        assert_eq!(*told.lock().unwrap(), ["Away(Some(\"silent\"))", "Away(Some(\"full\"))", "Away(None)"]);
        appending.refused("full");
        appending.is_over();
        reading.refused("no");
        advance(GRACE).await;
        reading.refused("no");
        reading.is_over();
        assert_eq!(told.lock().unwrap()[3..], ["Away(Some(\"no\"))", "Away(None)"]);
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
