//! Connections that begin a first line and do not end it.

use crate::harness::{Broker, alone, descriptors_for, settings};

const LINE: &str = r#"{"action":"ping"}"#;

// Seen to fail, like the others here: without the time for the first line.
#[test]
fn thousands_of_unfinished_first_lines_are_closed_and_told() {
    let _alone = alone();
    let broker = Broker::start(settings().set("limits.first_line_time", "1s"));
    let mut listener = broker.listener("job");
    let mut publisher = broker.client();
    let mut silent = broker.client();
    let count = descriptors_for(4_000);
    let rss = broker.rss();
    let mut slow: Vec<_> = (0..count).map(|_| broker.client()).collect();
    // A byte each, again and again, until the first of them is turned away; others are served meanwhile.
    let mut sent = 0;
    while sent < LINE.len() - 1 {
        for (number, client) in slow.iter_mut().enumerate() {
            client.try_send_bytes(&LINE.as_bytes()[sent..=sent]);
            if number % 100 == 0 {
                publisher.send(r#"{"action":"put","stream":"job","message":1}"#);
                listener.expect(r#"{"action":"put","stream":"job","message":1}"#);
            }
        }
        sent += 1;
    }
    let grown = broker.rss().saturating_sub(rss);
    assert!(grown / count < 4 << 10, "{grown} bytes for {count} connections");
    for client in &mut slow {
        client.expect_ended("limit");
    }
    // One that has said nothing at all is idle, not slow, and one that is past its first line may take its time.
    silent.ping();
    publisher.ping();
    listener.expect_silence();
}

#[test]
fn only_the_first_line_is_timed() {
    let broker = Broker::start(settings().set("limits.first_line_time", "200ms"));
    let mut client = broker.client();
    client.ping();
    client.send_bytes(&LINE.as_bytes()[..5]);
    // Another one's time runs out in between.
    let mut slow = broker.client();
    slow.send_bytes(&LINE.as_bytes()[..5]);
    slow.expect_ended("limit");
    client.send_bytes(&LINE.as_bytes()[5..]);
    client.send_bytes(b"\n");
    client.expect(r#"{"action":"pong"}"#);
}

#[test]
fn blank_lines_do_not_stop_the_clock() {
    let broker = Broker::start(settings().set("limits.first_line_time", "200ms"));
    let mut slow = broker.client();
    slow.send_bytes(b"\n\n{");
    slow.expect_ended("limit");
}
