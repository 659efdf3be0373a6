//! What messages of jobs are to the view: steps of a bar, lines, ends.

use jiff::Timestamp;

use crate::cli::ending::{Ending, shown};
use crate::job::content::Content;
use crate::job::monitor::{Log, Message};

use super::colour::Paint;
use super::job::Step;
use super::{View, bar};

impl View {
    /// Takes a header, or a message, which comes just when it happens.
    pub(super) fn content(&mut self, index: usize, content: &Content, is_now: bool) {
        match Message::of(content) {
            Some(Message::Start(start)) => {
                if let Some(job) = self.jobs.get_mut(index) {
                    job.start(start, is_now.then(Timestamp::now));
                }
                self.step_as_line(index);
            }
            Some(Message::Join(join)) => {
                // As a message it says what a bar shows, and nothing for a line if there is none any longer.
                let is_line = !is_now || join.k.is_some();
                if let Some(job) = self.jobs.get_mut(index) {
                    job.join(join);
                }
                if is_line {
                    self.step_as_line(index);
                }
            }
            Some(Message::Progress(progress)) => self.step(index, progress.into()),
            Some(Message::Log(log)) => self.log(index, &log),
            Some(Message::Improvement(better)) => {
                let more: String = better.more.iter().map(|(key, value)| format!(", {key} {}", shown(value))).collect();
                self.line(index, &format!("better: {}{more}", shown(&better.value)), Paint::Plain);
            }
            Some(end) => {
                if let Message::Error(error) = &end
                    && let Some(traceback) = &error.traceback
                {
                    self.line(index, traceback, Paint::Plain);
                }
                if let Some(ending) = Ending::of(end) {
                    self.end(index, ending, is_now);
                }
            }
            None => match Ending::of_content(content) {
                Some(ending) => self.end(index, ending, is_now),
                None => self.other(index, content),
            },
        }
    }

    /// A message of no known class: `{"k":3,"total":10}` is as good as a Progress, and the rest is a line.
    fn other(&mut self, index: usize, content: &Content) {
        if content.as_str().starts_with('{')
            && let Ok(step) = content.parse::<Step>()
            && step.k.is_some()
        {
            return self.step(index, step);
        }
        let text = content.parse::<String>();
        self.line(index, text.as_deref().unwrap_or(content.as_str()), Paint::Plain);
    }

    fn log(&mut self, index: usize, log: &Log) {
        let paint = match log.level.as_deref().map(str::to_ascii_lowercase).as_deref() {
            Some("error" | "critical" | "fatal") => Paint::Bad,
            Some("warning" | "warn") => Paint::Warning,
            Some("debug" | "trace") => Paint::Dim,
            _ => Paint::Plain,
        };
        self.line_of(index, &log.text, paint, log.level.as_deref());
    }

    /// Moves the bar, which appears with the first step. What comes late, behind the end, moves it no more.
    fn step(&mut self, index: usize, step: Step) {
        if let Some(job) = self.jobs.get_mut(index).filter(|job| !job.has_ended()) {
            job.step(step);
            self.step_as_line(index);
        }
    }

    /// A step where there are no bars.
    fn step_as_line(&mut self, index: usize) {
        if self.screen.is_none()
            && let Some(job) = self.jobs.get(index)
        {
            let text = bar::in_words(job);
            if !text.is_empty() {
                self.line(index, &text, Paint::Plain);
            }
        }
    }
}
