//! What a broker says, read from JSON lines.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::job::content::Content;
use crate::wire::{Position, StreamState};

use super::event::Reason;

/// What a broker says in one line.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Reply {
    /// A message, or the header.
    Put { stream: String, message: Content },
    /// The stream has ended.
    Close { stream: String, message: Option<Content> },
    /// The connection ends. There is a reason if the client did not ask for it.
    CloseConnection(Option<Reason>),
    /// An action has taken effect. `resumed` tells a listener that has come back whether nothing is missing, `missed` how many messages
    /// are, where that is known.
    Receipt {
        receipt: u64,
        listeners: Option<usize>,
        state: Option<StreamState>,
        resumed: Option<bool>,
        missed: Option<u64>,
        position: Option<Position>,
    },
    /// All that was sent before the ping has taken effect.
    Pong { receipt: Option<u64> },
    /// An action was refused.
    Error { reason: Reason, receipt: Option<u64> },
    /// Nothing that this client knows: a newer broker may say more.
    Unknown,
}

#[derive(Deserialize)]
struct ReplyLine<'a> {
    action: Cow<'a, str>,
    #[serde(borrow)]
    stream: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "present")]
    message: Option<&'a RawValue>,
    receipt: Option<u64>,
    listeners: Option<usize>,
    state: Option<Cow<'a, str>>,
    resumed: Option<bool>,
    missed: Option<u64>,
    position: Option<Position>,
}

/// `null` is a message like any other, not the absence of one.
fn present<'de: 'a, 'a, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// Reads one line of a broker.
pub(crate) fn read(line: &[u8]) -> serde_json::Result<Reply> {
    // As text first: serde_json checks a whole line at once faster than value by value.
    let line: ReplyLine<'_> = match std::str::from_utf8(line) {
        Ok(text) => serde_json::from_str(text)?,
        Err(_) => serde_json::from_slice(line)?,
    };
    let content = line.message.map(Content::from);
    let reason = || line.message.and_then(|message| serde_json::from_str::<Reason>(message.get()).ok());
    Ok(match (&*line.action, line.stream) {
        ("put", Some(stream)) => match content {
            Some(message) => Reply::Put { stream: stream.into_owned(), message },
            None => Reply::Unknown,
        },
        ("close", Some(stream)) => Reply::Close { stream: stream.into_owned(), message: content },
        ("close", None) => Reply::CloseConnection(reason()),
        ("receipt", _) => match line.receipt {
            Some(receipt) => Reply::Receipt {
                receipt,
                listeners: line.listeners,
                state: line.state.as_deref().and_then(state),
                resumed: line.resumed,
                missed: line.missed,
                position: line.position,
            },
            None => Reply::Unknown,
        },
        ("pong", _) => Reply::Pong { receipt: line.receipt },
        ("error", _) => {
            let unreadable = || Reason { code: "error".to_owned(), reason: "the broker gave no reason".to_owned() };
            Reply::Error { reason: reason().unwrap_or_else(unreadable), receipt: line.receipt }
        }
        _ => Reply::Unknown,
    })
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
        let receipt =
            |listeners, state, resumed, missed, position| Reply::Receipt { receipt: 7, listeners, state, resumed, missed, position };
        let reason = || Reason { code: "limit".to_owned(), reason: "too many".to_owned() };
        let table = [
            (r#"{"action":"put","stream":"a\"b","message":1.10}"#, Reply::Put { stream: "a\"b".to_owned(), message: content("1.10") }),
            (r#"{"action":"put","stream":"a","message":null}"#, Reply::Put { stream: "a".to_owned(), message: content("null") }),
            (r#"{"action":"close","stream":"a"}"#, Reply::Close { stream: "a".to_owned(), message: None }),
            (r#"{"action":"close","stream":"a","message":null}"#, Reply::Close { stream: "a".to_owned(), message: Some(content("null")) }),
            (r#"{"action":"close"}"#, Reply::CloseConnection(None)),
            (r#"{"action":"close","message":{"code":"limit","reason":"too many"}}"#, Reply::CloseConnection(Some(reason()))),
            (r#"{"action":"receipt","receipt":7,"listeners":2}"#, receipt(Some(2), None, None, None, None)),
            (r#"{"action":"receipt","receipt":7,"state":"ended"}"#, receipt(None, Some(StreamState::Ended), None, None, None)),
            (
                concat!(
                    r#"{"action":"receipt","receipt":7,"state":"running","age":0.5,"resumed":false,"missed":3,"#,
                    r#""position":{"epoch":"000000000000000a","sequence":9}}"#
                ),
                receipt(None, Some(StreamState::Running), Some(false), Some(3), Some(Position { epoch: Epoch::new(10), sequence: 9 })),
            ),
            (r#"{"action":"pong"}"#, Reply::Pong { receipt: None }),
            (
                r#"{"action":"error","message":{"code":"limit","reason":"too many"},"stream":"a","receipt":9}"#,
                Reply::Error { reason: reason(), receipt: Some(9) },
            ),
            (r#"{"action":"receipt","receipt":7,"streams":3}"#, receipt(None, None, None, None, None)),
            (
                concat!(
                    r#"{"action":"joined","stream":"a","state":"running","age":0.5,"resumed":true,"#,
                    r#""position":{"epoch":"000000000000000a","sequence":9}}"#
                ),
                Reply::Unknown,
            ),
            (r#"{"action":"greet","of":"a later version"}"#, Reply::Unknown),
        ];
        for (line, reply) in table {
            assert_eq!(read(line.as_bytes()).unwrap(), reply, "{line}");
        }
        assert!(read(b"HTTP/1.1 400 Bad Request").is_err());
    }
}
