//! What was heard of the one stream that is looked at, as lines.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::cli::streams::Heard;
use crate::cli::text::{beginning, inline, lines};
use crate::cli::view::{Paint, Said, paint_of};
use crate::client::{Event, StreamState};
use crate::job::content::Content;

/// So many lines are kept.
const LINES: usize = 1000;

/// No more characters are kept of a line, and of a header.
const LONGEST: usize = 1000;

/// No more lines are taken of one message.
const LINES_OF_ONE: usize = 200;

/// See the module.
#[derive(Debug, Clone)]
pub(in crate::cli::top) struct Tail {
    pub(in crate::cli::top) name: Arc<str>,
    /// Each time that a stream is opened has a number of its own.
    pub(in crate::cli::top) opened: u64,
    pub(in crate::cli::top) header: Option<String>,
    lines: VecDeque<(Paint, String)>,
    /// How many lines are below those that are shown; while there are any, what is shown stays where it is.
    below: usize,
    /// How many rows were shown last.
    height: usize,
}

impl Tail {
    pub(super) fn new(name: Arc<str>, opened: u64) -> Self {
        Self { name, opened, header: None, lines: VecDeque::new(), below: 0, height: 1 }
    }

    pub(super) fn hear(&mut self, heard: &Heard) {
        match heard {
            Heard::Joined(joined) => match joined.state {
                StreamState::Waiting => self.push(Paint::Dim, "no header yet"),
                StreamState::Running | StreamState::Ended => {}
            },
            Heard::Passed(ending) => self.push(Paint::Dim, &ending.told_late()),
            Heard::Event(Event::Header(content)) => self.header = Some(beginning(&inline(content.as_str()), LONGEST).to_owned()),
            Heard::Event(Event::Message(content)) => self.take(content),
            Heard::Event(Event::Skipped { messages }) => self.push(Paint::Dim, &format!("{messages} messages are left out")),
            Heard::Event(Event::Ended { message }) => {
                if let Some(content) = message {
                    self.take(content);
                }
                self.push(Paint::Dim, "the stream has ended");
            }
            Heard::Event(Event::CutOff(reason)) => self.push(Paint::Bad, &format!("cut off: {reason}")),
            Heard::Event(Event::Lost { reason }) => self.push(Paint::Bad, &format!("the connection was lost: {reason}")),
            Heard::Event(Event::Reconnected { missed: Some(missed), .. }) => {
                self.push(Paint::Warning, &format!("connected again; {missed} messages are missing here"));
            }
            Heard::Event(Event::Reconnected { missed: None, .. }) => {
                self.push(Paint::Warning, "connected again; messages may be missing here");
            }
        }
    }

    fn take(&mut self, content: &Content) {
        match Said::of(content) {
            Said::Start(start) => {
                let title = start.title.unwrap_or_default();
                self.push(Paint::Dim, &format!("begins: {title}"));
            }
            // The bar shows how far it is.
            Said::Join(_) => {}
            Said::Step(step) => {
                if let Some(text) = step.text {
                    self.push(Paint::Plain, &text);
                }
            }
            Said::Line { text, paint, .. } => self.push(paint, &text),
            Said::End { ending, traceback } => {
                if let Some(traceback) = traceback {
                    self.push(Paint::Plain, &traceback);
                }
                self.push(paint_of(ending.how), &ending.told());
            }
        }
    }

    /// The connection is lost, which is no end.
    pub(super) fn lose(&mut self, said: &str) {
        self.push(Paint::Warning, said);
    }

    fn push(&mut self, paint: Paint, text: &str) {
        let of_text = lines(text, false);
        let skipped = of_text.len().saturating_sub(LINES_OF_ONE);
        for line in of_text.iter().skip(skipped) {
            self.lines.push_back((paint, beginning(&inline(line), LONGEST).to_owned()));
            if self.below > 0 {
                self.below += 1;
            }
        }
        let too_many = self.lines.len().saturating_sub(LINES);
        self.lines.drain(..too_many);
        self.scroll(0);
    }

    /// As many of the lines as there are rows for.
    pub(in crate::cli::top) fn shown(&self) -> impl Iterator<Item = (Paint, &str)> {
        let end = self.lines.len().saturating_sub(self.below);
        let range = end.saturating_sub(self.height)..end;
        self.lines.range(range).map(|(paint, line)| (*paint, line.as_str()))
    }

    /// How many lines are below those that are shown.
    pub(in crate::cli::top) fn below(&self) -> usize {
        self.below
    }

    /// There is room for so many lines.
    pub(super) fn fit(&mut self, height: usize) {
        self.height = height.max(1);
        self.scroll(0);
    }

    /// Goes up by this many lines, or down.
    pub(super) fn scroll(&mut self, up: isize) {
        let most = self.lines.len().saturating_sub(self.height);
        self.below = self.below.saturating_add_signed(up).min(most);
    }

    pub(super) fn page(&self) -> isize {
        isize::try_from(self.height).unwrap_or(isize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tail(lines: usize, height: usize) -> Tail {
        let mut tail = Tail::new("job".into(), 1);
        tail.fit(height);
        (1..=lines).for_each(|number| tail.push(Paint::Plain, &number.to_string()));
        tail
    }

    fn shown(tail: &Tail) -> Vec<&str> {
        tail.shown().map(|(_, line)| line).collect()
    }

    #[test]
    fn the_newest_lines_are_shown_until_one_scrolls_back() {
        let mut tail = tail(10, 3);
        assert_eq!(shown(&tail), ["8", "9", "10"]);
        tail.scroll(2);
        tail.push(Paint::Plain, "11");
        assert_eq!((shown(&tail), tail.below()), (vec!["6", "7", "8"], 3));
        tail.scroll(isize::MAX);
        assert_eq!(shown(&tail), ["1", "2", "3"]);
        tail.scroll(isize::MIN);
        assert_eq!(shown(&tail), ["9", "10", "11"]);
    }

    #[test]
    fn what_is_kept_has_a_limit() {
        let mut tail = tail(LINES + 5, 3);
        tail.scroll(isize::MAX);
        assert_eq!((shown(&tail)[0], tail.lines.len()), ("6", LINES));
        tail.push(Paint::Plain, &"x".repeat(5000));
        tail.push(Paint::Plain, &"y\n".repeat(5000));
        tail.scroll(isize::MIN);
        assert_eq!(tail.lines.iter().filter(|(_, line)| line == "y").count(), LINES_OF_ONE);
        assert!(tail.lines.iter().all(|(_, line)| line.len() <= LONGEST));
    }
}
