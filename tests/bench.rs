//! `msgstream bench` must notice what a broker does wrong. The broker here is a small server that plants one fault.

#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::thread;

#[derive(Clone, Copy)]
enum Fault {
    None,
    Dropped,
    Doubled,
    Swapped,
    Changed,
    LastDoubled,
    Ended,
}

const MESSAGES: usize = 2000;
/// The message that the fault befalls.
const MARKED: usize = 1234;

/// Forwards lines that put to connections that listen, answers pings, and plants a fault.
fn broker(fault: Fault) -> String {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap().to_string();
    let listeners: Arc<Mutex<Vec<TcpStream>>> = Arc::default();
    thread::spawn(move || {
        for stream in server.incoming().flatten() {
            let listeners = Arc::clone(&listeners);
            thread::spawn(move || connection(&stream, &listeners, fault));
        }
    });
    address
}

fn connection(mut stream: &TcpStream, listeners: &Mutex<Vec<TcpStream>>, fault: Fault) {
    let (mut puts, mut held) = (0, String::new());
    let mut lines = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        if line.contains("\"listen\"") {
            listeners.lock().unwrap().push(stream.try_clone().unwrap());
        } else if line.contains("\"ping\"") {
            stream.write_all(b"{\"action\":\"pong\"}\n").unwrap();
        } else {
            let out = match (fault, puts) {
                (Fault::Dropped, MARKED) => String::new(),
                (Fault::Doubled, MARKED) => line.repeat(2),
                (Fault::Swapped, MARKED) => {
                    held = line;
                    String::new()
                }
                (Fault::Changed, MARKED) => line.replace("refine", "define"),
                (Fault::Ended, MARKED) => "{\"action\":\"close\",\"message\":{\"code\":\"slow_listener\"}}\n".to_owned(),
                _ if puts == MESSAGES - 1 && matches!(fault, Fault::LastDoubled) => line.repeat(2),
                _ => line + &std::mem::take(&mut held),
            };
            puts += 1;
            for listener in listeners.lock().unwrap().iter_mut() {
                // The generator leaves as soon as it has seen a fault.
                listener.write_all(out.as_bytes()).ok();
            }
        }
    }
}

fn bench(fault: Fault, options: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_msgstream"));
    command.args(["bench", "--server", &broker(fault), "--timeout", "2s", "--json", "--messages", &MESSAGES.to_string()]);
    command.args(options).output().unwrap()
}

#[track_caller]
fn fails(fault: Fault, says: &str) {
    for options in [&["--listeners", "3"][..], &["--size", "5kB", "--kind", "progress"]] {
        let output = bench(fault, options);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.contains(says), "{error}");
        assert!(output.stdout.is_empty(), "a run that failed has no figures");
    }
}

#[test]
fn a_faithful_broker_passes() {
    for options in [&["--listeners", "3"][..], &["--size", "5kB", "--kind", "curve"], &["--no-listeners"]] {
        let output = bench(Fault::None, options);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(report["messages"], MESSAGES, "{report}");
    }
}

#[test]
fn a_dropped_message_fails() {
    fails(Fault::Dropped, "message 1235 came when 1234 was due");
}

#[test]
fn a_doubled_message_fails() {
    fails(Fault::Doubled, "message 1234 came when 1235 was due");
}

#[test]
fn two_swapped_messages_fail() {
    fails(Fault::Swapped, "message 1235 came when 1234 was due");
}

#[test]
fn a_changed_message_fails() {
    let output = bench(Fault::Changed, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("message 1234 was changed"));
}

#[test]
fn one_message_too_many_at_the_end_fails() {
    fails(Fault::LastDoubled, "message 1999 came when 2000 was due");
}

#[test]
fn an_end_that_nobody_asked_for_fails() {
    fails(Fault::Ended, "slow_listener");
}

#[test]
fn a_lost_last_message_fails_in_bounded_time() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_msgstream"));
    let messages = (MARKED + 1).to_string();
    command.args(["bench", "--server", &broker(Fault::Dropped), "--timeout", "1s", "--messages", &messages]);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("nothing has moved"));
}
