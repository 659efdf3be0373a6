//! What a unit of MessagePack means and what becomes of its content, said again with `rmpv`, `serde_json` and nothing of
//! the broker's own: slow, short, and compared with the broker's by the tests and by the fuzzer.

#![allow(clippy::unwrap_used, reason = "a test helper: what fails here is a failed test")]

mod meaning;

use msgstream::internal::wire::ids::StreamName;
use msgstream::internal::wire::message_pack::{ENCODER, MessagePack};
use msgstream::internal::wire::{Encode, ErrorCode, Event};
use rmpv::Value;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;
use serde_json::value::RawValue;

use meaning::{LIMITS, Meaning, Meant, Terms, VERBS};

/// So deep that no short unit is deeper, and no stack overflows.
const DEEPEST: usize = 5000;

/// Compares the decoder with the oracle over every unit, and the content of every message with what it should be as JSON.
pub(crate) fn compare(bytes: &[u8]) {
    let checked = |unit: &[u8]| {
        let expected = meaning(unit);
        if let Meaning::Action(Meant { message: Some(message), .. }) = &expected {
            compare_content(message);
        }
        expected
    };
    meaning::compare(bytes, checked, decoded);
}

/// A put of some content, as a listener would get it.
fn put(stream: &str, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    ENCODER.encode(&Event::Put { stream: &StreamName::new(stream).unwrap(), message: content }, &mut out);
    out
}

/// Content as JSON text.
pub(crate) fn to_json(content: &[u8]) -> String {
    let mut text = None;
    ENCODER.read_back(&put("s", content), &mut |event| {
        let Event::Put { message, .. } = event else { panic!("{event:?}") };
        text = Some(String::from_utf8(message.to_vec()).unwrap());
    });
    text.unwrap()
}

/// JSON text as content.
pub(crate) fn from_json(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    ENCODER.encode_json(&Event::Put { stream: &StreamName::new("s").unwrap(), message: text.as_bytes() }, &mut out);
    let envelope = put("s", b"").len();
    out.split_off(envelope)
}

/// Content in JSON is what the oracle says, on one line, and comes back as content that means the same.
fn compare_content(content: &[u8]) {
    let text = to_json(content);
    assert!(!text.contains('\n'), "{text:?}");
    // It may be deeper than the oracle's reader goes, or hold an application's own JSON.
    assert!(serde_json::from_str::<&RawValue>(&text).is_ok(), "{text:?}");
    let value = read(content).unwrap();
    assert_eq!(text, plain(&value), "{content:x?}");
    let back = to_json(&from_json(&text));
    // JSON that an application has put there itself may be spelled in another way.
    if !holds_json(&value) {
        assert_eq!(back, text, "{content:x?}");
    }
    assert_eq!(to_json(&from_json(&back)), back, "{content:x?}");
}

fn holds_json(value: &Value) -> bool {
    match value {
        Value::Ext(kind, _) => *kind == 74,
        Value::Array(items) => items.iter().any(holds_json),
        Value::Map(pairs) => pairs.iter().any(|(_, value)| holds_json(value)),
        Value::Nil | Value::Boolean(_) | Value::Integer(_) | Value::F32(_) | Value::F64(_) | Value::String(_) | Value::Binary(_) => false,
    }
}

/// What the value should be in JSON.
fn plain(value: &Value) -> String {
    let object = |class: &str, state: String| format!(r#"{{".class":"{class}",".version":"1.0",".state":{state}}}"#);
    match value {
        Value::F32(number) => plain(&Value::F64(f64::from(*number))),
        Value::F64(number) if number.is_nan() => object("float", "\"NaN\"".to_owned()),
        Value::F64(number) if number.is_infinite() => object("float", format!("\"{}Infinity\"", if *number > 0.0 { "" } else { "-" })),
        Value::F64(number) => {
            let text = json!(number).to_string();
            assert_eq!(text.parse::<f64>().unwrap().to_bits(), number.to_bits(), "{text}");
            text
        }
        Value::String(text) => json!(text.as_str().unwrap()).to_string(),
        Value::Binary(data) => object("bytes", format!("\"{}\"", base64(data))),
        Value::Ext(74, data) if is_trimmed_json(data) => String::from_utf8(data.clone()).unwrap().replace('\n', " "),
        Value::Ext(kind, data) => object("ext", format!(r#"{{"type":{kind},"data":"{}"}}"#, base64(data))),
        Value::Array(items) => format!("[{}]", items.iter().map(plain).collect::<Vec<_>>().join(",")),
        Value::Map(pairs) => {
            let key = |key: &Value| json!(key.as_str().map_or_else(|| key.to_string(), str::to_owned));
            let members: Vec<_> = pairs.iter().map(|(name, value)| format!("{}:{}", key(name), plain(value))).collect();
            format!("{{{}}}", members.join(","))
        }
        Value::Nil => "null".to_owned(),
        Value::Boolean(value) => value.to_string(),
        Value::Integer(number) => number.to_string(),
    }
}

/// Whether bytes are one JSON value without white space around it.
fn is_trimmed_json(data: &[u8]) -> bool {
    serde_json::from_slice::<&RawValue>(data).is_ok_and(|value| value.get().len() == data.len())
}

/// Base64, bit by bit.
fn base64(data: &[u8]) -> String {
    let bits: String = data.iter().map(|byte| format!("{byte:08b}")).collect();
    let letters: Vec<char> = ('A'..='Z').chain('a'..='z').chain('0'..='9').chain(['+', '/']).collect();
    let mut text: String = bits
        .as_bytes()
        .chunks(6)
        .map(|six| letters[usize::from_str_radix(&format!("{:0<6}", std::str::from_utf8(six).unwrap()), 2).unwrap()])
        .collect();
    while !text.len().is_multiple_of(4) {
        text.push('=');
    }
    text
}

/// One value and nothing else.
fn read(mut bytes: &[u8]) -> Option<Value> {
    // To `rmpv` the marker that stands for nothing is a nil; `rmp-serde` refuses it.
    let mut strict = rmp_serde::Deserializer::from_read_ref(bytes);
    strict.set_max_depth(DEEPEST);
    IgnoredAny::deserialize(&mut strict).ok()?;
    let value = rmpv::decode::read_value_with_max_depth(&mut bytes, DEEPEST).ok()?;
    bytes.is_empty().then_some(value)
}

/// Whether a value can be passed on: its texts are UTF-8, and its keys texts or integers.
fn sound(value: &Value) -> bool {
    match value {
        Value::String(text) => text.is_str(),
        Value::Array(items) => items.iter().all(sound),
        Value::Map(pairs) => {
            pairs.iter().all(|(key, value)| matches!(key, Value::String(_) | Value::Integer(_)) && sound(key) && sound(value))
        }
        Value::Nil | Value::Boolean(_) | Value::Integer(_) | Value::F32(_) | Value::F64(_) | Value::Binary(_) | Value::Ext(..) => true,
    }
}

fn bytes_of(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    rmpv::encode::write_value(&mut out, value).unwrap();
    out
}

/// What the contract says that a unit means.
fn meaning(unit: &[u8]) -> Meaning {
    let mistake = |code| Meaning::Mistake(code, None);
    let bad = mistake(ErrorCode::BadJson);
    let Some((prefix, body)) = unit.split_first_chunk::<4>() else { return bad };
    if u32::from_be_bytes(*prefix) as usize != body.len() {
        return bad;
    }
    if body.is_empty() {
        return Meaning::Blank;
    }
    let Some(Value::Map(pairs)) = read(body) else { return bad };
    let mut members: Vec<(&str, &Value)> = Vec::new();
    for (key, value) in &pairs {
        let Some(key) = key.as_str() else { return bad };
        if !sound(value) || members.iter().any(|(other, _)| *other == key) {
            return bad;
        }
        members.push((key, value));
    }
    let member = |key: &str| members.iter().find(|(name, _)| *name == key).map(|(_, value)| *value);

    let given = member("action").and_then(Value::as_str);
    let Some(verb) = VERBS.into_iter().find(|verb| Some(*verb) == given) else { return mistake(ErrorCode::BadAction) };
    let receipt = match member("receipt") {
        None | Some(Value::Nil) => None,
        Some(Value::String(text)) => Some(json!(text.as_str()).to_string()),
        Some(Value::Integer(number)) => Some(number.to_string()),
        Some(Value::F32(number)) if number.is_finite() => Some(json!(f64::from(*number)).to_string()),
        Some(Value::F64(number)) if number.is_finite() => Some(json!(number).to_string()),
        Some(_) => return mistake(ErrorCode::BadAction),
    };
    if member("receipt").is_some_and(|value| bytes_of(value).len() > 256) {
        return mistake(ErrorCode::Limit);
    }
    let bare = Meant { verb, receipt, ..Meant::default() };
    if ["session", "auth"].contains(&verb) {
        let terms = Terms::of_members(verb, |key| member(key).map(plain));
        return terms.map_or(mistake(ErrorCode::BadAction), |terms| Meaning::Action(Meant { terms, ..bare }));
    }
    let Ok(prefix) = meaning::prefix(verb, member("prefix").map(plain)) else { return mistake(ErrorCode::BadStream) };
    if prefix.is_some() {
        if !matches!(member("stream"), None | Some(Value::Nil)) {
            return mistake(ErrorCode::BadStream);
        }
        let Some(terms) = Terms::of_members(verb, |key| member(key).map(plain)) else { return mistake(ErrorCode::BadAction) };
        return Meaning::Action(Meant { terms, ..bare });
    }
    let name = match member("stream") {
        _ if verb == "ping" => return Meaning::Action(bare),
        None | Some(Value::Nil) if verb == "hangup" => return Meaning::Action(bare),
        None if verb == "close" => return Meaning::Action(bare),
        None => return mistake(ErrorCode::MissingStream),
        Some(value) => match value.as_str().filter(|name| !name.is_empty() && name.len() <= LIMITS.name) {
            Some(name) => name,
            None => return mistake(ErrorCode::BadStream),
        },
    };
    if name.starts_with('$') && ["put", "header", "close", "delete", "will"].contains(&verb) {
        return mistake(ErrorCode::Denied);
    }
    let message = member("message").filter(|_| !["listen", "hangup"].contains(&verb)).map(bytes_of);
    if message.is_none() && ["put", "header"].contains(&verb) {
        return mistake(ErrorCode::MissingMessage);
    }
    let Some(terms) = Terms::of_members(verb, |key| member(key).map(plain)) else { return mistake(ErrorCode::BadAction) };
    let header = member("header").filter(|_| verb == "put").map(bytes_of);
    Meaning::Action(Meant { stream: Some(name.to_owned()), message, header, terms, ..bare })
}

/// What the decoder makes of a unit: content in the oracle's spelling, and a mistake without what could be read beside it.
fn decoded(codec: &mut MessagePack, unit: &[u8]) -> Meaning {
    match meaning::decoded(codec, unit) {
        Meaning::Blank => Meaning::Blank,
        Meaning::Action(meant) => {
            let is_output = meant.verb == "put" && put(meant.stream.as_deref().unwrap(), meant.message.as_deref().unwrap()) == unit;
            assert_eq!(meant.verbatim, is_output, "{unit:x?}");
            let respelled = |content: Option<Vec<u8>>| content.map(|content| bytes_of(&read(&content).unwrap()));
            let (message, header) = (respelled(meant.message), respelled(meant.header));
            Meaning::Action(Meant { message, header, verbatim: false, ..meant })
        }
        Meaning::Mistake(code, _) => Meaning::Mistake(code, None),
    }
}
