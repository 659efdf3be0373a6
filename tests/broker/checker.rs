//! What every listener must be able to say about the messages it got.
//!
//! Publishers write messages `{"p":PUBLISHER,"seq":NUMBER}`, numbered from 0 without a gap, and headers
//! `{"upto":{"p":PUBLISHER,"seq":NUMBER}}`, which tell everything of that publisher up to that number. For each listener
//! of a stream:
//!
//! - a header comes first or not at all;
//! - each publisher's messages are contiguous from the join point: no gap, no duplicate, no reordering;
//! - the join point itself has no gap: what the header does not tell, a message does;
//! - nothing foreign: no other stream's messages, no publisher that does not exist, nothing that was never sent;
//! - who stayed to the end has the last message of every publisher;
//! - any two listeners agree on the order of all publishers' messages.

use std::collections::HashMap;
use std::fmt;

use serde::Deserialize;

/// The text of a message.
pub(crate) fn message(publisher: u32, seq: u32) -> String {
    format!(r#"{{"p":{publisher},"seq":{seq}}}"#)
}

/// The text of a header that tells all messages of the publisher up to this one.
pub(crate) fn header(publisher: u32, seq: u32) -> String {
    format!(r#"{{"upto":{{"p":{publisher},"seq":{seq}}}}}"#)
}

/// A whole line that publishes one message.
pub(crate) fn put(stream: &str, publisher: u32, seq: u32) -> String {
    format!(r#"{{"action":"put","stream":"{stream}","message":{}}}"#, message(publisher, seq))
}

/// The same, with a message of about the given size.
pub(crate) fn padded_put(stream: &str, publisher: u32, seq: u32, size: usize) -> String {
    let pad = "x".repeat(size);
    format!(r#"{{"action":"put","stream":"{stream}","message":{{"p":{publisher},"seq":{seq},"pad":"{pad}"}}}}"#)
}

/// A whole line that publishes one message, and tells it in the header in the same step.
pub(crate) fn put_with_header(stream: &str, publisher: u32, seq: u32) -> String {
    let (message, header) = (message(publisher, seq), header(publisher, seq));
    format!(r#"{{"action":"put","stream":"{stream}","message":{message},"header":{header}}}"#)
}

/// What was sent to one stream: how many messages by each publisher.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sent(HashMap<u32, u32>);

impl Sent {
    /// The publisher has sent `count` messages.
    pub(crate) fn add(&mut self, publisher: u32, count: u32) {
        self.0.insert(publisher, count);
    }

    /// Each of the publishers `0..publishers` has sent `count` messages.
    pub(crate) fn by_each(publishers: u32, count: u32) -> Self {
        Self((0..publishers).map(|publisher| (publisher, count)).collect())
    }
}

/// When a listener began and stopped to listen, as far as the test can be sure of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stay {
    /// From before the first message until after the last.
    Throughout,
    /// From some moment on until after the last.
    Late,
    /// From before the first message until some moment.
    CutShort,
    /// From some moment on until another.
    Between,
}

/// What one listener got.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    stream: String,
    stay: Stay,
    header: Option<(u32, u32)>,
    messages: Vec<(u32, u32)>,
}

/// What is wrong with what the listeners got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Flaw {
    Foreign(String),
    HeaderLate,
    Gap { publisher: u32, expected: u32, got: u32 },
    GapAtJoin { publisher: u32, expected: u32, got: u32 },
    Duplicate { publisher: u32, seq: u32 },
    Reordered { publisher: u32, seq: u32 },
    Missing { publisher: u32, last: Option<u32>, sent: u32 },
    Disagreement { first: (u32, u32), second: (u32, u32) },
}

#[derive(Deserialize)]
struct Line {
    action: String,
    stream: String,
    message: Content,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Message { p: u32, seq: u32 },
    Header { upto: Upto },
}

#[derive(Deserialize)]
struct Upto {
    p: u32,
    seq: u32,
}

impl Record {
    /// Reads what one listener got: the lines of its one stream, nothing else.
    pub(crate) fn new(stream: &str, stay: Stay, lines: &[String]) -> Result<Self, Flaw> {
        let mut record = Self { stream: stream.to_owned(), stay, header: None, messages: Vec::with_capacity(lines.len()) };
        for line in lines {
            let parsed: Line = serde_json::from_str(line).map_err(|_| Flaw::Foreign(line.clone()))?;
            if parsed.action != "put" || parsed.stream != record.stream {
                return Err(Flaw::Foreign(line.clone()));
            }
            match parsed.message {
                Content::Message { p, seq } => record.messages.push((p, seq)),
                Content::Header { upto } if record.header.is_none() && record.messages.is_empty() => {
                    record.header = Some((upto.p, upto.seq));
                }
                Content::Header { .. } => return Err(Flaw::HeaderLate),
            }
        }
        Ok(record)
    }

    /// How many messages it got, the header not counted.
    pub(crate) fn len(&self) -> usize {
        self.messages.len()
    }

    /// Checks what this listener got by itself.
    fn check(&self, sent: &Sent) -> Result<(), Flaw> {
        let mut last: HashMap<u32, u32> = HashMap::new();
        let mut first: HashMap<u32, u32> = HashMap::new();
        for &(publisher, seq) in &self.messages {
            let count = sent.0.get(&publisher).copied().unwrap_or(0);
            if seq >= count {
                return Err(Flaw::Foreign(message(publisher, seq)));
            }
            let Some(before) = last.insert(publisher, seq) else {
                first.insert(publisher, seq);
                self.check_join(publisher, seq)?;
                continue;
            };
            if seq == before + 1 {
                continue;
            }
            if seq > before {
                // What is missing may only be late: then it is out of order, not lost.
                let expected = before + 1;
                let late = self.messages.contains(&(publisher, expected));
                return Err(if late { Flaw::Reordered { publisher, seq } } else { Flaw::Gap { publisher, expected, got: seq } });
            }
            let earlier = seq >= first[&publisher];
            return Err(if earlier { Flaw::Duplicate { publisher, seq } } else { Flaw::Reordered { publisher, seq } });
        }
        if matches!(self.stay, Stay::Throughout | Stay::Late) {
            self.check_end(sent, &last)?;
        }
        Ok(())
    }

    fn check_join(&self, publisher: u32, seq: u32) -> Result<(), Flaw> {
        let told = self.header.filter(|(by, _)| *by == publisher).map(|(_, seq)| seq);
        let expected = match (told, self.stay) {
            (Some(told), _) => told + 1,
            (None, Stay::Throughout | Stay::CutShort) => 0,
            (None, Stay::Late | Stay::Between) => return Ok(()),
        };
        if seq == expected { Ok(()) } else { Err(Flaw::GapAtJoin { publisher, expected, got: seq }) }
    }

    fn check_end(&self, sent: &Sent, last: &HashMap<u32, u32>) -> Result<(), Flaw> {
        for (&publisher, &count) in &sent.0 {
            let told = self.header.filter(|(by, _)| *by == publisher).map(|(_, seq)| seq);
            let last = last.get(&publisher).copied().or(told);
            // A late one without a header may have come after all that this publisher had to say.
            let silent = last.is_none() && (self.stay == Stay::Late || count == 0);
            if !silent && last != count.checked_sub(1) {
                return Err(Flaw::Missing { publisher, last, sent: count });
            }
        }
        Ok(())
    }

    /// Checks that both saw the same order where they saw the same messages.
    fn agrees_with(&self, other: &Self) -> Result<(), Flaw> {
        let start = |one: &Self, other: &Self| other.messages.first().and_then(|first| one.messages.iter().position(|seen| seen == first));
        let (mine, theirs) = match (start(self, other), start(other, self)) {
            (Some(at), _) => (&self.messages[at..], &other.messages[..]),
            (None, Some(at)) => (&self.messages[..], &other.messages[at..]),
            (None, None) => return Ok(()),
        };
        match mine.iter().zip(theirs).find(|(mine, theirs)| mine != theirs) {
            Some((mine, theirs)) => Err(Flaw::Disagreement { first: *mine, second: *theirs }),
            None => Ok(()),
        }
    }
}

/// Checks all listeners of one stream, each by itself and each against the one that got the most.
pub(crate) fn check(sent: &Sent, records: &[Record]) -> Result<(), Flaw> {
    for record in records {
        record.check(sent)?;
    }
    let Some(fullest) = records.iter().max_by_key(|record| record.len()) else { return Ok(()) };
    records.iter().try_for_each(|record| fullest.agrees_with(record))
}

/// Reads and checks what all listeners of one stream got, all of them with the same stay.
///
/// # Panics
/// If something is wrong with it.
#[track_caller]
pub(crate) fn assert_clean(stream: &str, sent: &Sent, stay: Stay, listeners: &[Vec<String>]) {
    let records: Result<Vec<_>, _> = listeners.iter().map(|lines| Record::new(stream, stay, lines)).collect();
    if let Err(flaw) = records.and_then(|records| check(sent, &records)) {
        panic!("stream {stream:?}: {flaw}");
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign(line) => write!(f, "nobody sent this: {line}"),
            Self::HeaderLate => f.write_str("a header came after something else"),
            Self::Gap { publisher, expected, got } => write!(f, "publisher {publisher}: {expected} is missing before {got}"),
            Self::GapAtJoin { publisher, expected, got } => {
                write!(f, "publisher {publisher}: joined at {got}, although {expected} comes next")
            }
            Self::Duplicate { publisher, seq } => write!(f, "publisher {publisher}: {seq} came twice"),
            Self::Reordered { publisher, seq } => write!(f, "publisher {publisher}: {seq} is out of order"),
            Self::Missing { publisher, last, sent } => write!(f, "publisher {publisher}: the last is {last:?}, but {sent} were sent"),
            Self::Disagreement { first, second } => write!(f, "one listener has {first:?} where another has {second:?}"),
        }
    }
}

#[cfg(test)]
mod tests;
