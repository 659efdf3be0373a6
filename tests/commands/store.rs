//! store check, dump and compact.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use msgstream::internal::broker::core::{Change, SavedEnd, SavedStream, SavedWill, SavedWindow, StreamChange};
use msgstream::internal::broker::store::Store;
use msgstream::internal::wire::ids::StreamName;
use msgstream::internal::wire::{Encode, Epoch, Event, Frame, Position, SessionName, json_lines, message_pack};

use crate::folder::Folder;
use crate::{assert_fails, program, text};

fn name(name: &str) -> StreamName {
    StreamName::new(name).unwrap()
}

fn unit(stream: &StreamName, encoder: &'static dyn Encode, message: &str) -> Vec<u8> {
    let mut out = Vec::new();
    encoder.encode_json(&Event::Put { stream, message: message.as_bytes() }, &mut out);
    out
}

fn end(stream: &StreamName, message: &str) -> Frame {
    let mut out = Vec::new();
    message_pack::ENCODER.encode_json(&Event::Close { stream, message: Some(message.as_bytes()) }, &mut out);
    Frame::lasting(out.into(), &message_pack::ENCODER)
}

/// A store with a stream of each kind, stopped in good order or not. None of its streams is older than 1970.
fn filled(path: &Path, stopped: bool) {
    let mut store = Store::open(path).unwrap();
    let mut work = store.begin().unwrap();
    let position = Position { epoch: Epoch::new(0xabc), sequence: 7 };
    let (fit, over, quiet) = (name("fit-1"), name("over"), name("quiet"));
    let header = Frame::lasting(unit(&fit, &json_lines::ENCODER, r#"{"k":1.10}"#).into(), &json_lines::ENCODER);
    let running = SavedStream { position, bytes: 70, since: 1000, header_at: 2, header: Some(header), is_old: false, ended: None };
    let will = Some(SavedWill { session: SessionName::new("a session of mine"), last: end(&fit, "\"lost\"") });
    work.changes(std::slice::from_ref(&Change { name: fit.clone(), stream: StreamChange::Stands(running.clone()), will })).unwrap();
    let ended = Some(SavedEnd { forget_at: Duration::from_secs(9), last: Some(end(&over, "[null,2]")) });
    let ended = SavedStream { header: None, ended, ..running.clone() };
    work.changes(std::slice::from_ref(&Change { name: over, stream: StreamChange::Stands(ended), will: None })).unwrap();
    let messages: Vec<u8> = ["1", "\"two\""].iter().flat_map(|one| unit(&quiet, &message_pack::ENCODER, one)).collect();
    let runs = vec![(Frame::new(messages.into(), 2, &message_pack::ENCODER), 3)];
    let waiting = SavedStream { header: None, ..running };
    work.windows(std::slice::from_ref(&SavedWindow { name: quiet, stream: Some(waiting), runs })).unwrap();
    work.session(&SessionName::new("a session of mine").unwrap(), 5).unwrap();
    if stopped {
        work.life(Epoch::new(3)).unwrap();
    }
    work.commit().unwrap();
}

fn store(arguments: &[&str], path: &Path) -> Output {
    program(&["store"]).args(arguments).arg(path).output().unwrap()
}

#[track_caller]
fn ok(arguments: &[&str], path: &Path) -> String {
    let output = store(arguments, path);
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), ""));
    text(&output.stdout).to_owned()
}

fn place(test: &str) -> (Folder, PathBuf) {
    let folder = Folder::new(&format!("store-{test}"));
    let path = folder.join("kept");
    (folder, path)
}

#[test]
fn check_counts_what_is_there_and_tells_how_the_broker_stopped() {
    let (folder, path) = place("check");
    filled(&path, true);
    let said = ok(&["check"], &path);
    let size = fs::metadata(&path).unwrap().len();
    for part in [
        "ok\n  streams    1 running, 1 ended, 1 waiting\n  wills      1\n  sessions   1\n  windows    1, with 2 messages\n",
        &format!("  size       {size} bytes\n  last stop  in good order\n"),
    ] {
        assert!(said.contains(part), "{part:?} is not in {said}");
    }
    filled(&folder.join("killed"), false);
    assert!(ok(&["check"], &folder.join("killed")).contains("last stop  not in good order"));
}

#[test]
fn dump_prints_streams_in_the_words_of_their_authors() {
    let (_folder, path) = place("dump");
    filled(&path, true);
    let said = ok(&["dump"], &path);
    let lines: Vec<serde_json::Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let began = lines[0]["header_time"].as_u64().unwrap() - 2;
    assert!(began > 1_700_000_000, "{began}");
    let position = r#""position":{"epoch":"0000000000000abc","sequence":7},"bytes":70"#;
    let expected = [
        format!(r#"{{"stream":"fit-1","state":"running",{position},"header_time":{},"header":{{"k":1.10}},"messages":0}}"#, began + 2),
        format!(r#"{{"stream":"over","state":"ended",{position},"last":[null,2],"messages":0}}"#),
        format!(r#"{{"stream":"quiet","state":"waiting",{position},"messages":2}}"#),
    ];
    assert_eq!(said.lines().collect::<Vec<_>>(), expected);
    let said = ok(&["dump", "--messages"], &path);
    let time = began + 3;
    let window = format!(r#""messages":2,"window":[{{"time":{time},"message":1}},{{"time":{time},"message":"two"}}]}}"#);
    assert!(said.lines().next().unwrap().ends_with(r#""messages":0,"window":[]}"#) && said.trim_end().ends_with(&window), "{said}");
    assert!(!said.contains("session"), "{said}");
}

#[test]
fn compact_makes_it_smaller() {
    let (_folder, path) = place("compact");
    filled(&path, true);
    let before = fs::metadata(&path).unwrap().len();
    let (dumped, said) = (ok(&["dump", "--messages"], &path), ok(&["compact"], &path));
    let after = fs::metadata(&path).unwrap().len();
    assert!(after <= before, "{before} to {after}");
    assert_eq!(said, format!("before  {before} bytes\nafter   {after} bytes\n"));
    assert_eq!(ok(&["dump", "--messages"], &path), dumped);
    assert!(ok(&["check"], &path).contains("in good order\n"), "it is as it was left");
}

#[test]
fn what_cannot_be_used_is_told_with_its_code() {
    let (folder, path) = place("wrong");
    for command in ["check", "dump", "compact"] {
        assert_fails(&store(&[command], &folder.join("none")), 74, "there is no store ");
        assert_fails(&store(&[command], &folder.join("none/store")), 74, "make it with mkdir");
        fs::write(folder.join("text"), "something else\n".repeat(1000)).unwrap();
        assert_fails(&store(&[command], &folder.join("text")), 1, "is no store of msgstream");
    }
    let held = Store::open(&path).unwrap();
    for command in ["check", "dump", "compact"] {
        assert_fails(&store(&[command], &path), 69, "another process uses the store");
    }
    drop(held);
    filled(&path, true);
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.windows(6).rposition(|part| part == b"\"k\":1.").unwrap();
    // In every copy that is there.
    while let Some(at) = bytes.windows(6).position(|part| part == b"\"k\":1.") {
        bytes[at] = b'!';
    }
    assert!(at > 4096);
    fs::write(&path, bytes).unwrap();
    assert_fails(&store(&["check"], &path), 1, "move the file away to begin anew; a copy of it helps the developers");
    assert!(!text(&store(&["check"], &path).stderr).contains("store check"));
    assert_fails(&store(&["dump"], &path), 1, "check it with \"msgstream store check ");
    assert_fails(&store(&[], &path), 64, "");
}
