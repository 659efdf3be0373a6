//! What a line of JSON means, said again with `serde_json` and nothing of the decoder's own: slow, short, and compared
//! with the decoder by the tests and by the fuzzer.

#![allow(clippy::expect_used, reason = "a test helper: what fails here is a failed test")]

use std::collections::HashMap;
use std::fmt;

use msgstream::internal::wire::ids::StreamName;
use msgstream::internal::wire::json_lines::{ENCODER, JsonLines};
use msgstream::internal::wire::{Action, Codec, DecodeLimits, Encode, ErrorCode, Event, Mistake, Payload, UnitEnd};
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;

/// What a line means, in plain values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// Nothing: a blank line.
    Blank,
    /// An action, with all that it holds.
    Action(Meant),
    /// A mistake: its code and, unless the JSON is broken, what could be read beside it.
    Mistake(ErrorCode, Option<(Option<String>, Option<String>)>),
}

/// The parts of an action.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Meant {
    pub(crate) verb: &'static str,
    pub(crate) stream: Option<String>,
    pub(crate) message: Option<String>,
    pub(crate) verbatim: bool,
    pub(crate) header: Option<String>,
    pub(crate) receipt: Option<String>,
}

/// A limit on names so small that tests reach it.
pub(crate) const LIMITS: DecodeLimits = DecodeLimits { line: 1 << 20, name: 24 };

/// Compares the decoder with the oracle over every line, with one decoder for all of them and a new one for each. The
/// decoder of all is asked twice, so that what it keeps of the first time is tried the second.
pub(crate) fn compare(bytes: &[u8]) {
    let mut codec = JsonLines::default();
    let mut rest = bytes;
    while !rest.is_empty() {
        let end = match codec.unit(rest, 0) {
            UnitEnd::Complete(end) => end,
            UnitEnd::Partial | UnitEnd::Announced(_) => rest.len(),
        };
        let (line, after) = rest.split_at(end);
        let expected = meaning(line);
        let shown = String::from_utf8_lossy(line);
        assert_eq!(decoded(&mut JsonLines::default(), line), expected, "a new decoder, {shown:?}");
        assert_eq!(decoded(&mut codec, line), expected, "a used decoder, {shown:?}");
        assert_eq!(decoded(&mut codec, line), expected, "a used decoder, again, {shown:?}");
        rest = after;
    }
}

/// What the decoder makes of a line.
pub(crate) fn decoded(codec: &mut JsonLines, line: &[u8]) -> Meaning {
    match codec.decode(line, &LIMITS) {
        Ok(None) => Meaning::Blank,
        Ok(Some(action)) => Meaning::Action(meant(action)),
        Err(Mistake { code, reason, stream, receipt }) => {
            assert!(!reason.is_empty() && reason.len() < 600, "{reason:?}");
            let beside = (code != ErrorCode::BadJson).then(|| (stream, receipt.map(|receipt| receipt.0.into_string())));
            Meaning::Mistake(code, beside)
        }
    }
}

fn text(content: &[u8]) -> String {
    std::str::from_utf8(content).expect("a message is UTF-8").to_owned()
}

fn meant(action: Action<'_>) -> Meant {
    let flat = |verb,
                stream: Option<StreamName>,
                message: Option<Payload<'_>>,
                header: Option<Payload<'_>>,
                receipt: Option<msgstream::internal::wire::ReceiptId>| Meant {
        verb,
        stream: stream.map(|stream| stream.as_str().to_owned()),
        verbatim: message.is_some_and(|message| message.verbatim),
        message: message.map(|message| text(message.content)),
        header: header.map(|header| {
            assert!(!header.verbatim);
            text(header.content)
        }),
        receipt: receipt.map(|receipt| receipt.0.into_string()),
    };
    match action {
        Action::Put { stream, message, header, receipt } => flat("put", Some(stream.into_name()), Some(message), header, receipt),
        Action::Header { stream, message, receipt } => flat("header", Some(stream.into_name()), Some(message), None, receipt),
        Action::Listen { stream, receipt } => flat("listen", Some(stream.into_name()), None, None, receipt),
        Action::Hangup { stream, receipt } => flat("hangup", stream.map(|stream| stream.into_name()), None, None, receipt),
        Action::Close { stream, message, receipt } => flat("close", Some(stream.into_name()), message, None, receipt),
        Action::CloseConnection { receipt } => flat("close", None, None, None, receipt),
        Action::Delete { stream, message, receipt } => flat("delete", Some(stream.into_name()), message, None, receipt),
        Action::Ping { receipt } => flat("ping", None, None, None, receipt),
    }
}

/// The members of an object: keys decoded as bytes, since half a surrogate pair is within the grammar.
struct Members(Vec<(Vec<u8>, String)>);

#[derive(PartialEq, Eq, Hash)]
struct Key(Vec<u8>);

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Key;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }
            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Key, E> {
                Ok(Key(bytes.to_vec()))
            }
        }
        deserializer.deserialize_bytes(Bytes)
    }
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some((Key(key), value)) = map.next_entry::<Key, Box<RawValue>>()? {
                    members.push((key, value.get().to_owned()));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// What the contract says that a line means.
pub(crate) fn meaning(line: &[u8]) -> Meaning {
    let bad_json = Meaning::Mistake(ErrorCode::BadJson, None);
    if line.iter().all(|byte| b" \t\r\n".contains(byte)) {
        return Meaning::Blank;
    }
    let Ok(checked) = std::str::from_utf8(line) else { return bad_json };
    // Keys are read as bytes, for which serde_json lets raw control characters pass: a plain skip of all does not.
    let (Ok(Members(members)), Ok(_)) =
        (serde_json::from_str(checked), serde_json::from_str::<&RawValue>(checked.trim_matches([' ', '\t', '\r', '\n'])))
    else {
        return bad_json;
    };
    let mut once = HashMap::new();
    for (key, value) in members {
        if once.insert(key, value).is_some() {
            return bad_json;
        }
    }
    let member = |key: &str| once.get(key.as_bytes()).cloned();

    let stream = member("stream");
    let name = stream
        .as_deref()
        .and_then(|text| serde_json::from_str::<String>(text).ok())
        .filter(|name| !name.is_empty() && name.len() <= LIMITS.name);
    let receipt = member("receipt").filter(|text| text != "null");
    let receipt_kind = receipt.as_deref().is_none_or(|text| !text.starts_with(['{', '[', 't', 'f']));
    let receipt_size = receipt.as_deref().is_none_or(|text| text.len() <= 256);
    let good_receipt = receipt.filter(|_| receipt_kind && receipt_size);
    let mistake = |code| Meaning::Mistake(code, Some((name.clone(), good_receipt.clone())));

    let verb: Option<String> = member("action").and_then(|text| serde_json::from_str(&text).ok());
    let verbs = ["header", "put", "listen", "hangup", "close", "delete", "ping"];
    let Some(verb) = verb.and_then(|verb| verbs.into_iter().find(|known| *known == verb)) else {
        return mistake(ErrorCode::BadAction);
    };
    if !receipt_kind {
        return mistake(ErrorCode::BadAction);
    }
    if !receipt_size {
        return mistake(ErrorCode::Limit);
    }
    let bare = Meant { verb, receipt: good_receipt.clone(), ..Meant::default() };
    let no_stream = stream.is_none() || (verb == "hangup" && stream.as_deref() == Some("null"));
    if verb == "ping" || (no_stream && ["hangup", "close"].contains(&verb)) {
        return Meaning::Action(bare);
    }
    if no_stream {
        return mistake(ErrorCode::MissingStream);
    }
    let Some(name) = name.clone() else { return mistake(ErrorCode::BadStream) };
    if name.starts_with('$') && ["put", "header", "close", "delete"].contains(&verb) {
        return mistake(ErrorCode::Denied);
    }
    let message = member("message").filter(|_| !["listen", "hangup"].contains(&verb));
    if message.is_none() && ["put", "header"].contains(&verb) {
        return mistake(ErrorCode::MissingMessage);
    }
    let header = member("header").filter(|_| verb == "put");
    let verbatim = verb == "put" && {
        let mut output = Vec::new();
        let stream = StreamName::new(&name).expect("a name that is not empty");
        ENCODER.encode(&Event::Put { stream: &stream, message: message.as_deref().unwrap_or_default().as_bytes() }, &mut output);
        output == line
    };
    Meaning::Action(Meant { stream: Some(name), message, verbatim, header, ..bare })
}
