//! Events as lines: compact, keys in a fixed order, each line ended by LF.

use std::io::Write;

use super::super::action::ReceiptId;
use super::super::codec::Encode;
use super::super::event::{Effect, Event};
use super::super::position::Position;
use super::form::{MESSAGE, PUT_HEAD, PUT_TAIL};
use super::read_back;

/// The encoder of JSON lines. There is one value of it: [`ENCODER`].
#[derive(Debug)]
pub struct JsonLinesEncoder {
    name: &'static str,
}

/// The one encoder of JSON lines, as frames and connections remember it.
pub static ENCODER: JsonLinesEncoder = JsonLinesEncoder { name: "JSON lines" };

/// The beginning of every put of a stream, up to its message.
fn write_put_envelope(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(br#"{"action":"put","stream":"#);
    write_text(out, name);
    out.extend_from_slice(MESSAGE);
}

impl Encode for JsonLinesEncoder {
    fn name(&self) -> &'static str {
        self.name
    }

    fn encode_json(&self, event: &Event<'_>, out: &mut Vec<u8>) {
        self.encode(event, out);
    }

    fn end_of(&self, units: &[u8], count: u32) -> usize {
        let last = (count as usize).checked_sub(1);
        last.map_or(0, |last| memchr::memchr_iter(b'\n', units).nth(last).map_or(units.len(), |end| end + 1))
    }

    fn start_of_last(&self, units: &[u8], _count: u32) -> usize {
        // From the end, whatever stands before.
        let before = units.len().saturating_sub(1);
        memchr::memrchr(b'\n', units.get(..before).unwrap_or_default()).map_or(0, |end| end + 1)
    }

    fn read_back(&self, units: &[u8], each: &mut dyn FnMut(&Event<'_>)) {
        read_back::read_back(units, each);
    }

    fn encode(&self, event: &Event<'_>, out: &mut Vec<u8>) {
        match event {
            Event::Put { stream, message } => {
                // The buffer grows once for the whole line: the envelope, the name (escapes are rare) and the message.
                out.reserve(PUT_HEAD.len() + PUT_TAIL.len() + stream.as_str().len() + message.len() + 2);
                write_put_envelope(out, stream.as_str());
                out.extend_from_slice(message);
            }
            Event::Skipped { stream, messages } => {
                out.extend_from_slice(br#"{"action":"skipped","stream":"#);
                write_text(out, stream.as_str());
                write_member(out, ",\"messages\":", messages);
            }
            Event::Close { stream, message } => {
                out.extend_from_slice(br#"{"action":"close","stream":"#);
                write_text(out, stream.as_str());
                if let Some(message) = message {
                    out.extend_from_slice(MESSAGE);
                    out.extend_from_slice(message);
                }
            }
            Event::CloseConnection { why } => {
                out.extend_from_slice(br#"{"action":"close""#);
                if let Some((code, reason)) = why {
                    write_reason(out, code.as_str(), reason);
                }
            }
            Event::Receipt { receipt, effect } => {
                out.extend_from_slice(br#"{"action":"receipt""#);
                write_receipt(out, Some(receipt));
                write_effect(out, effect);
            }
            Event::Joined { stream, effect } => {
                out.extend_from_slice(br#"{"action":"joined","stream":"#);
                write_text(out, stream.as_str());
                write_effect(out, effect);
            }
            Event::Pong { receipt } => {
                out.extend_from_slice(br#"{"action":"pong""#);
                write_receipt(out, *receipt);
            }
            Event::Session { session, known, taken, broker, receipt } => {
                out.extend_from_slice(br#"{"action":"session","session":"#);
                write_text(out, session.as_str());
                write_member(out, ",\"known\":", known);
                write_member(out, ",\"taken\":", taken);
                write_member(out, ",\"broker\":\"", broker);
                out.push(b'"');
                write_receipt(out, *receipt);
            }
            Event::Error { code, reason, stream, receipt } => {
                out.extend_from_slice(br#"{"action":"error""#);
                write_reason(out, code.as_str(), reason);
                if let Some(stream) = stream {
                    out.extend_from_slice(br#","stream":"#);
                    write_text(out, stream);
                }
                write_receipt(out, *receipt);
            }
        }
        out.extend_from_slice(b"}\n");
    }
}

fn write_reason(out: &mut Vec<u8>, code: &str, reason: &str) {
    out.extend_from_slice(br#","message":{"code":"#);
    write_text(out, code);
    out.extend_from_slice(br#","reason":"#);
    write_text(out, reason);
    out.push(b'}');
}

fn write_receipt(out: &mut Vec<u8>, receipt: Option<&ReceiptId>) {
    if let Some(text) = receipt.map(ReceiptId::text) {
        out.extend_from_slice(br#","receipt":"#);
        out.extend_from_slice(text.as_bytes());
    }
}

fn write_effect(out: &mut Vec<u8>, effect: &Effect) {
    let Effect { listeners, streams, state, header, age, resumed, missed, position } = effect;
    if let Some(listeners) = listeners {
        write_member(out, ",\"listeners\":", listeners);
    }
    if let Some(streams) = streams {
        write_member(out, ",\"streams\":", streams);
    }
    if let Some(state) = state {
        out.extend_from_slice(br#","state":"#);
        write_text(out, state.as_str());
    }
    if let Some(header) = header {
        write_member(out, ",\"header\":", header);
    }
    if let Some(age) = age {
        // To the millisecond, as a number that no reader has to round.
        write_member(out, ",\"age\":", &(age.as_millis() as f64 / 1000.0));
    }
    if let Some(resumed) = resumed {
        write_member(out, ",\"resumed\":", resumed);
    }
    if let Some(missed) = missed {
        write_member(out, ",\"missed\":", missed);
    }
    if let Some(Position { epoch, sequence }) = position {
        write_member(out, ",\"position\":{\"epoch\":\"", epoch);
        write_member(out, "\",\"sequence\":", sequence);
        out.push(b'}');
    }
}

/// A value that is shown as JSON writes it, behind its key.
fn write_member(out: &mut Vec<u8>, key: &str, value: &impl std::fmt::Display) {
    // A vector can always be written to.
    let _ = write!(out, "{key}{value}");
}

/// A JSON string, escaped as `serde_json` does it.
fn write_text(out: &mut Vec<u8>, text: &str) {
    // A string can always be written, and a vector always be written to.
    let _ = serde_json::to_writer(out, text);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::form::{PUT_HEAD, PUT_TAIL};
    use super::{ENCODER, write_put_envelope};
    use crate::wire::ids::StreamName;
    use crate::wire::{Effect, Encode, Epoch, ErrorCode, Event, Position, ReceiptId, SessionName, StreamState};

    fn line(event: &Event<'_>) -> String {
        let mut out = b"before ".to_vec();
        ENCODER.encode(event, &mut out);
        String::from_utf8(out).unwrap().strip_prefix("before ").unwrap().to_owned()
    }

    #[test]
    fn every_event_is_one_compact_line() {
        let stream = &StreamName::new("job \"7\"\\\u{1}\u{7f}é").unwrap();
        let receipt = &ReceiptId::new(r#""a\u0062""#);
        let session = &SessionName::new("sixteen \"letters\"").unwrap();
        let name = "\"job \\\"7\\\"\\\\\\u0001\u{7f}é\"";
        let table = [
            (Event::Put { stream, message: b"1.10" }, format!(r#"{{"action":"put","stream":{name},"message":1.10}}"#)),
            (Event::Skipped { stream, messages: 3 }, format!(r#"{{"action":"skipped","stream":{name},"messages":3}}"#)),
            (Event::Close { stream, message: None }, format!(r#"{{"action":"close","stream":{name}}}"#)),
            (Event::Close { stream, message: Some(b"null") }, format!(r#"{{"action":"close","stream":{name},"message":null}}"#)),
            (Event::CloseConnection { why: None }, r#"{"action":"close"}"#.to_owned()),
            (
                Event::CloseConnection { why: Some((ErrorCode::Shutdown, "a \"b\"")) },
                r#"{"action":"close","message":{"code":"shutdown","reason":"a \"b\""}}"#.to_owned(),
            ),
            (Event::Receipt { receipt, effect: Effect::default() }, r#"{"action":"receipt","receipt":"a\u0062"}"#.to_owned()),
            (
                Event::Receipt { receipt, effect: Effect { listeners: Some(12), ..Effect::default() } },
                r#"{"action":"receipt","receipt":"a\u0062","listeners":12}"#.to_owned(),
            ),
            (
                Event::Receipt {
                    receipt,
                    effect: Effect {
                        listeners: None,
                        streams: None,
                        state: Some(StreamState::Running),
                        header: None,
                        age: Some(Duration::from_micros(1_500_999)),
                        resumed: Some(false),
                        missed: Some(3),
                        position: Some(Position { epoch: Epoch::new(0xab), sequence: 12 }),
                    },
                },
                concat!(
                    r#"{"action":"receipt","receipt":"a\u0062","state":"running","age":1.5,"resumed":false,"missed":3,"#,
                    r#""position":{"epoch":"00000000000000ab","sequence":12}}"#
                )
                .to_owned(),
            ),
            (
                Event::Receipt { receipt, effect: Effect { streams: Some(0), ..Effect::default() } },
                r#"{"action":"receipt","receipt":"a\u0062","streams":0}"#.to_owned(),
            ),
            (
                Event::Joined {
                    stream,
                    effect: Effect { state: Some(StreamState::Ended), header: Some(false), resumed: Some(true), ..Effect::default() },
                },
                format!(r#"{{"action":"joined","stream":{name},"state":"ended","header":false,"resumed":true}}"#),
            ),
            (Event::Pong { receipt: None }, r#"{"action":"pong"}"#.to_owned()),
            (Event::Pong { receipt: Some(receipt) }, r#"{"action":"pong","receipt":"a\u0062"}"#.to_owned()),
            (
                Event::Session { session, known: true, taken: 12, broker: Epoch::new(0xab), receipt: None },
                r#"{"action":"session","session":"sixteen \"letters\"","known":true,"taken":12,"broker":"00000000000000ab"}"#.to_owned(),
            ),
            (
                Event::Session { session, known: false, taken: 0, broker: Epoch::new(0xab), receipt: Some(receipt) },
                concat!(
                    r#"{"action":"session","session":"sixteen \"letters\"","known":false,"taken":0,"#,
                    r#""broker":"00000000000000ab","receipt":"a\u0062"}"#
                )
                .to_owned(),
            ),
            (
                Event::Error { code: ErrorCode::BadJson, reason: "x", stream: Some("s\n"), receipt: Some(receipt) },
                r#"{"action":"error","message":{"code":"bad_json","reason":"x"},"stream":"s\n","receipt":"a\u0062"}"#.to_owned(),
            ),
            (
                Event::Error { code: ErrorCode::Denied, reason: "x", stream: None, receipt: None },
                r#"{"action":"error","message":{"code":"denied","reason":"x"}}"#.to_owned(),
            ),
        ];
        for (event, expected) in table {
            assert_eq!(line(&event), expected + "\n");
        }
    }

    #[test]
    fn the_first_units_end_behind_their_line_ends() {
        let units = b"{}\n{1}\n{22}\n";
        assert_eq!([0, 1, 2, 3, 4].map(|count| ENCODER.end_of(units, count)), [0, 3, 7, 12, 12]);
    }

    #[test]
    fn the_last_unit_begins_behind_the_line_end_before_it() {
        for (units, start) in [(&b"{}\n{1}\n{22}\n"[..], 7), (b"{}\n", 0), (b"\n", 0), (b"", 0)] {
            assert_eq!(ENCODER.start_of_last(units, 3), start);
        }
    }

    #[test]
    fn the_envelope_is_its_head_the_name_and_its_tail() {
        let mut out = Vec::new();
        write_put_envelope(&mut out, "s");
        assert_eq!(out, [PUT_HEAD, b"s", PUT_TAIL].concat());
    }
}
