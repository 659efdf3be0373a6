//! Lines as a client writes and reads them.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::job::content::{Content, EncodeError, NonFinite, encode_line};
use crate::wire::{StreamState, Verb};

/// What a broker says in one line.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Reply {
    /// A message, or the header.
    Put { stream: String, message: Content },
    /// The stream has ended.
    Close { stream: String, message: Option<Content> },
    /// The connection ends, and why if the client did not ask for it.
    CloseConnection(Option<Reason>),
    /// An action has taken effect.
    Receipt { receipt: u64, listeners: Option<usize>, state: Option<StreamState> },
    /// All before the ping has taken effect.
    Pong { receipt: Option<u64> },
    /// An action was refused.
    Error { reason: Reason, receipt: Option<u64> },
    /// Nothing that this client knows: a newer broker may say more.
    Unknown,
}

/// Why the broker refused an action or ended a connection.
///
/// ```
/// # use msgstream::client::Reason;
/// let reason = Reason { code: "limit".to_owned(), reason: "there are 5 streams, the most allowed (limits.streams)".to_owned() };
/// assert_eq!(reason.to_string(), "there are 5 streams, the most allowed (limits.streams) (limit)");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Reason {
    /// The kind, as the wire names it: `slow_listener`, `limit`, `shutdown` and so on.
    pub code: String,
    /// What was wrong, and what would be right.
    pub reason: String,
}

impl Reason {
    /// Whether the client itself is the cause: it would be refused again. A broker that stops, or a queue that was full, is none.
    pub(super) fn is_refusal(&self) -> bool {
        !matches!(&*self.code, "shutdown" | "slow_listener")
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.reason, self.code)
    }
}

#[derive(Deserialize)]
struct Line<'a> {
    action: Cow<'a, str>,
    #[serde(borrow)]
    stream: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "present")]
    message: Option<&'a RawValue>,
    receipt: Option<u64>,
    listeners: Option<usize>,
    state: Option<Cow<'a, str>>,
}

/// `null` is a message like any other, not the absence of one.
fn present<'de: 'a, 'a, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// Reads one line of a broker.
pub(crate) fn read(line: &[u8]) -> serde_json::Result<Reply> {
    // As text first: serde_json checks a whole line at once faster than value by value.
    let line: Line<'_> = match std::str::from_utf8(line) {
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
            Some(receipt) => Reply::Receipt { receipt, listeners: line.listeners, state: line.state.as_deref().and_then(state) },
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

/// What a client asks for, ready to be written.
pub(crate) struct Request<'a, M: ?Sized, H: ?Sized> {
    pub(crate) action: Verb,
    pub(crate) stream: Option<&'a str>,
    pub(crate) message: Option<&'a M>,
    pub(crate) header: Option<&'a H>,
    pub(crate) receipt: Option<u64>,
}

/// A request without content.
pub(crate) fn bare<'a>(action: Verb, stream: Option<&'a str>, receipt: Option<u64>) -> Request<'a, (), ()> {
    Request { action, stream, message: None, header: None, receipt }
}

impl<M: Serialize + ?Sized, H: Serialize + ?Sized> Request<'_, M, H> {
    /// Appends the line, in the form that the broker passes on without building it anew.
    pub(crate) fn write(&self, non_finite: NonFinite, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let start = out.len();
        let written = self.try_write(non_finite, out);
        if written.is_err() {
            out.truncate(start);
        }
        written
    }

    fn try_write(&self, non_finite: NonFinite, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        out.extend_from_slice(br#"{"action":""#);
        out.extend_from_slice(self.action.word().as_bytes());
        out.push(b'"');
        if let Some(stream) = self.stream {
            out.extend_from_slice(br#","stream":"#);
            encode_line(stream, non_finite, out)?;
        }
        if let Some(message) = self.message {
            out.extend_from_slice(br#","message":"#);
            encode_line(message, non_finite, out)?;
        }
        if let Some(header) = self.header {
            out.extend_from_slice(br#","header":"#);
            encode_line(header, non_finite, out)?;
        }
        if let Some(receipt) = self.receipt {
            out.extend_from_slice(br#","receipt":"#);
            out.extend_from_slice(receipt.to_string().as_bytes());
        }
        out.extend_from_slice(b"}\n");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(text: &str) -> Content {
        Content::from_json(text).unwrap()
    }

    #[test]
    fn every_line_of_a_broker_is_read() {
        let reason = || Reason { code: "limit".to_owned(), reason: "too many".to_owned() };
        let table = [
            (r#"{"action":"put","stream":"a\"b","message":1.10}"#, Reply::Put { stream: "a\"b".to_owned(), message: content("1.10") }),
            (r#"{"action":"put","stream":"a","message":null}"#, Reply::Put { stream: "a".to_owned(), message: content("null") }),
            (r#"{"action":"close","stream":"a"}"#, Reply::Close { stream: "a".to_owned(), message: None }),
            (r#"{"action":"close","stream":"a","message":null}"#, Reply::Close { stream: "a".to_owned(), message: Some(content("null")) }),
            (r#"{"action":"close"}"#, Reply::CloseConnection(None)),
            (r#"{"action":"close","message":{"code":"limit","reason":"too many"}}"#, Reply::CloseConnection(Some(reason()))),
            (r#"{"action":"receipt","receipt":7,"listeners":2}"#, Reply::Receipt { receipt: 7, listeners: Some(2), state: None }),
            (
                r#"{"action":"receipt","receipt":7,"state":"ended"}"#,
                Reply::Receipt { receipt: 7, listeners: None, state: Some(StreamState::Ended) },
            ),
            (r#"{"action":"pong"}"#, Reply::Pong { receipt: None }),
            (
                r#"{"action":"error","message":{"code":"limit","reason":"too many"},"stream":"a","receipt":9}"#,
                Reply::Error { reason: reason(), receipt: Some(9) },
            ),
            (r#"{"action":"greet","of":"a later version"}"#, Reply::Unknown),
        ];
        for (line, reply) in table {
            assert_eq!(read(line.as_bytes()).unwrap(), reply, "{line}");
        }
        assert!(read(b"HTTP/1.1 400 Bad Request").is_err());
    }

    #[test]
    fn requests_stand_as_the_broker_passes_them_on() {
        let mut out = Vec::new();
        let put = Request { action: Verb::Put, stream: Some("a"), message: Some(&[1.5]), header: None::<&()>, receipt: None };
        put.write(NonFinite::Refuse, &mut out).unwrap();
        bare(Verb::Ping, None, Some(3)).write(NonFinite::Refuse, &mut out).unwrap();
        let both = Request { action: Verb::Put, stream: Some("a"), message: Some(&1), header: Some(&()), receipt: Some(4) };
        both.write(NonFinite::Refuse, &mut out).unwrap();
        let lost = Request { message: Some(&[f64::NAN]), ..put };
        assert!(lost.write(NonFinite::Refuse, &mut out).is_err());
        let expected = r#"{"action":"put","stream":"a","message":[1.5]}
{"action":"ping","receipt":3}
{"action":"put","stream":"a","message":1,"header":null,"receipt":4}
"#;
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
