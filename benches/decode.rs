//! What it costs to decode one line, or one message in MessagePack, beside `serde_json` and `rmp-serde` skipping the same content:
//! `cargo bench --bench decode`.

#![allow(clippy::expect_used, reason = "a benchmark with no input has nothing to measure")]

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use msgstream::internal::wire::ids::StreamName;
use msgstream::internal::wire::json_lines::JsonLines;
use msgstream::internal::wire::message_pack::{ENCODER, MessagePack};
use msgstream::internal::wire::{Codec, DecodeLimits, Encode, Event};
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

const LIMITS: DecodeLimits = DecodeLimits { line: 1 << 24, name: 1 << 10 };

fn main() {
    divan::main();
}

const CONTENTS: [&str; 16] = [
    "progress",
    "progress 300",
    "curve 16k",
    "floats 1M",
    "short floats 16k",
    "spaced floats 16k",
    "tiny floats 16k",
    "integers 16k",
    "points 16k",
    "spaced points 16k",
    "floats and nulls 16k",
    "objects 16k",
    "text 16k",
    "lines 16k",
    "unicode 16k",
    "deep 10k",
];

/// An array of numbers from a generator, as long as asked for.
fn array(bytes: usize, separator: &str, mut number: impl FnMut(&mut dyn FnMut() -> u64) -> String) -> String {
    let mut seed = 1_u64;
    let mut random = move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        seed >> 11
    };
    let mut text = String::from("[");
    while text.len() < bytes {
        text.push_str(&number(&mut random));
        text.push_str(separator);
    }
    text.truncate(text.len() - separator.len());
    text + "]"
}

/// A float of a curve with 15 to 18 digits, as Python prints it: that their lengths differ is what costs time.
fn float(random: &mut dyn FnMut() -> u64) -> f64 {
    random() as f64 / (1_u64 << 50) as f64 - 3.0
}

fn content(kind: &str) -> String {
    match kind {
        "progress" => {
            r#"{"step":123,"chisq":1.2345,"params":[1.5,0.25,-3.75,100.125],"text":"fit is converging","eta":12.5,"ok":true}"#.to_owned()
        }
        "progress 300" => {
            let params = array(60, ",", |random| format!("{:.3}", float(random)));
            format!(
                r#"{{"step":123,"chisq":1.2345,"params":{params},"errors":{params},"text":"fit is converging","eta":12.5,"more":"{}"}}"#,
                "a word ".repeat(12)
            )
        }
        "curve 16k" => array(16 << 10, ",", |random| format!("{}", float(random))),
        "floats 1M" => array(1 << 20, ",", |random| format!("{}", float(random))),
        "short floats 16k" => array(16 << 10, ",", |random| format!("{:.4}", float(random))),
        "spaced floats 16k" => array(16 << 10, ", ", |random| format!("{}", float(random))),
        "tiny floats 16k" => array(16 << 10, ",", |random| format!("{:e}", float(random) / 1e7)),
        "integers 16k" => array(16 << 10, ",", |random| format!("{}", random() >> (random() % 53))),
        "points 16k" => array(16 << 10, ",", |random| format!("[{},{}]", float(random), float(random))),
        "spaced points 16k" => array(16 << 10, ", ", |random| format!("[{}, {}]", float(random), float(random))),
        "floats and nulls 16k" => array(16 << 10, ",", |random| match random() % 8 {
            0 => "null".to_owned(),
            _ => format!("{}", float(random)),
        }),
        "objects 16k" => array(16 << 10, ",", |random| {
            format!(r#"{{"step":{},"at":[{:.3},{:.3},{:.3}]}}"#, random() % 1000, float(random), float(random), float(random))
        }),
        "text 16k" => format!("\"{}\"", "all is well that ends well, ".repeat(600)),
        "lines 16k" => format!("\"{}\"", r"a line of a log of some length\n".repeat(500)),
        "unicode 16k" => format!("\"{}\"", "gemütlich 日本語 ".repeat(700)),
        _ => format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000)),
    }
}

/// A whole line, through the decoder.
#[divan::bench(args = CONTENTS)]
fn line(bencher: Bencher<'_, '_>, kind: &str) {
    put(bencher, format!("{{\"action\":\"put\",\"stream\":\"job-1\",\"message\":{}}}\n", content(kind)));
}

/// A whole line in Python's spelling.
#[divan::bench(args = ["progress"])]
fn python(bencher: Bencher<'_, '_>, kind: &str) {
    put(bencher, format!("{{\"action\": \"put\", \"stream\": \"job-1\", \"message\": {}}}\n", content(kind)));
}

/// A line that the general decoder has to take.
#[divan::bench(args = ["progress"])]
fn any_order(bencher: Bencher<'_, '_>, kind: &str) {
    put(bencher, format!("{{\"message\":{},\"stream\":\"job-1\",\"action\":\"put\"}}\n", content(kind)));
}

/// A line with a header and a receipt.
#[divan::bench(args = ["progress"])]
fn extras(bencher: Bencher<'_, '_>, kind: &str) {
    put(
        bencher,
        format!("{{\"action\":\"put\",\"stream\":\"job-1\",\"message\":{},\"header\":{{\"done\":7}},\"receipt\":7}}\n", content(kind)),
    );
}

fn put(bencher: Bencher<'_, '_>, line: String) {
    decode(bencher, JsonLines::default(), line.as_bytes());
}

fn decode(bencher: Bencher<'_, '_>, mut codec: impl Codec, unit: &[u8]) {
    assert!(codec.decode(unit, &LIMITS).is_ok_and(|action| action.is_some()));
    bencher.counter(BytesCount::new(unit.len())).bench_local(|| {
        black_box(codec.decode(black_box(unit), &LIMITS).is_ok());
    });
}

/// What MessagePack has, too: what is nested more deeply than 512 levels becomes an extension, which costs nothing to skip.
fn packable() -> impl Iterator<Item = &'static str> {
    CONTENTS.into_iter().filter(|kind| *kind != "deep 10k")
}

/// A whole message in MessagePack, with the same content. Its bytes are fewer: what is to be compared is the time.
#[divan::bench(args = packable())]
fn message_pack(bencher: Bencher<'_, '_>, kind: &str) {
    decode(bencher, MessagePack::default(), &packed(content(kind).as_bytes()));
}

/// A put in MessagePack, with its length before it.
fn packed(json: &[u8]) -> Vec<u8> {
    let (stream, mut unit) = (StreamName::new("job-1").expect("a name"), Vec::new());
    ENCODER.encode_json(&Event::Put { stream: &stream, message: json }, &mut unit);
    unit
}

/// `rmp-serde` skips a whole message in MessagePack.
#[divan::bench(args = packable())]
fn rmp_ignored(bencher: Bencher<'_, '_>, kind: &str) {
    let unit = packed(content(kind).as_bytes());
    let body = &unit[4..];
    bencher.counter(BytesCount::new(body.len())).bench_local(|| rmp_serde::from_slice::<IgnoredAny>(black_box(body)).is_ok());
}

/// `serde_json` skips the content alone, with no envelope around it.
#[divan::bench(args = CONTENTS)]
fn serde_ignored(bencher: Bencher<'_, '_>, kind: &str) {
    let content = content(kind);
    bencher
        .counter(BytesCount::of_str(&content))
        .bench_local(|| serde_json::from_slice::<IgnoredAny>(black_box(content.as_bytes())).is_ok());
}

/// `serde_json` takes the content as raw text.
#[divan::bench(args = CONTENTS)]
fn serde_raw(bencher: Bencher<'_, '_>, kind: &str) {
    let content = content(kind);
    bencher
        .counter(BytesCount::of_str(&content))
        .bench_local(|| serde_json::from_slice::<&RawValue>(black_box(content.as_bytes())).is_ok());
}

/// `serde_json` reads the whole line into a struct with raw content.
#[divan::bench(args = ["progress", "curve 16k"])]
fn serde_line(bencher: Bencher<'_, '_>, kind: &str) {
    #[derive(serde::Deserialize)]
    struct Line<'a> {
        #[serde(rename = "action")]
        _action: &'a str,
        #[serde(rename = "stream")]
        _stream: &'a str,
        #[serde(borrow, rename = "message")]
        _message: &'a RawValue,
    }
    let line = format!("{{\"action\":\"put\",\"stream\":\"job-1\",\"message\":{}}}\n", content(kind));
    bencher.counter(BytesCount::of_str(&line)).bench_local(|| serde_json::from_slice::<Line<'_>>(black_box(line.as_bytes())).is_ok());
}
