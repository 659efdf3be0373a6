//! Streams on a terminal: a bar for each that tells its progress, everything else as lines above the bars.

use std::collections::HashMap;
use std::io::{self, Write};
use std::time::Duration;

use crate::client::Event;
use crate::job::content::Content;
use crate::job::monitor::Message;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use rustix::termios::tcgetwinsize;

/// How many steps a bar has, whatever the job's units are.
const FINENESS: u64 = 10_000;

/// How often bars are drawn, in frames a second.
const FRAMES: u8 = 20;

/// How often a bar is drawn while nothing comes, since it shows the time.
const QUIET: Duration = Duration::from_secs(1);

/// What is on the screen.
pub(super) struct View {
    screen: MultiProgress,
    jobs: HashMap<String, Job>,
    /// There are several streams: lines need a name.
    named: bool,
}

/// One stream's bar.
struct Job {
    bar: ProgressBar,
    title: Option<String>,
    total: Option<f64>,
    units: Option<String>,
    /// None until it has told its progress, which a command under `run` never does.
    k: Option<f64>,
    text: Option<String>,
    /// How it ended has been shown.
    told: bool,
}

/// The progress of a job, as its messages tell it.
#[derive(Debug, Default, serde::Deserialize)]
struct Step {
    title: Option<String>,
    k: Option<f64>,
    total: Option<f64>,
    units: Option<String>,
    text: Option<String>,
}

impl View {
    pub(super) fn new(named: bool) -> Self {
        let screen = MultiProgress::with_draw_target(ProgressDrawTarget::stdout_with_hz(FRAMES));
        Self { screen, jobs: HashMap::new(), named }
    }

    /// Shows an event.
    pub(super) fn event(&mut self, stream: &str, event: &Event) -> io::Result<()> {
        match event {
            Event::Header(content) | Event::Message(content) => self.content(stream, content),
            Event::Ended { message } => {
                if let Some(content) = message {
                    self.content(stream, content)?;
                }
                self.end(stream, "ended")
            }
            Event::CutOff(reason) => self.end(stream, &format!("cut off: {reason}")),
            Event::Lost { reason } => self.end(stream, &format!("connection lost: {reason}")),
            Event::Reconnected { reason } => self.line(stream, &format!("connected again, messages may be missing here: {reason}")),
        }
    }

    /// Leaves the bars of unfinished jobs on the screen as they are.
    pub(super) fn leave(&mut self) {
        for job in self.jobs.values().filter(|job| !job.told) {
            job.bar.abandon();
        }
    }

    fn content(&mut self, stream: &str, content: &Content) -> io::Result<()> {
        match Message::of(content) {
            Some(Message::Start(start)) => {
                if let Some(job) = self.jobs.get_mut(stream) {
                    job.k = None;
                }
                let k = start.total.map(|_| 0.0);
                self.step(stream, Step { title: start.title, k, total: start.total, units: start.units, text: None })
            }
            Some(Message::Join(join)) => {
                self.step(stream, Step { title: join.title, k: join.k, total: join.total, units: join.units, text: None })
            }
            Some(Message::Progress(progress)) => {
                let (k, text) = (Some(progress.k), progress.text);
                self.step(stream, Step { title: None, k, total: progress.total, units: progress.units, text })
            }
            Some(Message::Complete(complete)) => match complete.result {
                Some(result) => self.end(stream, &format!("done: {}", shown(&result))),
                None => self.end(stream, "done"),
            },
            Some(Message::Abort(abort)) => self.end(stream, &with_reason("aborted", abort.reason.as_deref())),
            Some(Message::Error(error)) => {
                if let Some(traceback) = &error.traceback {
                    for line in traceback.lines() {
                        self.line(stream, line)?;
                    }
                }
                self.end(stream, &with_reason("failed", Some(&error.reason)))
            }
            Some(Message::Log(log)) => self.line(stream, &log.text),
            Some(Message::Improvement(better)) => {
                let more: String = better.more.iter().map(|(key, value)| format!(", {key} {}", shown(value))).collect();
                self.line(stream, &format!("better: {}{more}", shown(&better.value)))
            }
            None => self.other(stream, content),
        }
    }

    /// A message of no known class: `{"k":3,"total":10}` is as good as a Progress, and the rest is a line.
    fn other(&mut self, stream: &str, content: &Content) -> io::Result<()> {
        if content.as_str().starts_with('{')
            && let Ok(step) = content.parse::<Step>()
            && step.k.is_some()
        {
            return self.step(stream, step);
        }
        match content.parse::<String>() {
            Ok(text) => self.line(stream, &text),
            Err(_) => self.line(stream, content.as_str()),
        }
    }

    /// Moves the bar, which appears with the first step.
    fn step(&mut self, stream: &str, step: Step) -> io::Result<()> {
        let (screen, plain) = (&self.screen, self.is_plain());
        let job = self.jobs.entry(stream.to_owned()).or_insert_with(|| Job::new(screen));
        job.step(stream, step, if plain { usize::MAX } else { columns() });
        if !plain {
            return Ok(());
        }
        let text = job.bar.message();
        let text = if text.is_empty() { job.title.clone().unwrap_or_default() } else { text };
        if text.is_empty() { Ok(()) } else { self.line(stream, &text) }
    }

    /// The terminal cannot draw, as `TERM=dumb` says: all are lines.
    fn is_plain(&self) -> bool {
        self.screen.is_hidden()
    }

    /// Prints a line above the bars.
    fn line(&self, stream: &str, text: &str) -> io::Result<()> {
        let text = printable(text);
        let line = if self.named { format!("{}: {text}", printable(stream)) } else { text };
        if self.is_plain() { writeln!(io::stdout(), "{line}") } else { self.screen.println(line) }
    }

    /// Says how it ended: on the bar, or in a line if there is none. What comes first counts.
    fn end(&mut self, stream: &str, how: &str) -> io::Result<()> {
        match self.jobs.get_mut(stream) {
            Some(job) if job.told => Ok(()),
            Some(job) => {
                job.end(how);
                if self.is_plain() { self.line(stream, how) } else { Ok(()) }
            }
            None => self.line(stream, how),
        }
    }
}

impl Job {
    fn new(screen: &MultiProgress) -> Self {
        // It is drawn at once, before the first step gives it its form.
        let bar = screen.add(ProgressBar::no_length().with_style(style("{prefix:.bold} {msg}")));
        bar.enable_steady_tick(QUIET);
        Self { bar, title: None, total: None, units: None, k: None, text: None, told: false }
    }

    fn step(&mut self, stream: &str, step: Step, columns: usize) {
        // A stream that goes on after its end is another job.
        if self.told {
            self.told = false;
            self.bar.reset();
            self.bar.enable_steady_tick(QUIET);
        }
        self.title = step.title.or(self.title.take());
        self.total = step.total.or(self.total);
        self.units = step.units.or(self.units.take());
        self.text = step.text;
        self.k = step.k.or(self.k);
        let name = match &self.title {
            Some(title) => format!("{} {}", printable(stream), short(&printable(title), columns / 3)),
            None => printable(stream),
        };
        self.bar.set_prefix(name);
        match self.total.filter(|total| *total > 0.0) {
            Some(total) => {
                self.bar.set_style(style("{prefix:.bold} {wide_bar} {msg} {eta}"));
                self.bar.set_length(FINENESS);
                // A job may report less than zero or more than its total.
                self.bar.set_position(((self.k.unwrap_or_default() / total).clamp(0.0, 1.0) * FINENESS as f64) as u64);
            }
            None if self.k.is_none() => self.bar.set_style(style("{prefix:.bold} {spinner} {elapsed} {msg}")),
            None => self.bar.set_style(style("{prefix:.bold} {spinner} {msg} {elapsed}")),
        }
        let text = self.text.as_ref().map(|text| short(&printable(text), columns / 4)).unwrap_or_default();
        self.bar.set_message(spaced(&self.amount(), &text));
        self.bar.tick();
    }

    fn end(&mut self, how: &str) {
        self.told = true;
        self.bar.set_style(style("{prefix:.bold} {msg}"));
        self.bar.finish_with_message(spaced(&self.amount(), &printable(how)));
    }

    /// `3/10 steps`, or nothing.
    fn amount(&self) -> String {
        if self.k.is_none() && self.total.is_none() {
            return String::new();
        }
        let total = self.total.map(|total| format!("/{total}")).unwrap_or_default();
        let units = self.units.as_ref().map(|units| format!(" {}", printable(units))).unwrap_or_default();
        format!("{}{total}{units}", self.k.unwrap_or_default())
    }
}

/// The templates are constant and valid; an invalid one would fall back to a plain style.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// How wide the terminal is now.
fn columns() -> usize {
    tcgetwinsize(io::stdout()).map_or(0, |size| usize::from(size.ws_col)).max(40)
}

/// The beginning of a text, `most` characters long at most: what a job says must leave room for its bar.
fn short(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some(_) => text.chars().take(most.saturating_sub(1)).chain(['…']).collect(),
        None => text.to_owned(),
    }
}

/// Both, with a space between them if it takes one.
fn spaced(left: &str, right: &str) -> String {
    format!("{left} {right}").trim().to_owned()
}

fn with_reason(how: &str, reason: Option<&str>) -> String {
    reason.map_or_else(|| how.to_owned(), |reason| format!("{how}: {reason}"))
}

/// A value as people read it.
fn shown(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Received text must not control this terminal: control characters are shown, not obeyed.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb\r\nc\u{9b}d\té"), "a\u{fffd}[2Jb\u{fffd}\u{fffd}c\u{fffd}d\té");
    }
}
