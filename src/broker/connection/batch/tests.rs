use std::sync::Arc;

use super::Batch;
use super::ReaderLimits;
use crate::broker::actor::Intake;
use crate::broker::core::Input;
use crate::wire::json_lines::{ENCODER, JsonLines};
use crate::wire::{Codec, DecodeLimits};

fn reader_limits() -> ReaderLimits {
    let decode = DecodeLimits { line: 2000, name: 1000 };
    ReaderLimits { decode, header: 100, run: 1 << 20, errors_in_a_row: 10, intake: Arc::new(Intake::new(1 << 20)), saves: Arc::default() }
}

// Seen to fail: names of a kilobyte and receipts counted for nothing.
#[test]
fn what_actions_hold_counts_with_them() {
    let (name, receipt) = ("n".repeat(1000), "r".repeat(200));
    let (mut codec, limits) = (JsonLines::default(), DecodeLimits { line: 2000, name: 1000 });
    for action in ["listen", "hangup", "delete"] {
        let lines: Vec<_> = (0..100)
            .map(|number| format!(r#"{{"action":"{action}","stream":"{number:03}{}","receipt":"{receipt}"}}"#, &name[3..]))
            .collect();
        let mut built = Vec::new();
        let mut batch = Batch::new(&[], &mut built, &ENCODER, &reader_limits());
        for line in &lines {
            let action = codec.decode(line.as_bytes(), &limits).unwrap().unwrap();
            assert_eq!(batch.action(action, 0..0), Ok(false));
        }
        let held = 100 * (1000 + 200);
        assert!((held..2 * held + 100_000).contains(&batch.memory()), "{action}: {} of {held}", batch.memory());
    }
}

#[test]
fn what_the_listener_of_a_prefix_says_counts_too() {
    let position = r#"{"epoch":"e","sequence":1}"#;
    let after: Vec<_> = (0..1000).map(|number| format!(r#""{number:0100}":{position}"#)).collect();
    let line = format!(r#"{{"action":"listen","prefix":"{}","after":{{{}}}}}"#, "p".repeat(900), after.join(","));
    let (mut codec, limits) = (JsonLines::default(), DecodeLimits { line: 1 << 20, name: 1000 });
    let mut built = Vec::new();
    let mut batch = Batch::new(&[], &mut built, &ENCODER, &reader_limits());
    let action = codec.decode(line.as_bytes(), &limits).unwrap().unwrap();
    assert_eq!(batch.action(action, 0..0), Ok(false));
    let held = 900 + 1000 * (100 + 40);
    assert!((held..2 * held).contains(&batch.memory()), "{} of {held}", batch.memory());
}

#[test]
fn a_run_ends_where_another_stream_begins_however_its_line_is_written() {
    // The second line is in no usual form: the codec still keeps the name of the first.
    let lines = [
        "{\"action\":\"put\",\"stream\":\"a\",\"message\":1}\n",
        "{\"message\":2,\"stream\":\"b\",\"action\":\"put\"}\n",
        "{\"action\":\"put\",\"stream\":\"a\",\"message\":3}\n",
        "{\"action\":\"put\",\"stream\":\"a\",\"message\":4}\n",
    ];
    let block = lines.concat();
    let (mut codec, limits) = (JsonLines::default(), DecodeLimits { line: 100, name: 10 });
    let mut built = Vec::new();
    let mut batch = Batch::new(block.as_bytes(), &mut built, &ENCODER, &reader_limits());
    let mut at = 0;
    for line in lines {
        let action = codec.decode(line.as_bytes(), &limits).unwrap().unwrap();
        assert_eq!(batch.action(action, at..at + line.len()), Ok(false));
        at += line.len();
    }
    let (inputs, whole) = batch.finish();
    assert!(whole.is_none());
    let runs: Vec<_> = inputs
        .iter()
        .map(|input| match input {
            Input::Put { stream, run, .. } => (stream.as_str(), run.messages()),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(runs, [("a", 1), ("b", 1), ("a", 2)]);
}
