//! Rules of the contract that need counting or a clock, and so no transcript.

use crate::harness::{Broker, settings, until};

const BAD: &str = "nonsense";

#[test]
fn the_64th_bad_line_in_a_row_is_the_last() {
    let broker = Broker::start(settings());
    let mut client = broker.client();
    for _ in 0..63 {
        client.send(BAD);
        client.expect_code("bad_json");
    }
    // A good line begins the count again.
    client.ping();
    client.send_bytes(format!("{BAD}\n").repeat(64).as_bytes());
    for _ in 0..64 {
        client.expect_code("bad_json");
    }
    client.expect_ended("too_many_errors");
}

#[test]
fn blank_lines_are_neither_good_nor_bad() {
    let broker = Broker::start(settings().set("limits.errors_in_a_row", 2));
    let mut client = broker.client();
    client.send_bytes(b"\n\r\n\n\n");
    client.ping();
    client.send_bytes(format!("{BAD}\n\n\n{BAD}\n").as_bytes());
    client.expect_code("bad_json");
    client.expect_code("bad_json");
    client.expect_ended("too_many_errors");
}

#[test]
fn a_receipt_has_256_bytes_at_most() {
    let broker = Broker::start(settings());
    let mut client = broker.client();
    // The quotes are part of it.
    let longest = "r".repeat(254);
    client.ask(&format!(r#"{{"action":"ping","receipt":"{longest}"}}"#), &format!(r#"{{"action":"pong","receipt":"{longest}"}}"#));
    client.send(&format!(r#"{{"action":"ping","receipt":"{longest}r"}}"#));
    client.expect_code("limit");
    client.send(&format!(r#"{{"action":"ping","receipt":{}}}"#, "1".repeat(257)));
    client.expect_code("limit");
    client.ping();
}

#[test]
fn an_ended_stream_is_forgotten_after_its_time() {
    let broker = Broker::start(settings().set("limits.ended_time", "200ms"));
    let mut client = broker.client();
    client.send(r#"{"action":"header","stream":"job","message":1}"#);
    client.ask(r#"{"action":"close","stream":"job","receipt":1}"#, r#"{"action":"receipt","receipt":1,"listeners":0}"#);
    client.send(r#"{"action":"listen","stream":"job"}"#);
    client.expect(r#"{"action":"put","stream":"job","message":1}"#);
    client.expect(r#"{"action":"close","stream":"job"}"#);
    until("the stream is forgotten", || {
        client.send(r#"{"action":"listen","stream":"job","receipt":2}"#);
        let first = client.next();
        if first == r#"{"action":"receipt","receipt":2,"state":"waiting"}"# {
            return Some(());
        }
        // Whole until it is gone: never the header without the end.
        assert_eq!(first, r#"{"action":"put","stream":"job","message":1}"#);
        client.expect(r#"{"action":"receipt","receipt":2,"state":"ended","header":true}"#);
        client.expect(r#"{"action":"close","stream":"job"}"#);
        None
    });
}

#[test]
fn a_reopened_stream_is_not_forgotten_with_its_former_end() {
    let broker = Broker::start(settings().set("limits.ended_time", "100ms"));
    let mut client = broker.client();
    client.send(r#"{"action":"close","stream":"job"}"#);
    client.send(r#"{"action":"header","stream":"job","message":1}"#);
    // A second one that ends later shows when the first one's time has certainly passed.
    client.send(r#"{"action":"close","stream":"clock"}"#);
    until("the later one is forgotten", || {
        client.send(r#"{"action":"listen","stream":"clock","receipt":1}"#);
        match client.next().as_str() {
            r#"{"action":"receipt","receipt":1,"state":"waiting"}"# => Some(()),
            receipt => {
                assert_eq!(receipt, r#"{"action":"receipt","receipt":1,"state":"ended","header":false}"#);
                client.expect(r#"{"action":"close","stream":"clock"}"#);
                None
            }
        }
    });
    client.send(r#"{"action":"listen","stream":"job","receipt":2}"#);
    client.expect(r#"{"action":"put","stream":"job","message":1}"#);
    client.expect(r#"{"action":"receipt","receipt":2,"state":"running"}"#);
}

#[test]
fn a_connection_that_ends_makes_room_for_another() {
    let broker = Broker::start(settings().set("limits.connections", 2));
    let mut first = broker.client();
    let mut second = broker.client();
    first.ping();
    second.ping();
    broker.client().expect_ended("limit");
    drop(second);
    until("there is room again", || {
        let mut third = broker.client();
        // The broker may be quicker to refuse than this is to speak: then the line breaks off instead.
        third.try_send_bytes(b"{\"action\":\"ping\"}\n");
        third.line_or_break().ok().flatten().filter(|line| line == r#"{"action":"pong"}"#)
    });
    first.ping();
}

#[test]
fn all_headers_together_have_a_limit() {
    let broker = Broker::start(settings().set("limits.header", "64KiB").set("limits.headers_total", "64KiB"));
    let mut client = broker.client();
    let message = "x".repeat(10 << 10);
    let mut stored = 0;
    loop {
        client.send(&format!(r#"{{"action":"header","stream":"{stored}","message":"{message}","receipt":1}}"#));
        let line = client.next();
        if line.contains("error") {
            assert!(line.contains(r#""code":"limit""#) && line.contains("limits.headers_total"), "{line}");
            break;
        }
        stored += 1;
        assert!(stored <= 6, "{stored} headers of 10 KiB in 64 KiB");
    }
    assert!(stored >= 4, "only {stored} headers of 10 KiB in 64 KiB");
    // An end is never refused, and what is deleted makes room.
    client.ask(r#"{"action":"close","stream":"0","receipt":2}"#, r#"{"action":"receipt","receipt":2,"listeners":0}"#);
    client.ask(r#"{"action":"delete","stream":"0","receipt":3}"#, r#"{"action":"receipt","receipt":3,"listeners":0}"#);
    client
        .ask(&format!(r#"{{"action":"header","stream":"new","message":"{message}","receipt":4}}"#), r#"{"action":"receipt","receipt":4}"#);
}
