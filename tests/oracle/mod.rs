//! What a line of JSON means, said again with `serde_json` and nothing of the decoder's own: slow, short, and compared
//! with the decoder by the tests and by the fuzzer.

#![allow(clippy::expect_used, reason = "a test helper: what fails here is a failed test")]

mod meaning;

use std::collections::HashMap;
use std::fmt;

use msgstream::internal::wire::ids::StreamName;
use msgstream::internal::wire::json_lines::{ENCODER, JsonLines};
use msgstream::internal::wire::{Encode, ErrorCode, Event};
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;

use meaning::{LIMITS, Meaning, Meant, Terms, VERBS, decoded};

/// Compares the decoder with the oracle over every line.
pub(crate) fn compare(bytes: &[u8]) {
    meaning::compare::<JsonLines>(bytes, meaning, decoded);
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
fn meaning(line: &[u8]) -> Meaning {
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
    let Some(verb) = verb.and_then(|verb| VERBS.into_iter().find(|known| *known == verb)) else {
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
    if ["session", "auth"].contains(&verb) {
        return Terms::of_members(verb, member).map_or(mistake(ErrorCode::BadAction), |terms| Meaning::Action(Meant { terms, ..bare }));
    }
    let Ok(prefix) = meaning::prefix(verb, member("prefix")) else { return mistake(ErrorCode::BadStream) };
    if prefix.is_some() {
        if stream.as_deref().is_some_and(|stream| stream != "null") {
            return mistake(ErrorCode::BadStream);
        }
        let Some(terms) = Terms::of_members(verb, member) else { return mistake(ErrorCode::BadAction) };
        return Meaning::Action(Meant { terms, ..bare });
    }
    if verb == "ping" || (no_stream && ["hangup", "close"].contains(&verb)) {
        return Meaning::Action(bare);
    }
    if no_stream {
        return mistake(ErrorCode::MissingStream);
    }
    let Some(name) = name.clone() else { return mistake(ErrorCode::BadStream) };
    if name.starts_with('$') && ["put", "header", "close", "delete", "will"].contains(&verb) {
        return mistake(ErrorCode::Denied);
    }
    let message = member("message").filter(|_| !["listen", "hangup"].contains(&verb));
    if message.is_none() && ["put", "header"].contains(&verb) {
        return mistake(ErrorCode::MissingMessage);
    }
    let Some(terms) = Terms::of_members(verb, member) else { return mistake(ErrorCode::BadAction) };
    let header = member("header").filter(|_| verb == "put");
    // A name with an escape is always written anew.
    let verbatim = verb == "put" && serde_json::to_string(&name).is_ok_and(|quoted| quoted.len() == name.len() + 2) && {
        let mut output = Vec::new();
        let stream = StreamName::new(&name).expect("a name that is not empty");
        ENCODER.encode(&Event::Put { stream: &stream, message: message.as_deref().unwrap_or_default().as_bytes() }, &mut output);
        output == line
    };
    Meaning::Action(Meant {
        stream: Some(name),
        message: message.map(String::into_bytes),
        verbatim,
        header: header.map(String::into_bytes),
        terms,
        ..bare
    })
}
