//! `msgstream bench` with listeners over HTTP: on the real broker, and through something that loses a byte on the way.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

/// A broker that speaks HTTP too, and ends with the test.
struct Broker {
    process: Child,
    tcp: String,
    http: String,
}

impl Broker {
    fn start() -> Self {
        static BROKERS: AtomicUsize = AtomicUsize::new(0);
        let number = BROKERS.fetch_add(1, Ordering::Relaxed);
        let file = |what| Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("carried-{}-{number}-{what}", std::process::id()));
        let (tcp, http) = (file("tcp"), file("http"));
        let process = Command::new(env!("CARGO_BIN_EXE_msgstream"))
            .args(["serve", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--port-file"])
            .arg(&tcp)
            .env("MSGSTREAM_HTTP__PORT_FILE", &http)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let at = (address(&tcp), address(&http));
        // A process that is killed leaves them.
        [tcp, http].iter().for_each(|file| drop(fs::remove_file(file)));
        Self { process, tcp: at.0, http: at.1 }
    }

    /// Three listeners by this, at the address, and 2,000 messages.
    fn bench(&self, by: &str, at: &str) -> Output {
        let options = ["--listeners", "3", "--messages", "2000", "--warmup", "10", "--json", "--timeout", "20s"];
        let listeners = ["--listeners-by", by, "--listeners-at", at];
        Command::new(env!("CARGO_BIN_EXE_msgstream")).args(["bench", "--server", &self.tcp]).args(options).args(listeners).output().unwrap()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

fn address(file: &Path) -> String {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let port = fs::read_to_string(file).unwrap_or_default();
        if port.ends_with('\n') {
            return format!("127.0.0.1:{}", port.trim());
        }
        assert!(Instant::now() < deadline, "no port in {}", file.display());
        thread::yield_now();
    }
}

/// Behind so many bytes of what the broker says, one is lost.
const LOST: usize = 30_000;

/// It is one of these, which stand in messages only: nobody looks at what an event's id says.
const LOST_BYTE: u8 = b'"';

/// Passes everything on but one byte.
fn leak(to: &str) -> String {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, to) = (server.local_addr().unwrap().to_string(), to.to_owned());
    thread::spawn(move || {
        for client in server.incoming().flatten() {
            let broker = TcpStream::connect(&to).unwrap();
            let (from, back) = (client.try_clone().unwrap(), broker.try_clone().unwrap());
            thread::spawn(move || pass(&from, &back, usize::MAX));
            thread::spawn(move || pass(&broker, &client, LOST));
        }
    });
    address
}

fn pass(mut from: &TcpStream, mut to: &TcpStream, lost: usize) {
    let (mut block, mut at, mut is_lost) = ([0; 4096], 0, false);
    while let Ok(count @ 1..) = from.read(&mut block) {
        let part = &block[..count];
        let begin = lost.saturating_sub(at).min(count);
        let place = part[begin..].iter().position(|byte| *byte == LOST_BYTE && !is_lost).map(|place| begin + place);
        let kept = match place {
            Some(place) => [&part[..place], &part[place + 1..]].concat(),
            None => part.to_vec(),
        };
        is_lost |= place.is_some();
        at += count;
        if to.write_all(&kept).is_err() {
            return;
        }
    }
}

#[test]
fn listeners_over_http_are_told_everything() {
    let broker = Broker::start();
    for by in ["websocket", "events"] {
        let output = broker.bench(by, &broker.http);
        assert!(output.status.success(), "{by}: {}", String::from_utf8_lossy(&output.stderr));
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((&report["units"], &report["unit"]), (&6000.into(), &"delivery".into()), "{by}");
    }
}

#[test]
fn a_byte_that_is_missing_is_missed() {
    let broker = Broker::start();
    let leaking = leak(&broker.http);
    for by in ["websocket", "events"] {
        let output = broker.bench(by, &leaking);
        assert_eq!(output.status.code(), Some(1), "{by}: {}", String::from_utf8_lossy(&output.stdout));
    }
}

#[test]
fn who_has_no_such_listeners_is_told_so() {
    for (protocol, by) in [("nats", "websocket"), ("mqtt", "events"), ("nchan", "socket")] {
        let bench = ["bench", "--protocol", protocol, "--listeners-by", by, "--server", "127.0.0.1:9"];
        let output = Command::new(env!("CARGO_BIN_EXE_msgstream")).args(bench).output().unwrap();
        assert_eq!(output.status.code(), Some(64), "{protocol} {by}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("has no listeners by"), "{protocol} {by}");
    }
}
