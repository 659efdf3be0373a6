//! One stream: what the directory says of it, and what was heard of its job. Its texts are cut, since rows are many.

use std::sync::Arc;

use jiff::Timestamp;

use crate::cli::ending::How;
use crate::cli::entry::Entry;
use crate::cli::streams::Heard;
use crate::cli::text::{beginning, inline, lines};
use crate::cli::view::{Job, NO_NEWS, Paint, Said};
use crate::client::{Event, StreamState};
use crate::job::content::Content;
use crate::wire::Position;

/// No more characters are kept of a text.
const LONGEST: usize = 300;

/// A stream without a header that has been quiet for so many seconds is asked for its newest message, and listened to no longer: a listener
/// keeps it from being forgotten.
const FORGETTABLE: u64 = 60;

/// For so long the speed of a stream is what it was last, in seconds: the directory tells a change within one.
const SPEED_LASTS: f64 = 2.5;

/// See the module.
#[derive(Debug, Clone)]
pub(in crate::cli::top) struct Row {
    /// The stream's name.
    pub(in crate::cli::top) name: Arc<str>,
    pub(in crate::cli::top) entry: Entry,
    /// How its job has ended, as far as it has told.
    pub(in crate::cli::top) how: Option<How>,
    pub(in crate::cli::top) job: Job,
    /// Its last message, in one line.
    pub(in crate::cli::top) line: String,
    /// The connection was lost, and nothing was heard of it since.
    pub(in crate::cli::top) is_stale: bool,
    /// Its end has come.
    is_over: bool,
    /// Its newest message was heard, or there is none.
    is_heard: bool,
    /// What comes next has been already.
    is_replay: bool,
    /// It cannot be listened to.
    is_refused: bool,
    /// This program listens to it.
    is_joined: bool,
    /// The entry counts this program.
    is_counted: bool,
    /// Messages each second, and when that was.
    speed: (f64, Timestamp),
}

impl Row {
    pub(super) fn new(name: Arc<str>, entry: Entry, now: Timestamp) -> Self {
        Self {
            job: Job::new(name.to_string()),
            name,
            entry,
            how: None,
            line: String::new(),
            is_stale: false,
            is_over: false,
            is_heard: false,
            is_replay: false,
            is_refused: false,
            is_joined: false,
            is_counted: false,
            speed: (0.0, now),
        }
    }

    /// The directory says so now. True if that puts the row elsewhere, or makes it another.
    pub(super) fn enter(&mut self, entry: Entry, now: Timestamp) -> bool {
        let epoch = |entry: &Entry| entry.position.map(|position| position.epoch);
        let is_run = epoch(&self.entry) == epoch(&entry);
        if is_run {
            let passed = now.duration_since(self.speed.1).as_secs_f64().max(0.5);
            let came = entry.messages.saturating_sub(self.entry.messages);
            self.speed = (came as f64 / passed, now);
        } else {
            *self = Self { is_joined: self.is_joined, ..Self::new(Arc::clone(&self.name), Entry::default(), now) };
        }
        let is_new = !is_run || self.is_stale || self.entry.state != entry.state;
        self.is_counted = self.is_joined;
        (self.entry, self.is_stale, self.job.silent_since) = (entry, false, None);
        is_new
    }

    /// Something was heard of the stream itself. True if it has ended by that, or has begun.
    pub(super) fn hear(&mut self, heard: &Heard, now: Timestamp) -> bool {
        let before = self.how;
        match heard {
            Heard::Joined(joined) => {
                self.is_joined = joined.state != StreamState::Ended;
                let sequence = |position: Option<Position>| position.map_or(0, |position| position.sequence);
                self.is_replay = sequence(joined.position) < sequence(self.entry.position);
                self.is_heard |= !self.is_replay;
            }
            Heard::Passed(_) => {}
            Heard::Event(Event::Header(content)) => self.take(content, None),
            Heard::Event(Event::Message(content)) => {
                self.is_heard = true;
                if !std::mem::take(&mut self.is_replay) {
                    self.take(content, Some(now));
                } else if self.entry.is_header_older() {
                    self.take(content, None);
                } else if let Said::Line { text, .. } = Said::of(content) {
                    // The header has told how far it is since.
                    self.line = last_line(&text);
                }
            }
            Heard::Event(Event::Ended { message }) => {
                if let Some(content) = message {
                    self.take(content, Some(now));
                }
                self.how = self.how.or(Some(How::Ended));
                (self.is_over, self.is_joined) = (true, false);
            }
            // What was cut off here goes on elsewhere, and another attempt would end in the same way.
            Heard::Event(Event::CutOff(_)) => (self.is_refused, self.is_joined) = (true, false),
            Heard::Event(Event::Lost { .. } | Event::Reconnected { .. } | Event::Skipped { .. }) => {}
        }
        self.how != before
    }

    /// Takes what a job says, at this time if it comes just now.
    fn take(&mut self, content: &Content, now: Option<Timestamp>) {
        match Said::of(content) {
            Said::Start(start) => {
                self.job.start(start, now);
                (self.how, self.line) = (None, String::new());
            }
            Said::Join(join) => {
                self.job.join(join);
                (self.how, self.line) = (None, String::new());
            }
            // What comes late, behind the end, moves nothing.
            Said::Step(_) | Said::Line { .. } if self.how.is_some() => {}
            Said::Step(step) => {
                self.job.step(step);
                if let Some(text) = &self.job.text {
                    self.line = last_line(text);
                }
            }
            Said::Line { text, .. } => self.line = last_line(&text),
            Said::End { ending, .. } => {
                if self.how.is_none() {
                    (self.how, self.line) = (Some(ending.how), last_line(&ending.told()));
                    self.job.title = ending.title.or(self.job.title.take());
                }
            }
        }
        for text in [&mut self.job.title, &mut self.job.units, &mut self.job.text].into_iter().flatten() {
            *text = beginning(text, LONGEST).to_owned();
        }
    }

    /// The connection is lost: what is not known to have ended may be anything by now.
    pub(super) fn lose(&mut self, now: Timestamp) {
        (self.is_stale, self.is_joined) = (true, false);
        self.job.silent_since.get_or_insert(now);
    }

    pub(super) fn is_joined(&self) -> bool {
        self.is_joined
    }

    /// Whether its end has not come, so that it can be listened to.
    pub(in crate::cli::top) fn is_open(&self) -> bool {
        !self.is_over && !self.is_refused && !self.is_stale
    }

    /// It is listened to no longer.
    pub(super) fn leave(&mut self) {
        self.is_joined = false;
    }

    /// Whether it is to be listened to while it is seen.
    pub(super) fn is_wanted(&self, now: Timestamp) -> bool {
        let is_new = |quiet| quiet < FORGETTABLE || !self.is_heard;
        let is_lasting = self.entry.state != "waiting" || self.entry.quiet(now).is_some_and(is_new);
        is_lasting && self.is_open()
    }

    /// Whether it has ended, and how is yet to be asked.
    pub(super) fn is_riddle(&self) -> bool {
        self.entry.state == "ended" && self.is_open()
    }

    /// How the stream stands, in a word, as far as that is known.
    pub(in crate::cli::top) fn state(&self) -> &str {
        if self.is_unknown() { NO_NEWS } else { self.entry.word(self.how) }
    }

    pub(in crate::cli::top) fn paint(&self) -> Paint {
        if self.is_unknown() { Paint::Warning } else { self.entry.paint(self.how) }
    }

    /// An end stays one while nothing is heard.
    fn is_unknown(&self) -> bool {
        self.is_stale && self.how.is_none() && self.entry.state != "ended"
    }

    /// Whether its job goes on, as far as is known.
    pub(in crate::cli::top) fn is_going(&self) -> bool {
        self.how.is_none() && self.entry.state != "ended"
    }

    /// Whether this program counts among its listeners.
    pub(in crate::cli::top) fn is_counted(&self) -> bool {
        self.is_counted
    }

    /// How many listen to it, beside this program.
    pub(in crate::cli::top) fn listeners(&self) -> u64 {
        self.entry.listeners.saturating_sub(u64::from(self.is_counted))
    }

    /// Messages each second.
    pub(in crate::cli::top) fn speed(&self, now: Timestamp) -> f64 {
        let (speed, then) = self.speed;
        let is_old = now.duration_since(then).as_secs_f64() > SPEED_LASTS;
        if is_old || self.is_stale { 0.0 } else { speed }
    }

    /// What it says of itself: its last message, or what it is called.
    pub(in crate::cli::top) fn says(&self) -> String {
        if self.line.is_empty() { self.job.title.as_deref().map(inline).unwrap_or_default() } else { self.line.clone() }
    }
}

/// The last line of a text that is not blank, as it may reach a terminal.
fn last_line(text: &str) -> String {
    let lines = lines(text, false);
    let last = lines.iter().rev().find(|line| !line.trim().is_empty()).map(String::as_str).unwrap_or_default();
    beginning(&inline(last), LONGEST).to_owned()
}
