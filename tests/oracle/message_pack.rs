//! What a unit of MessagePack means and what becomes of its content, said again with `rmpv`, `serde_json` and nothing of
//! the broker's own: slow, short, and compared with the broker's by the tests and by the fuzzer.

#![allow(clippy::unwrap_used, reason = "a test helper: what fails here is a failed test")]

use msgstream::internal::wire::ids::StreamName;
use msgstream::internal::wire::message_pack::{ENCODER, MessagePack};
use msgstream::internal::wire::{Action, Codec, DecodeLimits, Encode, ErrorCode, Event, Payload, ReceiptId, UnitEnd};
use rmpv::Value;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;
use serde_json::value::RawValue;

/// A limit on names so small that tests reach it.
const LIMITS: DecodeLimits = DecodeLimits { line: 1 << 20, name: 24 };

/// So deep that no short unit is deeper, and no stack overflows.
const DEEPEST: usize = 5000;

/// What a unit means, in plain values.
#[derive(Debug, Clone, PartialEq)]
enum Meaning {
    Blank,
    Action { verb: &'static str, stream: Option<String>, message: Option<Vec<u8>>, header: Option<Vec<u8>>, receipt: Option<String> },
    Mistake(ErrorCode),
}

/// Compares the decoder with the oracle over every unit, with one decoder for all of them, asked twice, and a new one for
/// each; and the content of every message with what it should be as JSON.
pub(crate) fn compare(bytes: &[u8]) {
    let mut codec = MessagePack::default();
    let mut rest = bytes;
    while !rest.is_empty() {
        let end = match codec.unit(rest, 0) {
            UnitEnd::Complete(end) => end,
            UnitEnd::Partial | UnitEnd::Announced(_) => rest.len(),
        };
        let (unit, after) = rest.split_at(end);
        let expected = meaning(unit);
        assert_eq!(decoded(&mut MessagePack::default(), unit), expected, "a new decoder, {unit:x?}");
        assert_eq!(decoded(&mut codec, unit), expected, "a used decoder, {unit:x?}");
        assert_eq!(decoded(&mut codec, unit), expected, "a used decoder, again, {unit:x?}");
        if let Meaning::Action { message: Some(message), .. } = &expected {
            compare_content(message);
        }
        rest = after;
    }
}

/// A put of some content, as a listener would get it.
pub(crate) fn put(content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    ENCODER.encode(&Event::Put { stream: &StreamName::new("s").unwrap(), message: content }, &mut out);
    out
}

/// Content as JSON text.
pub(crate) fn to_json(content: &[u8]) -> String {
    let mut text = None;
    ENCODER.read_back(&put(content), &mut |event| {
        let Event::Put { message, .. } = event else { panic!("{event:?}") };
        text = Some(String::from_utf8(message.to_vec()).unwrap());
    });
    text.unwrap()
}

/// JSON text as content.
pub(crate) fn from_json(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    ENCODER.encode_json(&Event::Put { stream: &StreamName::new("s").unwrap(), message: text.as_bytes() }, &mut out);
    let envelope = put(b"").len();
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
    let bad = Meaning::Mistake(ErrorCode::BadJson);
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

    let verbs = ["header", "put", "listen", "hangup", "close", "delete", "ping"];
    let given = member("action").and_then(Value::as_str);
    let Some(verb) = verbs.into_iter().find(|verb| Some(*verb) == given) else { return Meaning::Mistake(ErrorCode::BadAction) };
    let receipt = match member("receipt") {
        None | Some(Value::Nil) => None,
        Some(Value::String(text)) => Some(json!(text.as_str()).to_string()),
        Some(Value::Integer(number)) => Some(number.to_string()),
        Some(Value::F32(number)) if number.is_finite() => Some(json!(f64::from(*number)).to_string()),
        Some(Value::F64(number)) if number.is_finite() => Some(json!(number).to_string()),
        Some(_) => return Meaning::Mistake(ErrorCode::BadAction),
    };
    if member("receipt").is_some_and(|value| bytes_of(value).len() > 256) {
        return Meaning::Mistake(ErrorCode::Limit);
    }
    let bare = |verb| Meaning::Action { verb, stream: None, message: None, header: None, receipt: receipt.clone() };
    let name = match member("stream") {
        _ if verb == "ping" => return bare("ping"),
        None | Some(Value::Nil) if verb == "hangup" => return bare("hangup"),
        None if verb == "close" => return bare("close"),
        None => return Meaning::Mistake(ErrorCode::MissingStream),
        Some(value) => match value.as_str().filter(|name| !name.is_empty() && name.len() <= LIMITS.name) {
            Some(name) => name,
            None => return Meaning::Mistake(ErrorCode::BadStream),
        },
    };
    if name.starts_with('$') && ["put", "header", "close", "delete"].contains(&verb) {
        return Meaning::Mistake(ErrorCode::Denied);
    }
    let message = member("message").filter(|_| !["listen", "hangup"].contains(&verb)).map(bytes_of);
    if message.is_none() && ["put", "header"].contains(&verb) {
        return Meaning::Mistake(ErrorCode::MissingMessage);
    }
    let header = member("header").filter(|_| verb == "put").map(bytes_of);
    Meaning::Action { verb, stream: Some(name.to_owned()), message, header, receipt }
}

/// What the decoder makes of a unit. Content is put in the oracle's spelling.
fn decoded(codec: &mut MessagePack, unit: &[u8]) -> Meaning {
    match codec.decode(unit, &LIMITS) {
        Ok(None) => Meaning::Blank,
        Ok(Some(action)) => meant(action, unit),
        Err(mistake) => {
            assert!(!mistake.reason.is_empty() && mistake.reason.len() < 600, "{:?}", mistake.reason);
            Meaning::Mistake(mistake.code)
        }
    }
}

fn meant(action: Action<'_>, unit: &[u8]) -> Meaning {
    let content = |message: Option<Payload<'_>>| message.map(|message| bytes_of(&read(message.content).unwrap()));
    let flat = |verb, stream: Option<StreamName>, message, header, receipt: Option<ReceiptId>| Meaning::Action {
        verb,
        stream: stream.map(|stream| stream.as_str().to_owned()),
        message: content(message),
        header: content(header),
        receipt: receipt.map(|receipt| receipt.0.into_string()),
    };
    match action {
        Action::Put { stream, message, header, receipt } => {
            let mut output = Vec::new();
            ENCODER.encode(&Event::Put { stream: stream.as_name(), message: message.content }, &mut output);
            assert_eq!(message.verbatim, output == unit, "{unit:x?}");
            flat("put", Some(stream.into_name()), Some(message), header, receipt)
        }
        Action::Header { stream, message, receipt } => flat("header", Some(stream.into_name()), Some(message), None, receipt),
        Action::Listen { stream, receipt } => flat("listen", Some(stream.into_name()), None, None, receipt),
        Action::Hangup { stream, receipt } => flat("hangup", stream.map(|stream| stream.into_name()), None, None, receipt),
        Action::Close { stream, message, receipt } => flat("close", Some(stream.into_name()), message, None, receipt),
        Action::CloseConnection { receipt } => flat("close", None, None, None, receipt),
        Action::Delete { stream, message, receipt } => flat("delete", Some(stream.into_name()), message, None, receipt),
        Action::Ping { receipt } => flat("ping", None, None, None, receipt),
    }
}
