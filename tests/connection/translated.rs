//! Large messages for listeners of another encoding, whose translation takes as long as the test wants.
//!
//! Without a thread of its own a translation would hold up the one thread of these tests, and each would fail at the gate.

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use msgstream::broker::Settings;
use msgstream::internal::broker::actor::Command;
use msgstream::internal::broker::connection::serve;
use msgstream::internal::wire::json_lines::{ENCODER as JSON, JsonLines};
use msgstream::internal::wire::{Action, Codec, DecodeLimits, Encode, Event, Foreign, Mistake, UnitEnd};
use tokio::sync::oneshot;

use super::pipe::{Peer, pipe, without_positions};
use super::{Broker, put};

/// JSON lines under another name, into which nothing is translated before the gate is opened for it.
#[derive(Debug)]
struct Gated {
    gate: Mutex<Receiver<()>>,
}

impl Encode for Gated {
    fn name(&self) -> &'static str {
        "gated"
    }

    fn encode(&self, event: &Event<'_>, out: &mut Vec<u8>) {
        JSON.encode(event, out);
    }

    fn encode_json(&self, event: &Event<'_>, out: &mut Vec<u8>) {
        // Not for ever, lest a broker that waits here itself hangs.
        self.gate.lock().unwrap().recv_timeout(Duration::from_secs(20)).unwrap();
        JSON.encode(event, out);
    }

    fn end_of(&self, units: &[u8], count: u32) -> usize {
        JSON.end_of(units, count)
    }

    fn read_back(&self, units: &[u8], each: &mut dyn FnMut(&Event<'_>)) {
        JSON.read_back(units, each);
    }
}

/// The codec of a client behind a gate.
#[derive(Debug)]
struct Lines {
    decoder: JsonLines,
    encoder: &'static Gated,
}

impl Codec for Lines {
    const FRAMING: usize = JsonLines::FRAMING;

    fn encoder(&self) -> &'static dyn Encode {
        self.encoder
    }

    fn unit(&self, bytes: &[u8], searched: usize) -> UnitEnd {
        self.decoder.unit(bytes, searched)
    }

    fn foreign(&self, start: &[u8]) -> Foreign {
        self.decoder.foreign(start)
    }

    fn decode<'a>(&'a mut self, unit: &'a [u8], limits: &DecodeLimits) -> Result<Option<Action<'a>>, Mistake> {
        self.decoder.decode(unit, limits)
    }
}

/// A broker with a client behind a gate, and what opens that for one message.
fn gated() -> (Broker, Peer, Sender<()>) {
    let broker = Broker::start(&Settings::default());
    let (open, gate) = channel();
    let encoder: &'static Gated = Box::leak(Box::new(Gated { gate: Mutex::new(gate) }));
    let (pipe, peer) = pipe();
    let codec = Lines { decoder: JsonLines::default(), encoder };
    tokio::spawn(serve(pipe, codec, broker.context.speaking(encoder)));
    (broker, peer, open)
}

/// What ends its answers and messages so far.
fn ends_with(line: &str) -> impl Fn(&[u8]) -> bool {
    move |bytes| bytes.ends_with(line.as_bytes()) && bytes.ends_with(b"\n")
}

fn large() -> String {
    format!(r#""{}""#, "x".repeat(200_000))
}

/// The line of a message as listeners get it.
fn line(stream: &str, message: &str) -> String {
    put(stream, message) + "\n"
}

fn listen(stream: &str) -> String {
    format!(r#"{{"action":"listen","stream":"{stream}"}}"#)
}

#[tokio::test]
async fn a_message_in_translation_holds_up_its_publisher_alone_and_keeps_its_order() {
    let (broker, listener, open) = gated();
    listener.line(&listen("s"));
    assert_eq!(listener.ping().await, "");
    let (publisher, other) = (broker.connect(), broker.connect());
    publisher.line(&put("s", &large()));
    publisher.line(&put("t", "2"));
    publisher.line(r#"{"action":"ping","receipt":7}"#);
    // Another one is served meanwhile, in the same stream, too: no order was promised between the two.
    let heard = broker.listener("t").await;
    other.line(&put("t", "1"));
    assert_eq!(other.ping().await, "");
    assert_eq!(heard.ping().await, line("t", "1"));
    open.send(()).unwrap();
    publisher.until(ends_with("{\"action\":\"pong\",\"receipt\":7}\n")).await;
    assert_eq!(listener.ping().await, line("s", &large()));
    assert_eq!(heard.ping().await, line("t", "2"));
}

// Seen to fail: the two messages were one run, of which each was translated again when it was taken apart, by the actor.
#[tokio::test]
async fn a_large_message_beside_others_is_translated_as_if_it_came_alone() {
    let (broker, listener, open) = gated();
    listener.line(&listen("s"));
    assert_eq!(listener.ping().await, "");
    // It hears itself, so that its receipt has a place between its messages.
    let publisher = broker.listener("s").await;
    let small = r#"{"action":"put","stream":"s","message":2,"receipt":1}"#;
    let large = format!("[{},{}]", large(), large());
    publisher.send(format!("{}\n{small}\n", put("s", &large)));
    assert_eq!(broker.connect().ping().await, "");
    open.send(()).unwrap();
    open.send(()).unwrap();
    let told = line("s", &large) + &line("s", "2") + "{\"action\":\"receipt\",\"receipt\":1,\"listeners\":2}\n";
    assert_eq!(without_positions(&publisher.ping().await), told);
    assert_eq!(listener.ping().await, line("s", &large) + &line("s", "2"));
}

#[tokio::test]
async fn a_publisher_that_leaves_meanwhile_is_heard_to_its_end() {
    let (broker, listener, open) = gated();
    listener.line(&listen("s"));
    assert_eq!(listener.ping().await, "");
    let publisher = broker.connect();
    publisher.line(&put("s", &large()));
    publisher.line(r#"{"action":"close","stream":"s"}"#);
    assert_eq!(broker.connect().ping().await, "");
    publisher.reset();
    assert_eq!(broker.connect().ping().await, "");
    open.send(()).unwrap();
    open.send(()).unwrap();
    let end = "{\"action\":\"close\",\"stream\":\"s\"}\n";
    assert_eq!(listener.until(ends_with(end)).await, line("s", &large()) + end);
}

#[tokio::test]
async fn a_header_in_translation_holds_up_who_asked_for_it_alone() {
    let (broker, listener, open) = gated();
    let publisher = broker.connect();
    publisher.line(&format!(r#"{{"action":"header","stream":"s","message":{}}}"#, large()));
    assert_eq!(publisher.ping().await, "");
    listener.line(&listen("s"));
    listener.line(r#"{"action":"ping","receipt":1}"#);
    // The header is replaced before it has been translated: the listener gets the one that stands when it joins.
    publisher.line(r#"{"action":"header","stream":"s","message":"small"}"#);
    publisher.line(&put("s", "0"));
    assert_eq!(publisher.ping().await, "");
    open.send(()).unwrap();
    open.send(()).unwrap();
    let heard = listener.until(ends_with("{\"action\":\"pong\",\"receipt\":1}\n")).await;
    assert_eq!(heard, line("s", "\"small\"") + "{\"action\":\"pong\",\"receipt\":1}\n");
}

#[tokio::test]
async fn what_is_in_translation_when_the_broker_stops_is_delivered() {
    let (broker, listener, open) = gated();
    listener.line(&listen("s"));
    assert_eq!(listener.ping().await, "");
    let publisher = broker.connect();
    publisher.line(&put("s", &large()));
    assert_eq!(broker.connect().ping().await, "");
    let (done, all_taken_in) = oneshot::channel();
    broker.context.mailbox.send(Command::Quiesce(done));
    assert_eq!(broker.connect().ping().await, "");
    open.send(()).unwrap();
    all_taken_in.await.unwrap();
    broker.context.mailbox.send(Command::Shutdown);
    assert!(listener.rest().await.starts_with(&line("s", &large())));
}

#[tokio::test]
async fn translations_wait_for_each_other_and_not_for_who_has_gone() {
    let (broker, listener, open) = gated();
    listener.line(&listen("s"));
    assert_eq!(listener.ping().await, "");
    let publishers = [(); 3].map(|()| broker.connect());
    for (number, publisher) in publishers.iter().enumerate() {
        publisher.line(&put("s", &format!("[{number},{}]", large())));
        assert_eq!(broker.connect().ping().await, "");
    }
    publishers[1].reset();
    for _ in 0..3 {
        open.send(()).unwrap();
    }
    publishers[2].ping().await;
    let heard = listener.ping().await;
    let numbers: Vec<_> = heard.lines().filter_map(|line| line.split_once('[')?.1.chars().next()).collect();
    assert_eq!(numbers, ['0', '1', '2']);
}
