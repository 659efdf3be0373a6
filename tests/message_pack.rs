//! MessagePack against the oracle and against `rmp-serde`: units and contents made at random, and all that the fuzzer has
//! found worth keeping.

#![allow(clippy::unwrap_used, reason = "a failed unwrap in a test is a failed test")]

#[path = "oracle/message_pack.rs"]
mod oracle;

mod inputs;

use inputs::{change, changed};
use proptest::collection::vec;
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_oneof, proptest};
use proptest::sample::select;
use rmpv::Value;

/// Any value of MessagePack, now and then one that cannot be passed on.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Nil),
        any::<bool>().prop_map(Value::Boolean),
        any::<i64>().prop_map(Value::from),
        any::<i8>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f32>().prop_map(Value::F32),
        any::<f64>().prop_map(Value::F64),
        select(vec![f64::NAN, f64::INFINITY, -0.0, 1e300]).prop_map(Value::F64),
        "[ -~é日𝄞\u{1}]{0,40}".prop_map(Value::from),
        vec(any::<u8>(), 0..20).prop_map(Value::Binary),
        (any::<i8>(), vec(any::<u8>(), 0..20)).prop_map(|(kind, data)| Value::Ext(kind, data)),
        select(vec!["1e400", "\"\\ud800\"", "[1\n,2]", " 1", "no", "{\"a\":{}}"]).prop_map(|text| Value::Ext(74, text.into())),
    ];
    let key = prop_oneof![
        6 => "[a-d]{0,2}".prop_map(Value::from),
        3 => any::<i64>().prop_map(Value::from),
        1 => select(vec![Value::Nil, Value::F64(1.0), Value::Array(vec![]), Value::Binary(vec![1])]),
    ];
    leaf.prop_recursive(4, 40, 20, move |inner| {
        prop_oneof![vec(inner.clone(), 0..20).prop_map(Value::Array), vec((key.clone(), inner), 0..20).prop_map(Value::Map)]
    })
}

fn member() -> impl Strategy<Value = (Value, Value)> {
    let names = ["s", "job-1", "$sys", "", "é", "123456789012345678901234", "1234567890123456789012345"].map(Value::from);
    let actions = ["put", "put", "put", "header", "listen", "hangup", "close", "delete", "ping", "auth", "pit", ""].map(Value::from);
    let position = |sequence: Value| Value::Map(vec![("sequence".into(), sequence), ("epoch".into(), "00000000000000ab".into())]);
    let terms = [
        ("after", position(7.into())),
        ("after", position((-1).into())),
        ("after", position(7.5.into())),
        ("after", Value::Map(vec![("s".into(), position(7.into())), ("a".into(), position(8.into()))])),
        ("prefix", "s".into()),
        ("prefix", "".into()),
        ("prefix", Value::Nil),
        ("prefix", "1234567890123456789012345".into()),
        ("last", 5.into()),
        ("token", "mst_a".into()),
        ("token", "two words".into()),
        ("mode", "latest".into()),
        ("mode", "newest".into()),
        ("last", 5.0.into()),
        ("of", "00000000000000ab".into()),
        ("if", "absent".into()),
        ("if", "present".into()),
    ];
    prop_oneof![
        2 => select(terms.to_vec()).prop_map(|(key, value)| (key.into(), value)),
        1 => (select(vec!["after", "last", "of", "if", "mode", "prefix"]), value()).prop_map(|(key, value)| (key.into(), value)),
        4 => select(actions.to_vec()).prop_map(|action| ("action".into(), action)),
        4 => select(names.to_vec()).prop_map(|name| ("stream".into(), name)),
        4 => value().prop_map(|message| ("message".into(), message)),
        1 => value().prop_map(|header| ("header".into(), header)),
        2 => value().prop_map(|receipt| ("receipt".into(), receipt)),
        1 => (select(vec!["x", "y", "stream", "é", "Action"]), value()).prop_map(|(key, value)| (key.into(), value)),
        1 => value().prop_map(|stream| ("stream".into(), stream)),
    ]
}

fn bytes_of(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    rmpv::encode::write_value(&mut out, value).unwrap();
    out
}

fn framed(body: &[u8]) -> Vec<u8> {
    [&u32::try_from(body.len()).unwrap().to_be_bytes(), body].concat()
}

/// The members of a unit, in any number and order.
fn unusual() -> impl Strategy<Value = Vec<u8>> {
    vec(member(), 0..7).prop_map(|members| bytes_of(&Value::Map(members)))
}

/// A put as a client's library would write it.
fn usual() -> impl Strategy<Value = Vec<u8>> {
    (select(vec!["s", "job-1", "é"]), value(), any::<bool>()).prop_map(|(name, message, more)| {
        let mut members = vec![("action".into(), "put".into()), ("stream".into(), name.into()), ("message".into(), message)];
        if more {
            members.push(("x".into(), 1.into()));
        }
        bytes_of(&Value::Map(members))
    })
}

/// Values that both encodings have.
fn common() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<i16>().prop_map(Into::into),
        any::<u64>().prop_map(Into::into),
        any::<f64>().prop_filter("JSON has no other", |number| number.is_finite()).prop_map(Into::into),
        any::<String>().prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 60, 20, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..20).prop_map(Into::into),
            vec((any::<String>(), inner), 0..20).prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn units_mean_what_the_oracle_says(bodies in vec(prop_oneof![usual(), unusual()], 1..4)) {
        oracle::compare(&bodies.iter().flat_map(|body| framed(body)).collect::<Vec<_>>());
    }

    #[test]
    fn changed_units_mean_what_the_oracle_says(body in prop_oneof![usual(), unusual()], changes in vec(change(any::<u8>()), 1..4)) {
        oracle::compare(&framed(&changed(body, &changes)));
    }

    #[test]
    fn random_bytes_mean_what_the_oracle_says(body in vec(any::<u8>(), 0..40)) {
        oracle::compare(&framed(&body));
        oracle::compare(&framed(&[&b"\x83\xa6action\xa3put\xa6stream\xa1s\xa7message"[..], &body].concat()));
        oracle::compare(&body);
    }

    #[test]
    fn json_becomes_what_rmp_serde_writes(value in common()) {
        let packed = rmp_serde::to_vec_named(&value).unwrap();
        assert_eq!(oracle::from_json(&value.to_string()), packed);
        assert_eq!(oracle::from_json(&serde_json::to_string_pretty(&value).unwrap()), packed);
        assert_eq!(oracle::to_json(&packed), value.to_string());
        assert_eq!(rmp_serde::from_slice::<serde_json::Value>(&packed).unwrap(), value);
    }
}

#[test]
fn what_the_fuzzer_found_stays_right() {
    inputs::for_each_of_corpus("message_pack", oracle::compare);
}
