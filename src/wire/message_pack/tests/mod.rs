//! Units and what they mean, one a row.

mod content;

use std::time::Duration;

use serde_json::{Value, json};

use super::super::action::{Action, ReceiptId};
use super::super::codec::{Codec, DecodeLimits, Encode, UnitEnd};
use super::super::error::ErrorCode;
use super::super::event::{Effect, Event, StreamState};
use super::super::position::{Epoch, Position};
use super::super::tests::action_words;
use super::{ENCODER, MessagePack, to_json};
use crate::wire::ids::StreamName;

const LIMITS: DecodeLimits = DecodeLimits { line: 1 << 20, name: 12 };

/// A body behind its length.
fn framed(body: &[u8]) -> Vec<u8> {
    [&u32::try_from(body.len()).unwrap().to_be_bytes(), body].concat()
}

fn unit(value: &Value) -> Vec<u8> {
    framed(&rmp_serde::to_vec_named(value).unwrap())
}

/// A put as a listener would get it.
fn put(name: &str, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    ENCODER.encode(&Event::Put { stream: &StreamName::new(name).unwrap(), message: content }, &mut out);
    out
}

/// An action in words, with its content as JSON text.
fn words(action: Action<'_>) -> String {
    action_words(action, |content| {
        let mut text = Vec::new();
        to_json::write(content, &mut text);
        String::from_utf8(text).unwrap()
    })
}

#[test]
fn units_become_actions() {
    let table = [
        // Written in the order of the alphabet: message before stream, so not as a listener would get it.
        (json!({"action":"put","stream":"s","message":{"a":[1.5,null]}}), r#"put s {"a":[1.5,null]}"#),
        (json!({"action":"put","stream":"s","message":null}), "put s null"),
        (json!({"action":"put","stream":"s","message":1,"x":2,"y":{"z":[]}}), "put s 1"),
        (json!({"action":"put","stream":"s","message":1,"header":null}), "put s 1 header null"),
        (json!({"action":"put","stream":"s","message":1,"receipt":"a\"b\u{1}"}), "put s 1 receipt \"a\\\"b\\u0001\""),
        (json!({"action":"put","stream":"s","message":1,"receipt":null}), "put s 1"),
        (json!({"action":"header","stream":"s","message":[],"receipt":-1.5}), "header s [] receipt -1.5"),
        (json!({"action":"header","stream":"s","message":1,"header":2}), "header s 1"),
        (json!({"action":"listen","stream":"$sys","receipt":18446744073709551615_u64}), "listen $sys receipt 18446744073709551615"),
        (json!({"action":"hangup","stream":"$sys"}), "hangup $sys"),
        (json!({"action":"hangup","stream":null,"receipt":-1}), "hangup all receipt -1"),
        (json!({"action":"hangup"}), "hangup all"),
        (json!({"action":"close","stream":"s"}), "close s -"),
        (json!({"action":"close","stream":"s","message":null}), "close s null"),
        (json!({"action":"close","message":1,"receipt":1}), "close connection receipt 1"),
        (json!({"action":"delete","stream":"s","message":"m"}), r#"delete s "m""#),
        (json!({"action":"ping","stream":null,"receipt":2}), "ping receipt 2"),
        (json!({"action":"listen","stream":"123456789012"}), "listen 123456789012"),
    ];
    let mut codec = MessagePack::default();
    // The second round meets the names that the first has left in the cache.
    for (value, expected) in table.iter().chain(&table) {
        assert_eq!(words(codec.decode(&unit(value), &LIMITS).unwrap().unwrap()), *expected, "{value}");
    }
}

#[test]
fn a_unit_in_output_form_is_passed_on_as_it_stands() {
    let mut codec = MessagePack::default();
    for name in ["s", "é", "123456789012"] {
        for _ in 0..2 {
            // 300 as an integer of 64 bits: longer than it need be, which is left as it is.
            let given = put(name, b"\xcf\0\0\0\0\0\0\x01\x2c");
            assert_eq!(words(codec.decode(&given, &LIMITS).unwrap().unwrap()), format!("put {name} 300 as it stands"));
        }
    }
    // The same with a longer head of the name, with a fourth key, and with a longer head of the map.
    for body in [
        &b"\x83\xa6action\xa3put\xa6stream\xd9\x01s\xa7message\x01"[..],
        b"\x84\xa6action\xa3put\xa6stream\xa1s\xa7message\x01\xa1x\x02",
        b"\xde\0\x03\xa6action\xa3put\xa6stream\xa1s\xa7message\x01",
    ] {
        assert_eq!(words(codec.decode(&framed(body), &LIMITS).unwrap().unwrap()), "put s 1", "{body:x?}");
    }
}

#[test]
fn the_length_says_where_a_unit_ends() {
    let codec = MessagePack::default();
    for (bytes, expected) in [
        (&b""[..], UnitEnd::Partial),
        (b"\0\0\0", UnitEnd::Partial),
        (b"\0\0\0\0", UnitEnd::Complete(4)),
        (b"\0\0\0\x02", UnitEnd::Announced(6)),
        (b"\0\0\0\x02a", UnitEnd::Announced(6)),
        (b"\0\0\0\x02abc", UnitEnd::Complete(6)),
        (b"\xff\xff\xff\xff{}", UnitEnd::Announced(4 + u32::MAX as usize)),
    ] {
        assert_eq!(codec.unit(bytes, 0), expected, "{bytes:x?}");
    }
    let mut codec = MessagePack::default();
    assert_eq!(codec.decode(b"\0\0\0\0", &LIMITS), Ok(None));
    // What is left of a connection that ended within a unit.
    let whole = unit(&json!({"action":"ping"}));
    for length in 0..whole.len() {
        assert_eq!(codec.decode(&whole[..length], &LIMITS).unwrap_err().code, ErrorCode::BadJson, "{length}");
    }
}

#[test]
fn mistakes_are_explained() {
    use ErrorCode::{BadAction, BadJson, BadStream, Denied, Limit, MissingMessage, MissingStream};
    let body = |bytes: &[u8]| framed(bytes);
    let table: [(Vec<u8>, ErrorCode, &str); 32] = [
        (body(b"\x01"), BadJson, "one map, with the key \"action\", not a number"),
        (unit(&json!([1])), BadJson, "not an array"),
        (unit(&json!("ping")), BadJson, "not a string"),
        (body(b"\xc4\x01a"), BadJson, "not binary data"),
        (body(b"\xc1"), BadJson, "offset 0: the byte 0xc1"),
        (body(b"\x81\xa6action"), BadJson, "offset 8: a value goes on beyond the end"),
        (body(b"\x81\xa6action\xa4pin"), BadJson, "offset 8: a value goes on"),
        (body(b"\x81\xa1m\xdd\xff\xff\xff\xff"), BadJson, "offset 3: a value goes on"),
        (body(b"\x81\xa1m\xdf\xff\xff\xff\xff"), BadJson, "offset 3: a value goes on"),
        (body(b"\x81\xa1m\x92\x01\xc1"), BadJson, "offset 5: the byte 0xc1"),
        (body(b"\x81\xa1m\xa3a\xff\xff"), BadJson, "offset 5: a string that is not UTF-8"),
        (body(b"\x81\xa1m\xa3\xed\xa0\x80"), BadJson, "not UTF-8"),
        (body(b"\x81\xa1\xffm"), BadJson, "not UTF-8"),
        (body(b"\x81\x01\x02"), BadJson, "offset 1: a key that is a number: the keys of a message are strings"),
        (body(b"\x81\xa1m\x81\xc0\x01"), BadJson, "offset 4: a key of a map"),
        (body(b"\x81\xa1m\x92\x01\x82\x01\x02\xcb\0\0\0\0\0\0\0\0\x01"), BadJson, "offset 8: a key of a map"),
        (body(b"\x80\x80"), BadJson, "offset 1: more bytes after the map"),
        (body(b"\x82\xa1m\x01\xa1m\x02"), BadJson, "offset 4: the key \"m\" is given twice"),
        (body(b"\x82\xa6action\xa4ping\xd9\x06action\xa4ping"), BadJson, "the key \"action\" is given twice"),
        (unit(&json!({})), BadAction, "the key \"action\" is missing"),
        (
            unit(&json!({"action":1})),
            BadAction,
            "must be a string, one of header, put, listen, hangup, close, delete, will, session, auth, ping, not a number",
        ),
        (unit(&json!({"action":"publish"})), BadAction, "did you mean \"put\"?"),
        (
            unit(&json!({"action":"ping","receipt":[]})),
            BadAction,
            "\"receipt\" must be a string or a number (or null for none), not an array",
        ),
        (body(b"\x82\xa6action\xa4ping\xa7receipt\xca\x7f\x80\0\0"), BadAction, "not NaN or Infinity"),
        (unit(&json!({"action":"ping","receipt":"r".repeat(255)})), Limit, "257 bytes: the most is 256"),
        (unit(&json!({"action":"put","message":1})), MissingStream, "\"put\" needs a stream"),
        (unit(&json!({"action":"close","stream":null})), BadStream, "not null"),
        (unit(&json!({"action":"put","stream":7})), BadStream, "not a number"),
        (unit(&json!({"action":"put","stream":""})), BadStream, "at least one character"),
        (
            unit(&json!({"action":"listen","stream":"1234567890123"})),
            BadStream,
            "longer than 12 bytes of UTF-8 (the broker's setting limits.name)",
        ),
        (unit(&json!({"action":"put","stream":"s"})), MissingMessage, "\"put\" needs a message"),
        (unit(&json!({"action":"put","stream":"$sys"})), Denied, "names that begin with $"),
    ];
    let mut codec = MessagePack::default();
    for (unit, code, phrase) in table {
        let mistake = codec.decode(&unit, &LIMITS).unwrap_err();
        assert_eq!(mistake.code, code, "{unit:x?}: {}", mistake.reason);
        assert!(mistake.reason.contains(phrase), "{unit:x?}: {:?} lacks {phrase:?}", mistake.reason);
    }
}

#[test]
fn a_mistake_carries_what_could_be_read() {
    let broken = |end: &[u8]| framed(&[&b"\x83\xa6stream\xa1s\xa7receipt\x07"[..], end].concat());
    for (unit, stream, receipt) in [
        (unit(&json!({"action":"pit","stream":"s","receipt":"r"})), Some("s"), Some("\"r\"")),
        (unit(&json!({"action":"ping","stream":"s","receipt":{}})), Some("s"), None),
        (unit(&json!({"action":"put","stream":"","receipt":7})), None, Some("7")),
        (broken(b"\xa7message\xc1"), Some("s"), Some("7")),
        (broken(b"\xa6stream\xa1t"), None, Some("7")),
    ] {
        let mistake = MessagePack::default().decode(&unit, &LIMITS).unwrap_err();
        assert_eq!((mistake.stream.as_deref(), mistake.receipt.as_ref().map(ReceiptId::text)), (stream, receipt), "{unit:x?}");
    }
}

#[test]
fn events_are_maps_in_the_order_of_the_json_lines() {
    let stream = &StreamName::new("s").unwrap();
    let receipt = &ReceiptId::new(r#""a\u0062""#);
    let table = [
        (Event::Put { stream, message: b"\x01" }, json!({"action":"put","stream":"s","message":1})),
        (Event::Close { stream, message: None }, json!({"action":"close","stream":"s"})),
        (Event::Close { stream, message: Some(b"\xc0") }, json!({"action":"close","stream":"s","message":null})),
        (Event::CloseConnection { why: None }, json!({"action":"close"})),
        (
            Event::CloseConnection { why: Some((ErrorCode::Shutdown, "x")) },
            json!({"action":"close","message":{"code":"shutdown","reason":"x"}}),
        ),
        (Event::Receipt { receipt, effect: Effect::default() }, json!({"action":"receipt","receipt":"ab"})),
        (
            Event::Receipt { receipt, effect: Effect { listeners: Some(300), ..Effect::default() } },
            json!({"action":"receipt","receipt":"ab","listeners":300}),
        ),
        (
            Event::Receipt {
                receipt,
                effect: Effect {
                    listeners: None,
                    streams: Some(70_000),
                    state: Some(StreamState::Ended),
                    header: Some(true),
                    age: Some(Duration::from_micros(1_500_999)),
                    resumed: Some(false),
                    missed: Some(3),
                    position: Some(Position { epoch: Epoch::new(0xab), sequence: 300 }),
                },
            },
            json!({"action":"receipt","receipt":"ab","streams":70_000,"state":"ended","header":true,"age":1.5,"resumed":false,"missed":3,
                "position":{"epoch":"00000000000000ab","sequence":300}}),
        ),
        (
            Event::Joined { stream, effect: Effect { state: Some(StreamState::Waiting), resumed: Some(true), ..Effect::default() } },
            json!({"action":"joined","stream":"s","state":"waiting","resumed":true}),
        ),
        (Event::Pong { receipt: None }, json!({"action":"pong"})),
        (Event::Pong { receipt: Some(receipt) }, json!({"action":"pong","receipt":"ab"})),
        (
            Event::Error { code: ErrorCode::Denied, reason: "x", stream: Some("s"), receipt: Some(receipt) },
            json!({"action":"error","message":{"code":"denied","reason":"x"},"stream":"s","receipt":"ab"}),
        ),
    ];
    let order =
        ["action", "receipt", "stream", "message", "listeners", "streams", "state", "header", "age", "resumed", "missed", "position"];
    for (event, expected) in table {
        let mut out = Vec::new();
        ENCODER.encode(&event, &mut out);
        let (prefix, body) = out.split_at(4);
        assert_eq!(prefix, u32::try_from(body.len()).unwrap().to_be_bytes());
        assert_eq!(rmp_serde::from_slice::<Value>(body).unwrap(), expected);
        let rmpv::Value::Map(pairs) = rmpv::decode::read_value(&mut &*body).unwrap() else { panic!("{event:?}") };
        let keys: Vec<_> = pairs.iter().map(|(key, _)| key.as_str().unwrap().to_owned()).collect();
        if !matches!(event, Event::Error { .. }) {
            assert!(keys.is_sorted_by_key(|key| order.iter().position(|known| known == key)), "{keys:?}");
        }
    }
}
