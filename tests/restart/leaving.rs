//! Those who leave, or are sent away by a stop, while they wait for durable receipts.

use std::net::Shutdown;

use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};

use crate::broker::{Broker, Client, Place, told_port};
use crate::full::{get, limit_files};

fn header(stream: &str, receipt: u64) -> String {
    format!(r#"{{"action":"header","stream":"{stream}","message":1,"receipt":{receipt},"durable":true}}"#)
}

/// All that a client is yet told: receipts by their number, the rest by its action.
fn rest(client: &mut Client) -> Vec<Value> {
    let told = |line: Value| Some(&line["receipt"]).filter(|receipt| !receipt.is_null()).unwrap_or(&line["action"]).clone();
    std::iter::from_fn(|| client.try_hear().map(told)).collect()
}

/// A broker that saves at once, and then not before it has to.
fn broker_that_saves_once(place: &Place) -> Broker {
    let settings = place.path().join("settings.toml");
    std::fs::write(&settings, "[store]\ninterval = \"1h\"\n").unwrap();
    let broker = Broker::start_with(place, 0, &["--config", settings.to_str().unwrap()]);
    let mut first = Client::connect(broker.port);
    first.say(&header("first", 0));
    assert_eq!(first.hear()["receipt"], json!(0));
    broker
}

// Seen to fail: they were sent away without the receipt.
#[test]
fn a_stop_gives_their_receipts_to_those_who_have_said_their_last_line() {
    let place = Place::new("last-line");
    let broker = broker_that_saves_once(&place);
    let (mut half_closed, mut closing) = (Client::connect(broker.port), Client::connect(broker.port));
    half_closed.say(&header("half closed", 1));
    half_closed.hear_all();
    half_closed.clone_to_say().shutdown(Shutdown::Write).unwrap();
    closing.say(&header("closing", 1));
    closing.hear_all();
    closing.say(r#"{"action":"close","receipt":2}"#);
    broker.stop();
    assert_eq!(rest(&mut half_closed), [json!(1)]);
    assert_eq!(rest(&mut closing), [json!(1), json!(2), json!("close")]);
}

// Seen to fail: the broker took in what was asked for, and waited for its interval: five seconds later it gave up, and nobody had a receipt.
#[test]
fn a_stop_gives_out_receipts_that_are_asked_for_by_what_it_takes_in() {
    let place = Place::new("taken-in");
    let broker = broker_that_saves_once(&place);
    let mut clients = [(); 8].map(|()| Client::connect(broker.port));
    clients.iter_mut().for_each(|client| drop(client.hear_all()));
    kill_process(broker.pid(), Signal::STOP).unwrap();
    // No more than the system takes in while nobody reads it.
    let puts = "{\"action\":\"put\",\"stream\":\"s\",\"message\":1}\n".repeat(2000);
    for (client, number) in clients.iter_mut().zip(1..) {
        client.say(&format!("{puts}{}", header(&number.to_string(), number)));
    }
    // The signal is there when it goes on, and so is all that was sent.
    kill_process(broker.pid(), Signal::TERM).unwrap();
    kill_process(broker.pid(), Signal::CONT).unwrap();
    for (client, number) in clients.iter_mut().zip(1_u64..) {
        assert_eq!(rest(client), [json!(number), json!("close")]);
    }
    assert!(!broker.ended().contains("did not take in"));
}

/// While the disk is full, whoever has said its last line is not kept waiting for a receipt: nobody can say when that would come. Who stays
/// gets it once there is room, and no connection is left behind.
#[test]
fn those_who_have_said_their_last_line_do_not_wait_for_a_full_disk() {
    let place = Place::new("half-closed");
    let (port_file, settings) = (place.path().join("http-port"), place.path().join("settings.toml"));
    std::fs::write(&settings, format!("[http]\nport_file = {port_file:?}\n")).unwrap();
    let mut broker = Broker::start_with(&place, 0, &["--http", "127.0.0.1:0", "--config", settings.to_str().unwrap()]);
    let mut stays = Client::connect(broker.port);
    let leaves = |broker: &Broker, stream: &str| {
        let mut client = Client::connect(broker.port);
        client.say(&header(stream, 1));
        client.clone_to_say().shutdown(Shutdown::Write).unwrap();
        client
    };
    assert_eq!(rest(&mut leaves(&broker, "before")), [json!(1)]);
    let size = std::fs::metadata(place.path().join("store.redb")).unwrap().len();
    limit_files(&broker, Some(size));
    let message = "x".repeat(500_000);
    // This one waits as the disk becomes full, ...
    let mut early = Client::connect(broker.port);
    early.say(&format!(r#"{{"action":"header","stream":"early","message":"{message}","receipt":1,"durable":true}}"#));
    early.clone_to_say().shutdown(Shutdown::Write).unwrap();
    stays.say(&header("stays", 7));
    broker.wait_for("what changes is not kept beyond a restart");
    // ... and these come when it is.
    let mut late: Vec<_> = ["one", "two", "three"].iter().map(|stream| leaves(&broker, stream)).collect();
    assert_eq!(rest(&mut early), [Value::Null; 0]);
    late.iter_mut().for_each(|client| assert_eq!(rest(client), [Value::Null; 0]));
    limit_files(&broker, None);
    assert_eq!(stays.hear()["receipt"], json!(7));
    assert_eq!(rest(&mut leaves(&broker, "after")), [json!(1)]);
    let http = format!("127.0.0.1:{}", told_port(&port_file));
    // The one that stays, and perhaps the one that asks.
    let connections = || {
        let metrics = get(&http, "/metrics");
        let lines = metrics.lines().filter(|line| line.starts_with("msgstream_connections{"));
        lines.map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()).sum::<u64>()
    };
    while connections() > 2 {
        std::thread::yield_now();
    }
    // What nobody had a receipt for was kept all the same.
    broker.kill();
    let broker = Broker::start(&place, 0);
    let mut listener = Client::connect(broker.port);
    for stream in ["early", "one", "two", "three", "stays"] {
        listener.say(&format!(r#"{{"action":"listen","stream":"{stream}"}}"#));
        assert_eq!(listener.hear()["stream"], json!(stream));
    }
    broker.stop();
}
