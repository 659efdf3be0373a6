//! What a content is to people: a step of a bar, a line, or an end.

use crate::cli::ending::{Ending, shown};
use crate::job::content::Content;
use crate::job::monitor::{Join, Log, Message, Start};

use super::colour::Paint;
use super::job::Step;

/// What a job says with a content.
#[derive(Debug)]
pub(in crate::cli) enum Said {
    Start(Start),
    Join(Join),
    Step(Step),
    Line {
        text: String,
        paint: Paint,
        level: Option<String>,
    },
    End {
        ending: Ending,
        /// Where an error was made.
        traceback: Option<String>,
    },
}

impl Said {
    pub(in crate::cli) fn of(content: &Content) -> Self {
        match Message::of(content) {
            Some(Message::Start(start)) => Self::Start(start),
            Some(Message::Join(join)) => Self::Join(join),
            Some(Message::Progress(progress)) => Self::Step(progress.into()),
            Some(Message::Log(log)) => Self::log(log),
            Some(Message::Improvement(better)) => {
                let more: String = better.more.iter().map(|(key, value)| format!(", {key} {}", shown(value))).collect();
                Self::plain(format!("better: {}{more}", shown(&better.value)))
            }
            Some(end) => {
                let traceback = if let Message::Error(error) = &end { error.traceback.clone() } else { None };
                Ending::of(end).map_or_else(|| Self::other(content), |ending| Self::End { ending, traceback })
            }
            None => match Ending::of_content(content) {
                Some(ending) => Self::End { ending, traceback: None },
                None => Self::other(content),
            },
        }
    }

    /// A message of no known class: `{"k":3,"total":10}` is as good as a Progress, and the rest is a line.
    fn other(content: &Content) -> Self {
        if content.as_str().starts_with('{')
            && let Ok(step) = content.parse::<Step>()
            && step.k.is_some()
        {
            return Self::Step(step);
        }
        Self::plain(content.parse::<String>().unwrap_or_else(|_| content.as_str().to_owned()))
    }

    fn log(log: Log) -> Self {
        let paint = match log.level.as_deref().map(str::to_ascii_lowercase).as_deref() {
            Some("error" | "critical" | "fatal") => Paint::Bad,
            Some("warning" | "warn") => Paint::Warning,
            Some("debug" | "trace") => Paint::Dim,
            _ => Paint::Plain,
        };
        Self::Line { text: log.text, paint, level: log.level }
    }

    fn plain(text: String) -> Self {
        Self::Line { text, paint: Paint::Plain, level: None }
    }
}
