//! Lines as a client writes them.

use serde::Serialize;

use crate::job::content::{EncodeError, NonFinite, encode_line};
use crate::wire::{Epoch, Position, SessionName, Start, Token, Verb};

/// What a client asks for, ready to be written.
pub(crate) struct Request<'a, M: ?Sized, H: ?Sized> {
    pub(crate) action: Verb,
    pub(crate) stream: Option<&'a str>,
    pub(crate) message: Option<&'a M>,
    pub(crate) header: Option<&'a H>,
    pub(crate) condition: Condition,
    pub(crate) receipt: Option<u64>,
    /// Whether the receipt is to wait until what was done is durable.
    pub(crate) durable: bool,
}

/// How the stream must stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Condition {
    #[default]
    None,
    /// This run is on.
    Of(Epoch),
    /// There is no header and no end.
    Absent,
}

/// A request without content.
pub(crate) fn bare<'a>(action: Verb, stream: Option<&'a str>, receipt: Option<u64>) -> Request<'a, (), ()> {
    Request { action, stream, message: None, header: None, condition: Condition::None, receipt, durable: false }
}

/// A request for a stream, to which content may be added.
pub(super) fn alone<'a, M: ?Sized, H: ?Sized>(action: Verb, stream: &'a str) -> Request<'a, M, H> {
    Request { action, stream: Some(stream), message: None, header: None, condition: Condition::None, receipt: None, durable: false }
}

impl<M: Serialize + ?Sized, H: Serialize + ?Sized> Request<'_, M, H> {
    /// Appends the line, in the form that the broker passes on without building it again.
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
        match self.condition {
            Condition::None => {}
            Condition::Of(epoch) => out.extend_from_slice(format!(",\"of\":\"{epoch}\"").as_bytes()),
            Condition::Absent => out.extend_from_slice(br#","if":"absent""#),
        }
        if let Some(receipt) = self.receipt {
            out.extend_from_slice(br#","receipt":"#);
            out.extend_from_slice(receipt.to_string().as_bytes());
        }
        if self.durable {
            out.extend_from_slice(br#","durable":true"#);
        }
        out.extend_from_slice(b"}\n");
        Ok(())
    }
}

/// The action by which a listener joins, or goes on where it was, as a line.
pub(super) fn listen_line(stream: &str, Start { after, last, latest }: Start, receipt: u64) -> Vec<u8> {
    let mut line = Vec::with_capacity(160);
    // A name is a text, which can always be written.
    let _ = bare(Verb::Listen, Some(stream), Some(receipt)).write(NonFinite::Null, &mut line);
    line.truncate(line.len() - "}\n".len());
    if let Some(after) = after {
        line.extend_from_slice(b",\"after\":");
        push_position(after, &mut line);
    }
    push_rest(last, latest, &mut line);
    line
}

/// The action by which the listener of a prefix joins its streams, or goes on where it was in some of them, as a line of at most so many
/// bytes: those that there is no room for are left out.
pub(super) fn listen_prefix_line<'p>(
    prefix: &str,
    after: impl Iterator<Item = (&'p str, Position)>,
    last: Option<u64>,
    latest: bool,
    receipt: u64,
    longest: usize,
) -> Vec<u8> {
    let mut line = prefix_line(Verb::Listen, prefix, receipt);
    line.truncate(line.len() - "}\n".len());
    let start = line.len();
    for (stream, position) in after {
        let end = line.len();
        line.extend_from_slice(if end == start { b",\"after\":{" } else { b"," });
        // A name is a text, which can always be written.
        let _ = encode_line(stream, NonFinite::Null, &mut line);
        line.push(b':');
        push_position(position, &mut line);
        if line.len() + REST > longest {
            line.truncate(end);
            break;
        }
    }
    if line.len() > start {
        line.push(b'}');
    }
    push_rest(last, latest, &mut line);
    line
}

/// An action for all streams of a prefix, as a line.
pub(super) fn prefix_line(action: Verb, prefix: &str, receipt: u64) -> Vec<u8> {
    let mut line = format!("{{\"action\":\"{}\",\"prefix\":", action.word()).into_bytes();
    // A prefix is a text, which can always be written.
    let _ = encode_line(prefix, NonFinite::Null, &mut line);
    line.extend_from_slice(format!(",\"receipt\":{receipt}}}\n").as_bytes());
    line
}

/// The most that comes behind the positions of a line.
const REST: usize = 64;

fn push_position(Position { epoch, sequence }: Position, line: &mut Vec<u8>) {
    line.extend_from_slice(format!("{{\"epoch\":\"{epoch}\",\"sequence\":{sequence}}}").as_bytes());
}

fn push_rest(last: Option<u64>, latest: bool, line: &mut Vec<u8>) {
    if let Some(last) = last {
        line.extend_from_slice(format!(",\"last\":{last}").as_bytes());
    }
    if latest {
        line.extend_from_slice(br#","mode":"latest""#);
    }
    line.extend_from_slice(b"}\n");
}

/// The line by which a connection belongs to a session.
pub(super) fn session_line(session: &SessionName, receipt: u64) -> Vec<u8> {
    let mut line = format!("{{\"action\":\"{}\",\"session\":", Verb::Session.word()).into_bytes();
    // A name is a text, which can always be written.
    let _ = encode_line(session.as_str(), NonFinite::Null, &mut line);
    line.extend_from_slice(format!(",\"receipt\":{receipt}}}\n").as_bytes());
    line
}

/// The line by which a connection says whose it is.
pub(super) fn auth_line(token: &Token) -> Vec<u8> {
    let mut line = format!("{{\"action\":\"{}\",\"token\":", Verb::Auth.word()).into_bytes();
    // A token is a text, which can always be written.
    let _ = encode_line(token.as_str(), NonFinite::Null, &mut line);
    line.extend_from_slice(b"}\n");
    line
}

/// The action that sets a header alone, as a line: with it a new connection repeats a header, and compares.
pub(super) fn header_line<H: Serialize + ?Sized>(stream: &str, header: Option<&H>, non_finite: NonFinite) -> Result<Vec<u8>, EncodeError> {
    let mut line = Vec::with_capacity(128);
    Request { message: header, ..alone::<H, ()>(Verb::Header, stream) }.write(non_finite, &mut line)?;
    Ok(line)
}

/// A header's line, for a stream that has no header and has not ended.
pub(super) fn if_absent(header: &[u8], receipt: u64) -> Vec<u8> {
    let mut line = header.strip_suffix(b"}\n").unwrap_or(header).to_vec();
    line.extend_from_slice(format!(",\"if\":\"absent\",\"receipt\":{receipt}}}\n").as_bytes());
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_says_where_it_begins() {
        let after = Start::default().after(Position { epoch: crate::wire::Epoch::new(10), sequence: 7 });
        for (start, more) in [
            (Start::default(), ""),
            (after, r#","after":{"epoch":"000000000000000a","sequence":7}"#),
            (after.latest(true), r#","after":{"epoch":"000000000000000a","sequence":7},"mode":"latest""#),
            (after.last(0), r#","after":{"epoch":"000000000000000a","sequence":7},"last":0"#),
        ] {
            let expected = format!("{{\"action\":\"listen\",\"stream\":\"a\\\"b\",\"receipt\":3{more}}}\n");
            assert_eq!(String::from_utf8(listen_line("a\"b", start, 3)).unwrap(), expected);
        }
    }

    #[test]
    fn the_listener_of_a_prefix_says_where_it_was_as_far_as_there_is_room() {
        let at = |sequence| Position { epoch: Epoch::new(10), sequence };
        let line = |after: &[(&'static str, u64)], longest| {
            let after = after.iter().map(|(stream, sequence)| (*stream, at(*sequence)));
            String::from_utf8(listen_prefix_line("a\"", after, Some(3), true, 7, longest)).unwrap()
        };
        let with =
            |after: &str| format!("{{\"action\":\"listen\",\"prefix\":\"a\\\"\",\"receipt\":7{after},\"last\":3,\"mode\":\"latest\"}}\n");
        assert_eq!(line(&[], 1000), with(""));
        let one = r#""a\"b":{"epoch":"000000000000000a","sequence":1}"#;
        let two = r#""a\"c":{"epoch":"000000000000000a","sequence":2}"#;
        let both = [("a\"b", 1), ("a\"c", 2)];
        assert_eq!(line(&both, 1000), with(&format!(",\"after\":{{{one},{two}}}")));
        assert_eq!(line(&both, 200), with(&format!(",\"after\":{{{one}}}")));
        assert_eq!(line(&both, 100), with(""));
    }

    #[test]
    fn requests_stand_as_the_broker_passes_them_on() {
        let mut out = Vec::new();
        let put = Request { message: Some(&[1.5]), ..alone::<_, ()>(Verb::Put, "a") };
        put.write(NonFinite::Refuse, &mut out).unwrap();
        bare(Verb::Ping, None, Some(3)).write(NonFinite::Refuse, &mut out).unwrap();
        let both = Request { message: Some(&1), header: Some(&()), receipt: Some(4), ..alone(Verb::Put, "a") };
        both.write(NonFinite::Refuse, &mut out).unwrap();
        for condition in [Condition::Of(Epoch::new(10)), Condition::Absent] {
            let header = Request { message: Some(&1), condition, receipt: Some(5), ..alone::<_, ()>(Verb::Header, "a") };
            header.write(NonFinite::Refuse, &mut out).unwrap();
        }
        let lost = Request { message: Some(&[f64::NAN]), ..put };
        assert!(lost.write(NonFinite::Refuse, &mut out).is_err());
        let expected = r#"{"action":"put","stream":"a","message":[1.5]}
{"action":"ping","receipt":3}
{"action":"put","stream":"a","message":1,"header":null,"receipt":4}
{"action":"header","stream":"a","message":1,"of":"000000000000000a","receipt":5}
{"action":"header","stream":"a","message":1,"if":"absent","receipt":5}
"#;
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
