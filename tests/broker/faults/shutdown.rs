//! The broker is told to stop.

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use crate::checker::{Sent, Stay, assert_clean, padded_put, put};
use crate::harness::{Broker, Client, Settings, alone, is_end, settings, until};

/// Takes the line off that tells of the stop, which must be the last.
#[track_caller]
fn without_goodbye(mut lines: Vec<String>) -> Vec<String> {
    let last = lines.pop().expect("at least the goodbye");
    assert!(is_end(&last, "shutdown"), "the last line was {last}");
    lines
}

// Seen to fail: with connections that are ended without taking in what they have received, with queues dropped, with no
// goodbye, and with an exit code other than 0.
#[test]
fn under_load_everything_received_is_delivered_and_everybody_is_told() {
    let _alone = alone();
    let mut broker = Broker::start(settings().set("outbox.drain_time", "10s"));
    let mut silent = broker.client();
    let mut half = broker.client();
    half.send_bytes(br#"{"action":"put","stream":"job","mess"#);
    let mut listeners: Vec<_> = (0..4).map(|_| broker.listener("job")).collect();
    let loaded = Barrier::new(5);
    let (lines, sent) = thread::scope(|scope| {
        let publish = |number: u32| {
            let (mut publisher, loaded) = (broker.client(), &loaded);
            let line = move |seq| format!(r#"{},"receipt":{seq}}}"#, put("job", number, seq).strip_suffix('}').unwrap()) + "\n";
            scope.spawn(move || {
                let mut answers = Vec::new();
                // A hundred are always on their way, until the broker says goodbye and nothing more.
                let mut sent = 0;
                loop {
                    let lines: String = (sent..sent + 100).map(line).collect();
                    publisher.try_send_bytes(lines.as_bytes());
                    sent += 100;
                    if sent == 300 {
                        loaded.wait();
                    }
                    let before = answers.len();
                    answers.extend(std::iter::from_fn(|| publisher.line()).take(100));
                    if answers.len() < before + 100 {
                        return (number, without_goodbye(answers));
                    }
                }
            })
        };
        let publishing: Vec<_> = (0..4).map(publish).collect();
        let listening: Vec<_> = listeners.iter_mut().map(|listener| scope.spawn(|| without_goodbye(listener.rest()))).collect();
        loaded.wait();
        broker.terminate();
        let mut sent = Sent::default();
        for publishing in publishing {
            let (number, receipts) = publishing.join().unwrap();
            for (seq, receipt) in receipts.iter().enumerate() {
                assert_eq!(*receipt, format!(r#"{{"action":"receipt","receipt":{seq},"listeners":4}}"#));
            }
            assert!(receipts.len() >= 200, "publisher {number} was taken only {} messages from", receipts.len());
            sent.add(number, receipts.len() as u32);
        }
        let lines: Vec<_> = listening.into_iter().map(|listening| listening.join().unwrap()).collect();
        (lines, sent)
    });
    // What a receipt was given for has reached every listener, and nothing else has.
    assert_clean("job", &sent, Stay::Throughout, &lines);
    silent.expect_ended("shutdown");
    half.expect_ended("shutdown");
    assert_eq!(broker.until_ended().code(), Some(0));
}

#[test]
fn what_was_sent_before_the_signal_counts() {
    // No receipts, no pings: the bytes are in the broker's sockets when the signal comes, and that is enough.
    let _alone = alone();
    const EACH: u32 = 200;
    let mut broker = Broker::start(settings());
    let mut listener = broker.listener("job");
    let mut publishers: Vec<_> = (0..50).map(|_| broker.client()).collect();
    for publisher in &mut publishers {
        publisher.ping();
    }
    for (number, publisher) in (0..).zip(&mut publishers) {
        let lines: String = (0..EACH).map(|seq| put("job", number, seq) + "\n").collect();
        publisher.send_bytes(lines.as_bytes());
    }
    broker.terminate();
    assert_clean("job", &Sent::by_each(50, EACH), Stay::Throughout, &[without_goodbye(listener.rest())]);
    for publisher in &mut publishers {
        publisher.expect_ended("shutdown");
    }
    assert_eq!(broker.until_ended().code(), Some(0));
}

/// A broker with a listener to `job` that does not read, and much that waits for it.
fn with_stalled_listener(settings: Settings) -> (Broker, Client) {
    let broker = Broker::start(settings.set("tcp.send_buffer", "16KiB").set("outbox.write_time", "60s"));
    let stalled = broker.slow_listener("job");
    let mut publisher = broker.client();
    for seq in 0..10_000 {
        publisher.send(&padded_put("job", 0, seq, 1_000));
    }
    publisher.ping();
    (broker, stalled)
}

#[test]
fn a_listener_that_reads_late_is_waited_for() {
    let _alone = alone();
    let (mut broker, mut stalled) = with_stalled_listener(settings().set("outbox.drain_time", "20s"));
    broker.terminate();
    broker.until_logged("asked to stop");
    assert_clean("job", &Sent::by_each(1, 10_000), Stay::Throughout, &[without_goodbye(stalled.rest())]);
    assert_eq!(broker.until_ended().code(), Some(0));
}

#[test]
fn a_listener_that_never_reads_is_not_waited_for_longer_than_the_drain_time() {
    let (mut broker, stalled) = with_stalled_listener(settings().set("outbox.drain_time", "300ms"));
    let start = Instant::now();
    broker.terminate();
    assert_eq!(broker.until_ended().code(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(3), "it took {:?}", start.elapsed());
    drop(stalled);
}

#[test]
fn twice_cuts_it_short() {
    let (mut broker, stalled) = with_stalled_listener(settings().set("outbox.drain_time", "60s"));
    broker.terminate();
    broker.until_logged("asked to stop");
    broker.terminate();
    let start = Instant::now();
    assert_eq!(broker.until_ended().code(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(2), "it took {:?}", start.elapsed());
    drop(stalled);
}

#[test]
fn nobody_connects_any_more() {
    let (mut broker, mut stalled) = with_stalled_listener(settings().set("outbox.drain_time", "20s"));
    broker.terminate();
    until("it listens no more", || (!broker.accepts()).then_some(()));
    stalled.rest();
    assert_eq!(broker.until_ended().code(), Some(0));
}

#[test]
fn an_idle_broker_stops_at_once() {
    let mut broker = Broker::start(settings());
    let start = Instant::now();
    broker.terminate();
    assert_eq!(broker.until_ended().code(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(2), "it took {:?}", start.elapsed());
}
