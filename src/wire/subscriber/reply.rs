//! What a broker says, read from JSON lines.

use std::borrow::Cow;
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::job::content::Content;
use crate::wire::{Epoch, Position, StreamState};

use super::event::{Joined, Reason, Receipt};

/// What a broker says in one line.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Reply {
    /// A message, or the header.
    Put { stream: String, message: Content },
    /// So many messages were replaced by the next one.
    Skipped { stream: String, messages: u64 },
    /// The stream has ended.
    Close { stream: String, message: Option<Content> },
    /// The connection ends. There is a reason if the client did not ask for it.
    CloseConnection(Option<Reason>),
    /// An action has taken effect.
    Receipt { receipt: u64, answer: Answer },
    /// The connection belongs to a session: whether the broker knew it, how many of its lines were taken, and which life of the broker says
    /// so.
    Session { known: bool, taken: u64, broker: Option<Epoch> },
    /// A stream was joined by a prefix, behind its header if it has one.
    Joined { stream: String, answer: Answer },
    /// All that was sent before the ping has taken effect.
    Pong { receipt: Option<u64> },
    /// An action was refused; or, without a receipt, a stream was not joined that a prefix matches.
    Error { reason: Reason, stream: Option<String>, receipt: Option<u64> },
    /// Nothing that this client knows: a newer broker may say more.
    Unknown,
}

/// What a receipt says.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Answer {
    listeners: Option<usize>,
    pub(crate) streams: Option<usize>,
    pub(crate) state: Option<StreamState>,
    header: Option<bool>,
    age: Option<Duration>,
    resumed: Option<bool>,
    missed: Option<u64>,
    position: Option<Position>,
}

impl Answer {
    /// To a listener.
    pub(crate) fn joined(self) -> Joined {
        let Self { state, age, resumed, missed, position, .. } = self;
        let (state, resumed) = (state.unwrap_or(StreamState::Waiting), resumed.unwrap_or(false));
        let has_header = match state {
            StreamState::Waiting => false,
            StreamState::Running => !resumed,
            // An older broker does not say.
            StreamState::Ended => self.header.unwrap_or(!resumed),
        };
        Joined { state, age, resumed, missed, position, has_header }
    }

    /// The run of the stream.
    pub(crate) fn run(&self) -> Option<Epoch> {
        self.position.map(|position| position.epoch)
    }

    /// To a publisher.
    pub(crate) fn receipt(self) -> Receipt {
        Receipt { listeners: self.listeners, position: self.position }
    }
}

#[derive(Deserialize)]
struct ReplyLine<'a> {
    action: Cow<'a, str>,
    #[serde(borrow)]
    stream: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "present")]
    message: Option<&'a RawValue>,
    #[serde(default, deserialize_with = "lenient")]
    messages: Option<u64>,
    #[serde(default, deserialize_with = "lenient")]
    receipt: Option<u64>,
    #[serde(default, deserialize_with = "lenient")]
    listeners: Option<usize>,
    #[serde(default, deserialize_with = "lenient")]
    streams: Option<usize>,
    #[serde(default, deserialize_with = "lenient")]
    state: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    header: Option<bool>,
    #[serde(default, deserialize_with = "lenient")]
    age: Option<f64>,
    #[serde(default, deserialize_with = "lenient")]
    resumed: Option<bool>,
    #[serde(default, deserialize_with = "lenient")]
    missed: Option<u64>,
    #[serde(default, deserialize_with = "lenient")]
    position: Option<Position>,
    #[serde(default, deserialize_with = "lenient")]
    known: Option<bool>,
    #[serde(default, deserialize_with = "lenient")]
    taken: Option<u64>,
    #[serde(default, deserialize_with = "lenient")]
    broker: Option<Epoch>,
}

/// `null` is a message like any other, not the absence of one.
fn present<'de: 'a, 'a, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// A value that is of another type than it was when this was written says nothing, and takes nothing from the rest of the line.
fn lenient<'de, T: serde::de::DeserializeOwned, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    serde_json::Value::deserialize(deserializer).map(|value| serde_json::from_value(value).ok())
}

/// Reads one line of a broker.
pub(crate) fn read(line: &[u8]) -> serde_json::Result<Reply> {
    // As text first: serde_json checks a whole line at once faster than value by value.
    let mut line: ReplyLine<'_> = match std::str::from_utf8(line) {
        Ok(text) => serde_json::from_str(text)?,
        Err(_) => serde_json::from_slice(line)?,
    };
    let content = line.message.map(Content::from);
    let reason = || line.message.and_then(|message| serde_json::from_str::<Reason>(message.get()).ok());
    Ok(match (&*line.action, line.stream.take()) {
        ("put", Some(stream)) => match content {
            Some(message) => Reply::Put { stream: stream.into_owned(), message },
            None => Reply::Unknown,
        },
        ("skipped", Some(stream)) => Reply::Skipped { stream: stream.into_owned(), messages: line.messages.unwrap_or(0) },
        ("close", Some(stream)) => Reply::Close { stream: stream.into_owned(), message: content },
        ("close", None) => Reply::CloseConnection(reason()),
        ("receipt", _) => match line.receipt {
            Some(receipt) => Reply::Receipt { receipt, answer: answer(&line) },
            None => Reply::Unknown,
        },
        ("joined", Some(stream)) => Reply::Joined { answer: answer(&line), stream: stream.into_owned() },
        ("session", _) => Reply::Session { known: line.known.unwrap_or(false), taken: line.taken.unwrap_or(0), broker: line.broker },
        ("pong", _) => Reply::Pong { receipt: line.receipt },
        ("error", stream) => {
            let unreadable = || Reason { code: "error".to_owned(), reason: "the broker gave no reason".to_owned() };
            Reply::Error { reason: reason().unwrap_or_else(unreadable), stream: stream.map(Cow::into_owned), receipt: line.receipt }
        }
        _ => Reply::Unknown,
    })
}

/// What is said of a stream.
fn answer(line: &ReplyLine<'_>) -> Answer {
    let ReplyLine { listeners, streams, header, resumed, missed, position, .. } = *line;
    let (state, age) = (line.state.as_deref().and_then(state), line.age.and_then(|age| Duration::try_from_secs_f64(age).ok()));
    Answer { listeners, streams, state, header, age, resumed, missed, position }
}

fn state(word: &str) -> Option<StreamState> {
    [StreamState::Waiting, StreamState::Running, StreamState::Ended].into_iter().find(|state| state.as_str() == word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Epoch;

    fn content(text: &str) -> Content {
        Content::from_json(text).unwrap()
    }

    #[test]
    fn every_line_of_a_broker_is_read() {
        let receipt = |answer| Reply::Receipt { receipt: 7, answer };
        let reason = || Reason { code: "limit".to_owned(), reason: "too many".to_owned() };
        let table = [
            (r#"{"action":"put","stream":"a\"b","message":1.10}"#, Reply::Put { stream: "a\"b".to_owned(), message: content("1.10") }),
            (r#"{"action":"put","stream":"a","message":null}"#, Reply::Put { stream: "a".to_owned(), message: content("null") }),
            (r#"{"action":"close","stream":"a"}"#, Reply::Close { stream: "a".to_owned(), message: None }),
            (r#"{"action":"close","stream":"a","message":null}"#, Reply::Close { stream: "a".to_owned(), message: Some(content("null")) }),
            (r#"{"action":"skipped","stream":"a","messages":7}"#, Reply::Skipped { stream: "a".to_owned(), messages: 7 }),
            (r#"{"action":"close"}"#, Reply::CloseConnection(None)),
            (r#"{"action":"close","message":{"code":"limit","reason":"too many"}}"#, Reply::CloseConnection(Some(reason()))),
            (r#"{"action":"receipt","receipt":7,"listeners":2}"#, receipt(Answer { listeners: Some(2), ..Answer::default() })),
            (
                r#"{"action":"receipt","receipt":7,"state":"ended","header":false}"#,
                receipt(Answer { state: Some(StreamState::Ended), header: Some(false), ..Answer::default() }),
            ),
            (
                concat!(
                    r#"{"action":"receipt","receipt":7,"state":"running","age":0.5,"resumed":false,"missed":3,"#,
                    r#""position":{"epoch":"000000000000000a","sequence":9}}"#
                ),
                receipt(Answer {
                    listeners: None,
                    streams: None,
                    state: Some(StreamState::Running),
                    header: None,
                    age: Some(Duration::from_millis(500)),
                    resumed: Some(false),
                    missed: Some(3),
                    position: Some(Position { epoch: Epoch::new(10), sequence: 9 }),
                }),
            ),
            (
                r#"{"action":"session","session":"sixteen letters!","known":true,"taken":12,"broker":"00000000000000ab","receipt":3}"#,
                Reply::Session { known: true, taken: 12, broker: Some(Epoch::new(0xab)) },
            ),
            (
                r#"{"action":"receipt","receipt":7,"listeners":"two","state":7,"header":{},"age":"old","resumed":1,"missed":-1,"position":[]}"#,
                receipt(Answer::default()),
            ),
            (r#"{"action":"receipt","receipt":"seven"}"#, Reply::Unknown),
            // No time is below zero.
            (r#"{"action":"receipt","receipt":7,"age":-1}"#, receipt(Answer::default())),
            (r#"{"action":"pong"}"#, Reply::Pong { receipt: None }),
            (
                r#"{"action":"error","message":{"code":"limit","reason":"too many"},"stream":"a","receipt":9}"#,
                Reply::Error { reason: reason(), stream: Some("a".to_owned()), receipt: Some(9) },
            ),
            (r#"{"action":"receipt","receipt":7,"streams":3}"#, receipt(Answer { streams: Some(3), ..Answer::default() })),
            (
                concat!(
                    r#"{"action":"joined","stream":"a","state":"running","age":0.5,"resumed":true,"#,
                    r#""position":{"epoch":"000000000000000a","sequence":9}}"#
                ),
                Reply::Joined {
                    stream: "a".to_owned(),
                    answer: Answer {
                        state: Some(StreamState::Running),
                        age: Some(Duration::from_millis(500)),
                        resumed: Some(true),
                        position: Some(Position { epoch: Epoch::new(10), sequence: 9 }),
                        ..Answer::default()
                    },
                },
            ),
            (r#"{"action":"greet","of":"a later version"}"#, Reply::Unknown),
        ];
        for (line, reply) in table {
            assert_eq!(read(line.as_bytes()).unwrap(), reply, "{line}");
        }
        assert!(read(b"HTTP/1.1 400 Bad Request").is_err());
    }
}
