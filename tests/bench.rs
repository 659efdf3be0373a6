//! `msgstream bench` must notice what a broker does wrong. The broker here is a small server that plants one fault.

#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output, Stdio};
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

#[derive(Clone, Copy)]
enum Encoding {
    JsonLines,
    MessagePack,
}

impl Encoding {
    /// Reads one line, or one message with its length. Nothing at the end.
    fn read(self, from: &mut impl BufRead) -> Vec<u8> {
        let mut unit = Vec::new();
        match self {
            Self::JsonLines => {
                from.read_until(b'\n', &mut unit).ok();
            }
            Self::MessagePack => {
                let mut length = [0; 4];
                if from.read_exact(&mut length).is_ok() {
                    unit.extend_from_slice(&length);
                    from.take(u32::from_be_bytes(length).into()).read_to_end(&mut unit).ok();
                }
            }
        }
        unit
    }

    fn pong(self) -> &'static [u8] {
        match self {
            Self::JsonLines => b"{\"action\":\"pong\"}\n",
            Self::MessagePack => b"\0\0\0\x0d\x81\xa6action\xa4pong",
        }
    }

    fn end(self) -> &'static [u8] {
        match self {
            Self::JsonLines => b"{\"action\":\"close\",\"message\":{\"code\":\"slow_listener\"}}\n",
            Self::MessagePack => b"\0\0\0\x2a\x82\xa6action\xa5close\xa7message\x81\xa4code\xadslow_listener",
        }
    }

    /// The address as the generator takes it.
    fn address(self, address: &str) -> String {
        match self {
            Self::JsonLines => address.to_owned(),
            Self::MessagePack => format!("msgpack+tcp://{address}"),
        }
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// Forwards what is put to connections that listen, answers pings, and plants a fault.
fn broker(fault: Fault, encoding: Encoding) -> String {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = encoding.address(&server.local_addr().unwrap().to_string());
    let listeners: Arc<Mutex<Vec<TcpStream>>> = Arc::default();
    thread::spawn(move || {
        for stream in server.incoming().flatten() {
            let listeners = Arc::clone(&listeners);
            thread::spawn(move || connection(&stream, &listeners, fault, encoding));
        }
    });
    address
}

fn connection(mut stream: &TcpStream, listeners: &Mutex<Vec<TcpStream>>, fault: Fault, encoding: Encoding) {
    let (mut puts, mut held) = (0, Vec::new());
    let mut units = BufReader::new(stream);
    loop {
        let mut unit = encoding.read(&mut units);
        if unit.is_empty() {
            return;
        }
        if contains(&unit, b"listen") {
            listeners.lock().unwrap().push(stream.try_clone().unwrap());
        } else if contains(&unit, b"ping") {
            stream.write_all(encoding.pong()).unwrap();
        } else {
            let out = match (fault, puts) {
                (Fault::Dropped, MARKED) => Vec::new(),
                (Fault::Doubled, MARKED) => unit.repeat(2),
                (Fault::Swapped, MARKED) => {
                    held = unit;
                    Vec::new()
                }
                (Fault::Changed, MARKED) => {
                    let at = unit.windows(6).position(|window| window == b"refine").unwrap();
                    unit[at] = b'd';
                    unit
                }
                (Fault::Ended, MARKED) => encoding.end().to_vec(),
                _ if puts == MESSAGES - 1 && matches!(fault, Fault::LastDoubled) => unit.repeat(2),
                _ => [unit, std::mem::take(&mut held)].concat(),
            };
            puts += 1;
            for listener in listeners.lock().unwrap().iter_mut() {
                // The generator leaves as soon as it has seen a fault.
                listener.write_all(&out).ok();
            }
        }
    }
}

fn bench(fault: Fault, encoding: Encoding, options: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_msgstream"));
    command.args(["bench", "--server", &broker(fault, encoding), "--timeout", "2s", "--json", "--messages", &MESSAGES.to_string()]);
    command.args(options).output().unwrap()
}

#[track_caller]
fn fails(fault: Fault, says: &str) {
    for encoding in [Encoding::JsonLines, Encoding::MessagePack] {
        for options in [&["--listeners", "3"][..], &["--size", "5kB", "--kind", "progress"]] {
            let output = bench(fault, encoding, options);
            let error = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(1), "{error}");
            assert!(error.contains(says), "{error}");
            assert!(output.stdout.is_empty(), "a run that failed has no figures");
        }
    }
}

#[test]
fn a_faithful_broker_passes() {
    for (encoding, protocol) in [(Encoding::JsonLines, "msgstream"), (Encoding::MessagePack, "msgpack")] {
        for options in [&["--listeners", "3"][..], &["--size", "5kB", "--kind", "curve"], &["--kind", "text"], &["--no-listeners"]] {
            let output = bench(Fault::None, encoding, options);
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!((&report["messages"], &report["protocol"]), (&MESSAGES.into(), &protocol.into()), "{report}");
        }
    }
}

#[test]
fn this_broker_passes_in_both_encodings() {
    let mut serve = Command::new(env!("CARGO_BIN_EXE_msgstream"))
        .args(["serve", "--listen", "127.0.0.1:0", "--listen", "msgpack+tcp://127.0.0.1:0"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(serve.stderr.take().unwrap());
    let mut line = String::new();
    for _ in 0..2 {
        line.clear();
        while !line.contains("listening address=") {
            line.clear();
            assert_ne!(log.read_line(&mut line).unwrap(), 0, "the broker did not start");
        }
        let address = line.split_once("listening address=").unwrap().1.trim();
        for options in [
            &["--listeners", "2", "--streams", "3", "--publishers", "2"][..],
            &["--kind", "curve", "--size", "20kB"],
            &["--join", "--size", "1kB"],
            &["--rate", "10000", "--duration", "100ms"],
        ] {
            let mut command = Command::new(env!("CARGO_BIN_EXE_msgstream"));
            command.args(["bench", "--server", address, "--json"]).args(options);
            if !options.contains(&"--rate") {
                command.args(["--messages", "1000"]);
            }
            let output = command.output().unwrap();
            assert!(output.status.success(), "{address} {options:?}: {}", String::from_utf8_lossy(&output.stderr));
        }
    }
    serve.kill().unwrap();
    serve.wait().unwrap();
}

#[test]
fn the_address_and_the_protocol_go_together() {
    let bench = |options: &[&str]| Command::new(env!("CARGO_BIN_EXE_msgstream")).arg("bench").args(options).output().unwrap();
    let output = bench(&["--server", "msgpack+tcp://127.0.0.1:9", "--protocol", "nats"]);
    assert_eq!(output.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&output.stderr).contains("leave --protocol out"));
    // The protocol alone will do as well; the broker here speaks JSON, which is noticed.
    let output = bench(&["--server", &broker(Fault::None, Encoding::JsonLines), "--protocol", "msgpack", "--timeout", "1s"]);
    assert_eq!(output.status.code(), Some(1));
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
    for encoding in [Encoding::JsonLines, Encoding::MessagePack] {
        let output = bench(Fault::Changed, encoding, &[]);
        assert_eq!(output.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&output.stderr).contains("message 1234 was changed"));
    }
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
    command.args(["bench", "--server", &broker(Fault::Dropped, Encoding::JsonLines), "--timeout", "1s", "--messages", &messages]);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("nothing has moved"));
}
