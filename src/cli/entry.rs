//! What the directory says of a stream, and what that is to people: a word and a colour.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;

use crate::job::content::Content;
use crate::wire::Position;

use super::ending::How;
use super::view::Paint;

/// What the directory says of a stream.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Entry {
    pub(super) state: String,
    pub(super) listeners: u64,
    pub(super) messages: u64,
    pub(super) position: Option<Position>,
    /// The listeners by node, if the broker is one of several.
    pub(super) nodes: BTreeMap<String, u64>,
    header_time: Option<i64>,
    message_time: Option<i64>,
}

impl Entry {
    /// What cannot be read says nothing.
    pub(super) fn of(content: &Content) -> Self {
        content.parse().unwrap_or_default()
    }

    /// When something last came of the stream, in seconds since 1970.
    pub(super) fn latest(&self) -> Option<i64> {
        self.header_time.max(self.message_time)
    }

    /// Whether the newest message came behind the header, or together with it.
    pub(super) fn is_header_older(&self) -> bool {
        self.header_time <= self.message_time
    }

    /// For how many seconds nothing has come of the stream.
    pub(super) fn quiet(&self, now: Timestamp) -> Option<u64> {
        self.latest().map(|latest| u64::try_from(now.as_second() - latest).unwrap_or(0))
    }

    /// The state of the stream, or how its job has ended.
    pub(super) fn word(&self, how: Option<How>) -> &str {
        how.map_or(self.state.as_str(), |how| how.word())
    }

    /// The colour of that word.
    pub(super) fn paint(&self, how: Option<How>) -> Paint {
        match how {
            Some(How::Failed | How::Lost) => Paint::Bad,
            Some(How::Aborted) => Paint::Warning,
            Some(How::Done) => Paint::Dim,
            Some(How::Ended) | None if self.state == "running" => Paint::Good,
            Some(How::Ended) | None => Paint::Dim,
        }
    }
}
