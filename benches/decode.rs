//! What it costs to decode one line, beside `serde_json` skipping the same content: `cargo bench --bench decode`.

mod inputs;

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use msgstream::protocol::json_lines::JsonLines;
use msgstream::protocol::{Codec, DecodeLimits};
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use inputs::{PROGRESS, any_order_line, floats, put_line, python_line};

const LIMITS: DecodeLimits = DecodeLimits { line: 1 << 24, name: 1 << 10 };

fn main() {
    divan::main();
}

const CONTENTS: [&str; 8] = ["progress", "curve 16k", "floats 1M", "short floats 16k", "text 16k", "lines 16k", "unicode 16k", "deep 10k"];

fn content(kind: &str) -> String {
    match kind {
        "progress" => PROGRESS.to_owned(),
        "curve 16k" => floats(16 << 10, 0),
        "floats 1M" => floats(1 << 20, 0),
        "short floats 16k" => floats(16 << 10, 4),
        "text 16k" => format!("\"{}\"", "all is well that ends well, ".repeat(600)),
        "lines 16k" => format!("\"{}\"", r"a line of a log of some length\n".repeat(500)),
        "unicode 16k" => format!("\"{}\"", "gemütlich 日本語 ".repeat(700)),
        _ => format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000)),
    }
}

/// A whole line, through the decoder.
#[divan::bench(args = CONTENTS)]
fn line(bencher: Bencher<'_, '_>, kind: &str) {
    put(bencher, put_line(&content(kind)));
}

/// A whole line in Python's spelling.
#[divan::bench(args = ["progress"])]
fn python(bencher: Bencher<'_, '_>, kind: &str) {
    put(bencher, python_line(&content(kind)));
}

/// A line that the general decoder has to take.
#[divan::bench(args = ["progress"])]
fn any_order(bencher: Bencher<'_, '_>, kind: &str) {
    put(bencher, any_order_line(&content(kind)));
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
    let mut codec = JsonLines::default();
    assert!(codec.decode(line.as_bytes(), &LIMITS).is_ok_and(|action| action.is_some()));
    bencher.counter(BytesCount::of_str(&line)).bench_local(|| {
        black_box(codec.decode(black_box(line.as_bytes()), &LIMITS).is_ok());
    });
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
    let line = put_line(&content(kind));
    bencher.counter(BytesCount::of_str(&line)).bench_local(|| serde_json::from_slice::<Line<'_>>(black_box(line.as_bytes())).is_ok());
}
