//! Durable receipts of one who has yet to read what came before them.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::{Value, json};

use crate::broker::{Broker, Client, LONG, Place, told_port};
use crate::full::get;

const BIG: usize = 3;
const RECEIPTS: usize = 300;

/// How often something was made durable.
fn commits(http: &str) -> u64 {
    let metrics = get(http, "/metrics");
    metrics.lines().find_map(|line| line.strip_prefix("msgstream_store_commits_total ")).unwrap().parse().unwrap()
}

// Seen to fail: after 256 receipts the connection was read no more, until any other client did something.
#[test]
fn one_that_waits_for_receipts_goes_on_though_it_has_not_read_what_came_before() {
    let place = Place::new("unread");
    let (port_file, settings) = (place.path().join("http-port"), place.path().join("settings.toml"));
    std::fs::write(&settings, format!("[http]\nport_file = {port_file:?}\n")).unwrap();
    let broker = Broker::start_with(&place, 0, &["--http", "127.0.0.1:0", "--config", settings.to_str().unwrap()]);
    let http = format!("127.0.0.1:{}", told_port(&port_file));
    let mut other = Client::connect(broker.port);
    for number in 0..BIG {
        let message = "x".repeat(900_000);
        other.say(&format!(r#"{{"action":"header","stream":"big-{number}","message":"{message}","receipt":{number},"durable":true}}"#));
        assert_eq!(other.hear()["receipt"], json!(number));
    }
    let before = commits(&http);
    let stream = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], broker.port))).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    let listens = (0..BIG).map(|number| format!(r#"{{"action":"listen","stream":"big-{number}"}}"#));
    let headers = (0..RECEIPTS)
        .map(|number| format!(r#"{{"action":"header","stream":"small-{number}","message":1,"receipt":{number},"durable":true}}"#));
    let lines: Vec<_> = listens.chain(headers).collect();
    (&stream).write_all(format!("{}\n", lines.join("\n")).as_bytes()).unwrap();
    // Its socket takes nothing more by now: what the system keeps of a connection that nobody reads is less than the headers. Nobody else does anything.
    while commits(&http) == before {
        std::thread::yield_now();
    }
    let mut read = BufReader::new(&stream);
    let mut next = || {
        let mut line = String::new();
        read.read_line(&mut line).expect("a line").checked_sub(1).map(|_| serde_json::from_str::<Value>(&line).unwrap())
    };
    let receipts: Vec<_> = std::iter::from_fn(&mut next)
        .filter(|line| line["action"] == "receipt")
        .take(RECEIPTS)
        .map(|line| line["receipt"].clone())
        .collect();
    assert_eq!(receipts, (0..RECEIPTS).map(|number| json!(number)).collect::<Vec<_>>());
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(next(), None, "and ends in good order");
    broker.stop();
}

// Seen to fail: in the midst of them it was told that it was a slow listener.
#[test]
fn one_that_reads_late_is_not_cut_off_for_the_receipts_that_it_asked_for() {
    const ALL: usize = 256;
    let place = Place::new("much-at-once");
    let (port_file, settings) = (place.path().join("http-port"), place.path().join("settings.toml"));
    let small = "[limits]\nline = \"16KiB\"\nheader = \"4KiB\"\n[outbox]\nlimit = \"64KiB\"\n[tcp]\nsend_buffer = \"4KiB\"\n";
    std::fs::write(&settings, format!("{small}[http]\nport_file = {port_file:?}\n")).unwrap();
    let broker = Broker::start_with(&place, 0, &["--http", "127.0.0.1:0", "--config", settings.to_str().unwrap()]);
    let http = format!("127.0.0.1:{}", told_port(&port_file));
    let mut other = Client::connect(broker.port);
    other.say(r#"{"action":"header","stream":"other","message":1,"receipt":1,"durable":true}"#);
    assert_eq!(other.hear()["receipt"], json!(1));
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(2048).unwrap();
    socket.connect(&SocketAddr::from(([127, 0, 0, 1], broker.port)).into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(LONG)).unwrap();
    let receipt = |number: usize| format!("{number:r>250}");
    let lines: Vec<_> = (0..ALL)
        .map(|number| format!(r#"{{"action":"header","stream":"{number}","message":1,"receipt":"{}","durable":true}}"#, receipt(number)))
        .collect();
    let changes = || {
        let metrics = get(&http, "/metrics");
        metrics.lines().find_map(|line| line.strip_prefix("msgstream_store_changes_total ")).unwrap().parse::<usize>().unwrap()
    };
    let before = changes();
    (&stream).write_all(format!("{}\n", lines.join("\n")).as_bytes()).unwrap();
    while changes() < before + ALL {
        std::thread::yield_now();
    }
    // What has been made durable is given out before this is answered.
    other.hear_all();
    let told: Vec<Value> =
        BufReader::new(&stream).lines().take(ALL).map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap()).collect();
    let receipts: Vec<_> = told.iter().map(|line| line["receipt"].as_str().unwrap_or_else(|| panic!("{line}")).to_owned()).collect();
    assert_eq!(receipts, (0..ALL).map(receipt).collect::<Vec<_>>());
    broker.stop();
}
