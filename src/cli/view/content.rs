//! What messages of jobs are to the view: steps of a bar, lines, ends.

use jiff::Timestamp;

use crate::job::content::Content;

use super::colour::Paint;
use super::job::Step;
use super::said::Said;
use super::{View, bar};

impl View {
    /// Takes a header, or a message, which comes just when it happens.
    pub(super) fn content(&mut self, index: usize, content: &Content, is_now: bool) {
        match Said::of(content) {
            Said::Start(start) => {
                if let Some(job) = self.jobs.get_mut(index) {
                    job.start(start, is_now.then(Timestamp::now));
                }
                self.step_as_line(index);
            }
            Said::Join(join) => {
                // As a message it says what a bar shows, and nothing for a line if there is none any longer.
                let is_line = !is_now || join.k.is_some();
                if let Some(job) = self.jobs.get_mut(index) {
                    job.join(join);
                }
                if is_line {
                    self.step_as_line(index);
                }
            }
            Said::Step(step) => self.step(index, step),
            Said::Line { text, paint, level } => self.line_of(index, &text, paint, level.as_deref()),
            Said::End { ending, traceback } => {
                if let Some(traceback) = traceback {
                    self.line(index, &traceback, Paint::Plain);
                }
                self.end(index, ending, is_now);
            }
        }
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
