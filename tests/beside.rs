//! `msgstream bench --beside` must measure what it says: all of its work on the real broker, and what a broker may do wrong on a
//! small server that does it.

#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::Value;

const LISTENERS: u64 = 3;

/// What a small broker does wrong.
#[derive(Clone, Copy, PartialEq)]
enum Fault {
    None,
    /// It answers the first ping of each connection, and no other.
    Silent,
    /// The last listener misses the last message of each burst.
    Loses,
    /// It ends the connection of a listener.
    Cuts,
}

const PING: &str = "{\"action\":\"ping\"}\n";
const PONG: &[u8] = b"{\"action\":\"pong\"}\n";

/// A broker of one stream, which forwards what is put as it is.
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
    let (mut pings, mut puts) = (0, 0);
    let mut lines = BufReader::new(stream);
    let mut line = String::new();
    while lines.read_line(&mut line).is_ok_and(|read| read > 0) {
        if line.contains("listen") {
            listeners.lock().unwrap().push(stream.try_clone().unwrap());
        } else if line == PING {
            pings += 1;
            if pings == 1 || fault != Fault::Silent {
                // The generator leaves when its time is over, or as soon as it has seen a fault.
                stream.write_all(PONG).ok();
            }
        } else {
            puts += 1;
            let mut listeners = listeners.lock().unwrap();
            // The first message, to the first listener, is the one by which the generator learns its size.
            let reached = if fault == Fault::Loses && puts > 1 { LISTENERS as usize } else { listeners.len() };
            if fault == Fault::Cuts && puts > 1 {
                listeners.last().unwrap().shutdown(std::net::Shutdown::Both).ok();
            }
            for listener in listeners.iter_mut().take(reached) {
                listener.write_all(line.as_bytes()).ok();
            }
        }
        line.clear();
    }
}

fn beside(work: &str, options: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_msgstream"));
    command.args(["bench", "--json", "--beside", work, "--listeners", &LISTENERS.to_string(), "--duration", "50ms"]);
    command.args(options).output().unwrap()
}

#[track_caller]
fn report(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The real broker, and where it speaks JSON lines and MessagePack.
fn serve() -> (Child, [String; 2]) {
    let mut serve = Command::new(env!("CARGO_BIN_EXE_msgstream"))
        .args(["serve", "--listen", "127.0.0.1:0", "--listen", "msgpack+tcp://127.0.0.1:0"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let log = BufReader::new(serve.stderr.take().unwrap());
    let mut addresses =
        log.lines().map_while(Result::ok).filter_map(|line| Some(line.split_once("listening address=")?.1.trim().to_owned()));
    let addresses = [addresses.next().unwrap(), addresses.next().unwrap()];
    (serve, addresses)
}

#[test]
fn all_work_is_done_beside_a_bystander() {
    let (mut broker, [lines, packed]) = serve();
    // The messages in a burst.
    for (work, messages) in [
        ("nothing", 0),
        ("puts", 1560),
        ("receipts", 1213),
        ("headers", 1236),
        ("alternating", 1560),
        ("errors", 0),
        ("big", 1),
        ("translation", 439),
    ] {
        let at = if work == "translation" { &packed } else { &lines };
        let report = report(&beside(work, &["--server", &lines, "--listeners-at", at, "--publishers", "2", "--timeout", "60s"]));
        let count = |key: &str| report[key].as_u64().unwrap();
        assert!(count("pings") > 0 && count("unanswered") == 0, "{report}");
        assert!(if work == "nothing" { count("bursts") == 0 } else { count("bursts") >= 2 }, "{report}");
        assert_eq!(count("messages"), count("bursts") * messages, "{report}");
        assert_eq!(count("deliveries"), count("messages") * LISTENERS, "{report}");
        assert_eq!(report["work"], work);
    }
    broker.kill().unwrap();
    broker.wait().unwrap();
}

#[test]
fn pings_without_an_answer_count() {
    let report = report(&beside("nothing", &["--server", &broker(Fault::Silent), "--timeout", "1s"]));
    assert!(report["pings"].as_u64() > Some(0), "{report}");
    assert_eq!(report["unanswered"], report["pings"], "all of them");
}

#[test]
fn a_burst_counts_once_all_listeners_have_it() {
    let faithful = report(&beside("puts", &["--server", &broker(Fault::None), "--timeout", "60s"]));
    assert!(faithful["bursts"].as_u64() > Some(0), "{faithful}");
    let lossy = report(&beside("puts", &["--server", &broker(Fault::Loses), "--timeout", "1s"]));
    assert_eq!(lossy["bursts"], 0, "{lossy}");
}

#[test]
fn a_listener_that_is_cut_off_fails() {
    let output = beside("puts", &["--server", &broker(Fault::Cuts), "--timeout", "60s"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty(), "a run that failed has no figures");
}

#[test]
fn work_that_a_broker_cannot_do_is_refused() {
    for (work, protocol, says) in [
        ("errors", "nats", "NATS closes a connection after one error"),
        ("puts", "mqtt", "--beside needs --protocol msgstream, redis or nats"),
        ("translation", "msgstream", "--listeners-at"),
    ] {
        let output = beside(work, &["--protocol", protocol]);
        assert_eq!(output.status.code(), Some(64));
        assert!(String::from_utf8_lossy(&output.stderr).contains(says), "{}", String::from_utf8_lossy(&output.stderr));
    }
}
