//! What is known of the job behind one stream.

use std::time::Duration;

use jiff::Timestamp;

use crate::cli::clock::{seconds, time};
use crate::cli::ending::How;
use crate::job::content::Content;
use crate::job::monitor::{Join, Progress, Start};

/// One stream.
#[derive(Debug, Clone)]
pub(in crate::cli) struct Job {
    pub(in crate::cli) name: String,
    pub(in crate::cli) title: Option<String>,
    pub(in crate::cli) total: Option<f64>,
    pub(in crate::cli) units: Option<String>,
    /// None until it has told its progress, which a command under `run` never does.
    pub(in crate::cli) k: Option<f64>,
    pub(in crate::cli) text: Option<String>,
    /// When the job began, by its own word.
    pub(in crate::cli) started: Option<Timestamp>,
    /// The first step that was seen, for a job that does not say when it began.
    first: Option<(Timestamp, f64)>,
    pub(in crate::cli) state: State,
    /// The stream had ended before it was listened to.
    pub(in crate::cli) is_late: bool,
    /// How long before, as the broker says.
    pub(in crate::cli) age: Option<Duration>,
    /// The header that tells how that run ended, until it is shown.
    pub(in crate::cli) last_header: Option<Content>,
    /// Its last run was passed over: an end that is heard is that of the next one.
    pub(in crate::cli) is_awaited: bool,
    /// It has told something that a bar can show.
    pub(in crate::cli) has_bar: bool,
    /// Since when nothing can be heard of it.
    pub(in crate::cli) silent_since: Option<Timestamp>,
}

/// How the stream stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum State {
    /// The broker has not said yet how it stands.
    Unknown,
    /// Nobody has begun it, as far as is known.
    Waiting,
    Running,
    Ended(How),
    /// It is listened to no longer, and may go on.
    Left,
}

/// The progress of a job, as its messages tell it.
#[derive(Debug, Default, serde::Deserialize)]
pub(in crate::cli) struct Step {
    title: Option<String>,
    pub(in crate::cli) k: Option<f64>,
    total: Option<f64>,
    units: Option<String>,
    pub(in crate::cli) text: Option<String>,
    started: Option<String>,
}

impl From<Join> for Step {
    fn from(join: Join) -> Self {
        Self { title: join.title, k: join.k, total: join.total, units: join.units, text: None, started: join.started }
    }
}

impl From<Progress> for Step {
    fn from(progress: Progress) -> Self {
        Self { k: Some(progress.k), total: progress.total, units: progress.units, text: progress.text, ..Self::default() }
    }
}

impl Job {
    pub(in crate::cli) fn new(name: String) -> Self {
        Self {
            name,
            title: None,
            total: None,
            units: None,
            k: None,
            text: None,
            started: None,
            first: None,
            state: State::Unknown,
            is_late: false,
            age: None,
            last_header: None,
            is_awaited: false,
            has_bar: false,
            silent_since: None,
        }
    }

    /// A run begins; of the one before nothing stays.
    pub(in crate::cli) fn begin(&mut self) {
        let (name, last_header) = (std::mem::take(&mut self.name), self.last_header.take());
        *self = Self { is_late: self.is_late, age: self.age, last_header, is_awaited: self.is_awaited, ..Self::new(name) };
    }

    /// A run begins. `now` is when it did, if it does not say so and was heard to.
    pub(in crate::cli) fn start(&mut self, start: Start, now: Option<Timestamp>) {
        self.begin();
        let k = start.total.map(|_| 0.0);
        self.step(Step { title: start.title, k, total: start.total, units: start.units, text: None, started: start.started });
        self.started = self.started.or(now);
    }

    /// Takes a Join, which tells all of how far the job is: what it leaves out is not known any longer.
    pub(in crate::cli) fn join(&mut self, join: Join) {
        if self.has_ended() {
            self.begin();
        }
        (self.k, self.total, self.units) = (None, None, None);
        self.step(join.into());
    }

    pub(in crate::cli) fn step(&mut self, step: Step) {
        (self.state, self.has_bar) = (State::Running, true);
        self.title = step.title.or(self.title.take());
        self.total = step.total.or(self.total);
        self.units = step.units.or(self.units.take());
        self.text = step.text;
        self.started = time(step.started.as_deref()).or(self.started);
        self.k = step.k.or(self.k);
        if let Some(k) = step.k {
            self.first.get_or_insert((Timestamp::now(), k));
        }
    }

    pub(in crate::cli) fn has_ended(&self) -> bool {
        matches!(self.state, State::Ended(_))
    }

    /// How much of it is done, from 0 to 1. A job may report less than zero or more than its total.
    pub(in crate::cli) fn share(&self) -> Option<f64> {
        let total = self.total.filter(|total| *total > 0.0)?;
        Some((self.k.unwrap_or_default() / total).clamp(0.0, 1.0))
    }

    /// How long it has been running, in seconds.
    pub(in crate::cli) fn elapsed(&self, now: Timestamp) -> Option<u64> {
        Some(seconds(self.started?, self.silent_since.unwrap_or(now)))
    }

    /// Units each second: since it began, or else since it was seen first.
    pub(in crate::cli) fn rate(&self, now: Timestamp) -> Option<f64> {
        let now = self.silent_since.unwrap_or(now);
        let (since, done) = match (self.started, self.first) {
            (Some(started), _) => (started, 0.0),
            (None, Some(first)) => first,
            (None, None) => return None,
        };
        let (done, passed) = (self.k? - done, now.duration_since(since).as_secs_f64());
        (done > 0.0 && passed > 0.0).then(|| done / passed)
    }

    /// How long it is likely to go on, in seconds.
    pub(in crate::cli) fn left(&self, now: Timestamp) -> Option<u64> {
        let (rate, total) = (self.rate(now)?, self.total.filter(|total| *total > 0.0)?);
        let left = (total - self.k?).max(0.0) / rate;
        // A century is no forecast.
        (left < 3e9).then_some(left.round() as u64)
    }
}
