//! Streams as people read them: a bar for each that tells its progress, and everything else as lines that stay, above the bars.
//!
//! Where nothing can be drawn, in a pipe or on a terminal that cannot, all are lines.

mod amount;
mod bar;
mod colour;
mod content;
mod job;
mod rows;
mod said;
mod screen;
mod signals;
mod template;

use std::io::{self, Write};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::client::{Event, Joined, StreamState};
use crate::job::content::Content;

use super::clock::stamp;
use super::ending::{Ending, label};
use super::standard::say;
use super::text;
pub(super) use amount::{amount, rate};
pub(super) use bar::{NO_NEWS, halves, in_words};
pub(super) use colour::{Colours, Paint, can_draw};
pub(super) use job::Job;
use job::State;
pub(super) use rows::paint_of;
pub(super) use said::Said;
use screen::Screen;
pub(super) use screen::size;
pub(super) use signals::{Signals, Told};
pub(super) use template::Template;

/// The least time between two drawings.
const FRAME: Duration = Duration::from_millis(50);

/// How often is drawn while nothing comes, since bars show the time.
const QUIET: Duration = Duration::from_secs(1);

/// How lines are printed.
#[derive(Debug, Default)]
pub(super) struct Form {
    /// Nothing is drawn: all are lines.
    pub(super) plain: bool,
    /// Each line begins with the time.
    pub(super) times: bool,
    /// The form of the lines, if it is the user's own.
    pub(super) template: Option<Template>,
}

/// What is on the screen, or printed.
pub(super) struct View {
    form: Form,
    /// None where all are lines.
    screen: Option<Screen>,
    jobs: Vec<Job>,
    /// Each line begins with the name of its stream.
    is_named: bool,
    colours: Colours,
    /// What is to be printed for good with the next drawing.
    lines: Vec<String>,
    /// The rows are not as they should be.
    changed: bool,
    drawn: Option<Instant>,
    /// It was said how to wait for a next run.
    is_hinted: bool,
    /// The connection is another, or will be: messages may be missing before what comes next, which is yet to be said.
    has_gap: bool,
}

impl Form {
    fn timed(&self, line: String) -> String {
        if self.times { format!("{} {line}", stamp(Timestamp::now())) } else { line }
    }
}

impl View {
    /// Streams of these names, or others to come. What is not plain must be on a terminal.
    pub(super) fn new(names: Vec<String>, form: Form) -> Self {
        let screen = (!form.plain && can_draw()).then(Screen::new);
        Self {
            form,
            screen,
            is_named: names.len() != 1,
            jobs: names.into_iter().map(Job::new).collect(),
            colours: Colours::of_standard_output(),
            lines: Vec::new(),
            changed: true,
            drawn: None,
            is_hinted: false,
            has_gap: false,
        }
    }

    /// Whether there are rows below the lines.
    pub(super) fn draws(&self) -> bool {
        self.screen.is_some()
    }

    /// The stream with this number is this one from now on, which begins.
    pub(super) fn begins(&mut self, index: usize, name: String) {
        match self.jobs.get_mut(index) {
            Some(job) => *job = Job::new(name),
            None => self.jobs.push(Job::new(name)),
        }
        self.changed = true;
    }

    /// Shows an event of the stream with this number.
    pub(super) fn event(&mut self, index: usize, event: &Event) -> io::Result<()> {
        if let (Event::Header(_) | Event::Message(_) | Event::Ended { .. }, Some(job)) = (event, self.jobs.get_mut(index)) {
            job.silent_since = None;
            self.back();
        }
        match event {
            // The last messages of a run that is over may come before its end, which is then told last.
            Event::Header(content) if self.ends_late(index, content) => {}
            Event::Header(content) => self.content(index, content, false),
            Event::Message(content) => {
                let is_now = self.jobs.get(index).is_some_and(|job| !job.is_late);
                self.content(index, content, is_now);
            }
            Event::Ended { message } => {
                if let Some(header) = self.jobs.get_mut(index).and_then(|job| job.last_header.take()) {
                    self.content(index, &header, false);
                }
                if let Some(content) = message {
                    self.content(index, content, true);
                }
                self.end(index, Ending::silent(), true);
            }
            Event::CutOff(reason) => {
                self.line(index, &format!("cut off: {reason}"), Paint::Bad);
                self.leave_stream(index);
            }
            // That the connection is lost, or was, is told once for all streams.
            Event::Lost { .. } => self.leave_stream(index),
            Event::Reconnected { .. } => self.has_gap = true,
            // That is what was asked for.
            Event::Skipped { .. } => {}
        }
        self.changed = true;
        self.flush()
    }

    /// The stream stands so, now that it is listened to.
    pub(super) fn joined(&mut self, index: usize, Joined { state, age, .. }: Joined) {
        if state == StreamState::Waiting
            && self.screen.is_none()
            && let Some(job) = self.jobs.get(index)
        {
            say(format_args!("waiting for {:?}, which has not begun", job.name));
        }
        self.changed = true;
        if let Some(job) = self.jobs.get_mut(index) {
            job.state = if state == StreamState::Waiting { State::Waiting } else { State::Running };
            job.is_late = state == StreamState::Ended;
            job.age = age.filter(|_| job.is_late);
        }
    }

    /// The stream's last run had ended so, and the next is waited for.
    pub(super) fn passed(&mut self, index: usize, ending: &Ending) {
        let Some(job) = self.jobs.get_mut(index) else { return };
        (job.state, job.is_awaited) = (State::Waiting, true);
        let told = format!("{} {}; waiting for its next run", text::inline(&job.name), text::inline(&ending.told_late()));
        self.note(&told, Paint::Plain);
    }

    /// The broker does not answer: bars stand still until their jobs are heard of again.
    pub(super) fn away(&mut self, said: &str) {
        self.has_gap = true;
        let now = Timestamp::now();
        for job in self.jobs.iter_mut().filter(|job| job.state == State::Running) {
            job.silent_since.get_or_insert(now);
        }
        self.note(said, Paint::Warning);
    }

    /// The broker answers again. A stream may show it first, and one that was away for a moment may never have been called so.
    pub(super) fn back(&mut self) {
        if std::mem::take(&mut self.has_gap) {
            self.note("connected; messages from before may be missing", Paint::Plain);
        }
    }

    /// The terminal has another size, or others have written to it, so that what was drawn is not where it was.
    pub(super) fn draw_anew(&mut self, below: bool) {
        (self.changed, self.drawn) = (true, None);
        if let Some(screen) = self.screen.as_mut().filter(|_| below) {
            screen.forget();
        }
    }

    /// When to call [`flush`](Self::flush) again; none while nothing moves.
    pub(super) fn due(&self) -> Option<Instant> {
        let moves = self.screen.is_some() && self.jobs.iter().any(|job| job.has_bar && job.state == State::Running);
        let wait = if self.changed || !self.lines.is_empty() { FRAME } else { QUIET };
        let due = self.drawn.map_or_else(Instant::now, |drawn| drawn + wait);
        (moves || wait == FRAME).then_some(due)
    }

    /// Draws if it is time to.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        if self.due().is_none_or(|due| due > Instant::now()) {
            return Ok(());
        }
        self.draw()
    }

    /// Draws what has not been drawn yet, and leaves the bars of unfinished jobs where they are. What has gone wrong may have left
    /// the screen at its top by now.
    pub(super) fn leave(&mut self) -> io::Result<()> {
        if self.screen.is_some()
            && let Some(tally) = rows::tally(&self.jobs)
        {
            self.note(&tally, Paint::Bad);
        }
        if self.changed || !self.lines.is_empty() {
            self.draw()?;
        }
        self.screen.as_mut().map_or(Ok(()), Screen::leave)
    }

    fn draw(&mut self) -> io::Result<()> {
        (self.changed, self.drawn) = (false, Some(Instant::now()));
        let lines = std::mem::take(&mut self.lines);
        if let Some(screen) = &mut self.screen {
            let rows = rows::rows(&self.jobs, screen::size(), self.colours);
            return screen.draw(&lines, &rows);
        }
        let mut out = io::stdout().lock();
        lines.iter().try_for_each(|line| writeln!(out, "{line}"))?;
        out.flush()
    }

    /// Says something of our own: among the lines, or on standard error where a program may read them.
    fn note(&mut self, said: &str, paint: Paint) {
        self.changed = true;
        match self.screen {
            Some(_) => self.lines.push(self.colours.paint(paint, &text::inline(said))),
            None => say(said),
        }
    }

    /// Prints a text of a stream for good.
    fn line(&mut self, index: usize, text: &str, paint: Paint) {
        self.line_of(index, text, paint, None);
    }

    fn line_of(&mut self, index: usize, text: &str, paint: Paint, level: Option<&str>) {
        let is_named = self.is_named;
        let Some(job) = self.jobs.get_mut(index) else { return };
        if matches!(job.state, State::Unknown | State::Waiting) {
            job.state = State::Running;
        }
        for line in text::lines(text, self.colours.0) {
            let line = match &self.form.template {
                Some(template) => template.fill(job, &line, level),
                None if is_named => {
                    let name = self.colours.paint(Paint::Name(index), &text::inline(&job.name));
                    format!("{name}: {}", self.colours.paint(paint, &line))
                }
                None => self.colours.paint(paint, &line),
            };
            self.lines.push(self.form.timed(line));
        }
    }

    /// Says how a job ended, in a line that stays. What comes first counts.
    fn end(&mut self, index: usize, mut ending: Ending, is_now: bool) {
        let Some(job) = self.jobs.get_mut(index).filter(|job| !job.has_ended()) else { return };
        // Nobody heard when a job ended whose header tells its end.
        let is_late = job.is_late || !is_now && !job.is_awaited;
        job.state = State::Ended(ending.how);
        job.title = ending.title.take().or(job.title.take());
        ending.started = ending.started.or(job.started);
        ending.age = job.age;
        ending.ended = ending.ended.or((!is_late).then(Timestamp::now));
        let hint = if self.is_hinted { "" } else { " (use --next to wait for its next run)" };
        let (between, told) = if is_late { (" ", ending.told_late() + hint) } else { (": ", ending.told()) };
        self.is_hinted |= is_late;
        let told = text::inline(&told);
        let line = match &self.form.template {
            Some(template) => template.fill(job, &told, None),
            None => {
                let label = self.colours.paint(Paint::Name(index), &label(&job.name, job.title.as_deref()));
                format!("{label}{between}{}", self.colours.paint(paint_of(ending.how), &told))
            }
        };
        self.lines.push(self.form.timed(line));
    }

    /// Whether it is the header of a run that is over, and tells its end. It is kept until the stream's own end has come.
    fn ends_late(&mut self, index: usize, content: &Content) -> bool {
        let Some(job) = self.jobs.get_mut(index).filter(|job| job.is_late) else { return false };
        job.last_header = Ending::of_content(content).map(|_| content.clone());
        job.last_header.is_some()
    }

    /// The stream is listened to no longer, and may go on.
    fn leave_stream(&mut self, index: usize) {
        if let Some(job) = self.jobs.get_mut(index).filter(|job| !job.has_ended()) {
            job.state = State::Left;
            job.silent_since.get_or_insert_with(Timestamp::now);
        }
    }
}
