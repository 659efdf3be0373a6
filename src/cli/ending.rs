//! How a job has ended, in words and as an exit code.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use crate::client::Event;
use crate::job::content::Content;
use crate::job::monitor::Message;

use super::clock;
use super::exit::Exit;
use super::text::{cut, inline};

/// The most columns that a title has beside an end: a command under `run` may be long.
const LONGEST_TITLE: usize = 40;

/// How a job has ended, as far as it is known.
#[derive(Debug, Clone)]
pub(super) struct Ending {
    pub(super) how: How,
    /// What came out, or why.
    pub(super) what: Option<String>,
    pub(super) title: Option<String>,
    pub(super) started: Option<Timestamp>,
    pub(super) ended: Option<Timestamp>,
    /// How long ago its stream ended, as the broker says of one that it finds ended.
    pub(super) age: Option<Duration>,
}

/// The kinds of ends, those first that people must see first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum How {
    Failed,
    /// Nobody has heard of it any more: how it ended is not known.
    Lost,
    Aborted,
    Done,
    /// The stream has ended without a word on how.
    Ended,
}

impl How {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Lost => "lost",
            Self::Aborted => "aborted",
            Self::Done => "done",
            Self::Ended => "ended",
        }
    }

    pub(super) fn exit(self) -> Exit {
        match self {
            Self::Failed => Exit::Failed,
            Self::Lost => Exit::Lost,
            Self::Aborted => Exit::Aborted,
            Self::Done | Self::Ended => Exit::Fine,
        }
    }
}

impl Ending {
    /// The end that a message tells; none if it tells another thing.
    pub(super) fn of(message: Message) -> Option<Self> {
        let (how, what, title, started, ended) = match message {
            Message::Complete(end) => (How::Done, end.result.as_ref().and_then(outcome), end.title, end.started, end.ended),
            Message::Abort(end) => (How::Aborted, end.reason, end.title, end.started, end.ended),
            Message::Lost(end) => (How::Lost, end.reason, end.title, end.started, end.ended),
            Message::Error(end) => (How::Failed, Some(end.reason), end.title, end.started, end.ended),
            _ => return None,
        };
        Some(Self { how, what, title, started: clock::time(started.as_deref()), ended: clock::time(ended.as_deref()), age: None })
    }

    /// As [`of`](Self::of), of a content. One whose state cannot be read tells an end all the same, by its class.
    pub(super) fn of_content(content: &Content) -> Option<Self> {
        let object = content.object()?;
        if let Some(message) = Message::of(content) {
            return Self::of(message);
        }
        let how = match &*object.class {
            "monitor.Complete" => How::Done,
            "monitor.Abort" => How::Aborted,
            "monitor.Lost" => How::Lost,
            "monitor.Error" => How::Failed,
            _ => return None,
        };
        let what = Some(object.state.to_string()).filter(|state| state != "{}");
        Some(Self { how, what, ..Self::silent() })
    }

    /// The end that an event tells.
    pub(super) fn of_event(event: &Event) -> Option<Self> {
        match event {
            Event::Header(content) | Event::Message(content) => Self::of_content(content),
            Event::Ended { message } => Some(message.as_ref().and_then(Self::of_content).unwrap_or_else(Self::silent)),
            Event::Skipped { .. } | Event::CutOff(_) | Event::Lost { .. } | Event::Reconnected { .. } => None,
        }
    }

    /// The end of a stream that does not say how.
    pub(super) fn silent() -> Self {
        Self { how: How::Ended, what: None, title: None, started: None, ended: None, age: None }
    }

    /// `done in 4 s`, `failed after 4 s: exit status 2`.
    pub(super) fn told(&self) -> String {
        let mut told = self.how.word().to_owned();
        if let Some((started, ended)) = self.started.zip(self.ended) {
            let within = if self.how == How::Done { "in" } else { "after" };
            told += &format!(" {within} {}", clock::words(clock::seconds(started, ended)));
        }
        if let Some(what) = &self.what {
            told += &format!(": {what}");
        }
        told
    }

    /// As [`told`](Self::told), of a run that was over before anybody looked: `ended 1 h ago: done in 4 s`.
    pub(super) fn told_late(&self) -> String {
        let by_its_word = self.ended.map(|ended| clock::seconds(ended, Timestamp::now()));
        let when = match by_its_word.or(self.age.map(|age| age.as_secs())) {
            Some(0) => "ended just now".to_owned(),
            Some(seconds) => format!("ended {} ago", clock::words_of_age(seconds)),
            None => "had ended before".to_owned(),
        };
        if self.how == How::Ended { when } else { format!("{when}: {}", self.told()) }
    }
}

/// Whether a job says with it that a run begins, or goes on. Only that follows an end: anything else there comes late.
pub(super) fn begins_run(event: &Event) -> bool {
    let (Event::Header(content) | Event::Message(content)) = event else { return false };
    matches!(Message::of(content), Some(Message::Start(_) | Message::Join(_)))
}

/// Whose end it is: the stream, and what the job is called.
pub(super) fn label(stream: &str, title: Option<&str>) -> String {
    let title = title.map(|title| format!(" {}", cut(&inline(title), LONGEST_TITLE))).unwrap_or_default();
    format!("{}{title}", inline(stream))
}

/// What a job says that came out of it. That a command has exited with 0 is no news once it is done.
fn outcome(result: &Value) -> Option<String> {
    let exit_only = result.as_object().is_some_and(|fields| fields.len() == 1 && fields.get("exit").is_some_and(|exit| exit == 0));
    (!exit_only && !result.is_null()).then(|| shown(result))
}

/// A value as people read it.
pub(super) fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_told_in_words() {
        let cases = [
            ("Complete", r#"{"result":{"exit":0},"started":"2026-11-28T12:55:19Z","ended":"2026-11-28T12:55:23Z"}"#, "done in 4 s"),
            ("Complete", r#"{"result":"fit.csv"}"#, "done: fit.csv"),
            ("Error", r#"{"reason":"no","started":"2026-11-28T12:55:19Z","ended":"2026-11-28T12:57:24Z"}"#, "failed after 2 min 5 s: no"),
            ("Abort", "{}", "aborted"),
            ("Lost", r#"{"started":"2026-11-28T12:55:19Z"}"#, "lost"),
            ("Error", "{}", "failed"),
            ("Error", r#"{"reason":"no","started":5}"#, r#"failed: {"reason":"no","started":5}"#),
        ];
        for (class, state, told) in cases {
            let content = Content::from_json(&format!(r#"{{".class":"monitor.{class}",".state":{state}}}"#)).unwrap();
            assert_eq!(Ending::of_content(&content).unwrap().told(), told);
        }
    }

    #[test]
    fn an_old_end_is_told_with_its_age() {
        let day = Duration::from_secs(7 * 24 * 3600);
        let silent = |age| Ending { age, ..Ending::silent() }.told_late();
        assert_eq!(silent(None), "had ended before");
        assert_eq!(silent(Some(Duration::from_millis(999))), "ended just now");
        assert_eq!(silent(Some(Duration::from_secs(200))), "ended 3 min ago");
        assert_eq!(silent(Some(day)), "ended 7 d ago");
        // The job's own word says when it ended; the stream may have been closed later.
        let ended = Some(Timestamp::now() - jiff::SignedDuration::from_secs(3700));
        assert_eq!(Ending { how: How::Done, ended, age: Some(day), ..Ending::silent() }.told_late(), "ended 1 h ago: done");
    }
}
