//! Publishers that are held back by a listener that is too full, each with the test that showed a fault. `Was:` says what happened then.

use std::time::Duration;

use msgstream::broker::{Policy, Settings};
use msgstream::units::{ByteSize, Span};
use tokio::time::{Instant, timeout};

use super::found::settings;
use super::{Broker, flood, hold, put};

fn throttle() -> Settings {
    let mut settings = settings();
    settings.outbox.policy = Policy::Throttle;
    settings.outbox.write_time = Span::from_secs(1000);
    settings
}

/// Was: a finishing outbox that still holds publishers back spins for ever when the throttle time is up: `cut`
/// refuses, nothing is released, the clock stays expired, and as it is the earliest no other clock is ever looked at.
#[tokio::test(start_paused = true)]
async fn a_listener_that_ends_while_it_holds_publishers_back_is_let_go() {
    let broker = Broker::start(&throttle());
    let (listener, publisher) = (broker.listener("s").await, broker.connect());
    listener.room(0);
    flood(&publisher);
    tokio::time::sleep(Duration::from_secs(27)).await;
    listener.end_of_file();
    for _ in 0..40 {
        tokio::time::advance(Duration::from_secs(1)).await;
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        if listener.is_closed() {
            return;
        }
    }
    panic!("forty seconds later the connection is still there, and its task spins");
}

/// Was: who has left holds nobody back.
#[tokio::test(start_paused = true)]
async fn a_listener_that_has_left_holds_nobody_back() {
    let broker = Broker::start(&throttle());
    let (listener, publisher) = (broker.listener("s").await, broker.connect());
    listener.room(0);
    hold(&publisher).await;
    let began = Instant::now();
    listener.line(r#"{"action":"close"}"#);
    let text = publisher.until(|bytes| bytes.ends_with(b"{\"action\":\"pong\"}\n")).await;
    assert_eq!(text, "{\"action\":\"pong\"}\n");
    assert_eq!(began.elapsed().as_secs(), 0, "the publisher waits for somebody who listens to nothing any more");
}

/// Was: only the end of its connection let the publishers go.
#[tokio::test(start_paused = true)]
async fn a_listener_that_hangs_up_or_is_dismissed_holds_nobody_back() {
    for leave in [r#"{"action":"hangup"}"#, r#"{"action":"hangup","stream":"s"}"#, r#"{"action":"close","stream":"s"}"#] {
        let broker = Broker::start(&throttle());
        let (listener, publisher, other) = (broker.listener("s").await, broker.connect(), broker.connect());
        listener.room(0);
        hold(&publisher).await;
        let began = Instant::now();
        let who = if leave.contains("close") { &other } else { &listener };
        who.line(leave);
        let text = publisher.until(|bytes| bytes.ends_with(b"{\"action\":\"pong\"}\n")).await;
        assert_eq!(text, "{\"action\":\"pong\"}\n");
        assert_eq!(began.elapsed().as_secs(), 0, "the publisher waits for somebody who does not listen any more: {leave}");
    }
}

/// A listener cannot have its time begin anew by hanging up on something else.
#[tokio::test(start_paused = true)]
async fn a_full_listener_that_hangs_up_elsewhere_holds_on_for_its_time() {
    let broker = Broker::start(&throttle());
    let (listener, publisher) = (broker.listener("s").await, broker.connect());
    listener.line(r#"{"action":"listen","stream":"t"}"#);
    assert_eq!(listener.ping().await, "");
    listener.room(0);
    let began = Instant::now();
    flood(&publisher);
    tokio::time::sleep(Duration::from_secs(20)).await;
    listener.line(r#"{"action":"hangup","stream":"t"}"#);
    assert!(timeout(Duration::from_secs(9), publisher.ping()).await.is_err(), "it listens still, and is full");
    publisher.until(|bytes| bytes.ends_with(b"\n")).await;
    assert_eq!(began.elapsed().as_secs(), 30);
}

/// Was: publishers that were held back had read as much as if they were not, whatever had been read by all.
#[tokio::test(start_paused = true)]
async fn what_publishers_sent_that_are_held_back_is_within_its_limit() {
    const LIMIT: usize = 2 << 20;
    const PUBLISHERS: usize = 100;
    let mut settings = throttle();
    settings.limits.unfinished_lines = ByteSize(LIMIT);
    let broker = Broker::start(&settings);
    let (listener, bystander) = (broker.listener("s").await, broker.connect());
    listener.room(0);
    let publishers: Vec<_> = (0..PUBLISHERS).map(|_| broker.connect()).collect();
    for publisher in &publishers {
        publisher.flood(&put("s", "\"0123456789\""), 10);
        // What each has sent is read, and it is held back, before the next one's turn.
        for _ in 0..3 {
            assert_eq!(bystander.ping().await, "");
        }
    }
    let received = broker.context.reader.intake.received().bytes();
    // Each may have a small batch of its own beyond that.
    assert!(received <= LIMIT + PUBLISHERS * (16 << 10), "{received} bytes wait for a listener that is too full");
    listener.reset();
    for publisher in &publishers {
        publisher.end_of_file();
        publisher.rest().await;
    }
    assert_eq!(broker.context.reader.intake.received().bytes(), 0);
}

/// Was: a listener that takes everything at once is cut off by the throttle: `flush` empties its outbox and does
/// not release whom the pushes before it held.
#[tokio::test(start_paused = true)]
async fn throttle_spares_a_listener_that_takes_everything() {
    let broker = Broker::start(&throttle());
    let (listener, publisher) = (broker.listener("s").await, broker.connect());
    let message = format!("\"{}\"", "x".repeat(1200));
    publisher.line(&put("s", &message));
    let held = timeout(Duration::from_secs(10), publisher.ping()).await;
    assert!(held.is_ok(), "the publisher is held back although nothing waits");
    assert_eq!(listener.ping().await, put("s", &message) + "\n");
}

/// Was: throttle reports twice its limit as "the most allowed (outbox.limit)".
#[tokio::test(start_paused = true)]
async fn the_reason_names_the_limit_that_was_set() {
    let broker = Broker::start(&throttle());
    let (listener, publisher) = (broker.listener("s").await, broker.connect());
    listener.room(0);
    publisher.line(&put("s", "1"));
    publisher.line(r#"{"action":"ping"}"#);
    publisher.line(&put("s", &format!("\"{}\"", "x".repeat(3000))));
    publisher.until(|bytes| bytes.ends_with(b"\n")).await;
    listener.room(usize::MAX / 2);
    let text = listener.rest().await;
    assert!(text.contains("more than twice 1000 bytes"), "{text}");
}

/// Was: what had been decoded when the listener was full was applied all the same, until that was cut off.
#[tokio::test(start_paused = true)]
async fn a_publisher_is_held_back_in_the_midst_of_what_it_has_sent() {
    let broker = Broker::start(&throttle());
    let (listener, publisher) = (broker.listener("s").await, broker.connect());
    listener.room(0);
    // Two streams in turn, so that each message is a frame of its own; all of them in one read.
    let lines: String = (0..200).map(|number| put("s", &number.to_string()) + "\n" + &put("t", "0") + "\n").collect();
    publisher.send(&lines);
    let bystander = broker.connect();
    assert_eq!(bystander.ping().await, "");
    listener.room(1 << 20);
    let heard = listener.until(|bytes| bytes.ends_with(b"\"message\":199}\n")).await;
    assert_eq!(heard.lines().count(), 200, "{heard}");
    assert_eq!(publisher.ping().await, "");
}

/// Was: what stood in one read was one run, which a queue had room for or not: the listener was cut off.
#[tokio::test(start_paused = true)]
async fn one_read_of_a_publisher_does_not_overrun_a_listener() {
    let broker = Broker::start(&throttle());
    let (listener, publisher) = (broker.listener("s").await, broker.connect());
    listener.room(0);
    publisher.line(&put("s", "0"));
    assert_eq!(publisher.ping().await, "");
    let all: String = (1..200).map(|number| put("s", &number.to_string()) + "\n").collect();
    publisher.send(&all);
    assert_eq!(broker.connect().ping().await, "");
    listener.room(1 << 20);
    let heard = listener.until(|bytes| bytes.ends_with(b"\"message\":199}\n")).await;
    assert_eq!(heard, put("s", "0") + "\n" + &all);
}

/// Was: each of many publishers was held back only once it had sent something itself, so that all of them together were too much.
#[tokio::test(start_paused = true)]
async fn many_publishers_are_held_back_before_the_listener_has_too_much() {
    let broker = Broker::start(&throttle());
    let listener = broker.listener("s").await;
    listener.room(0);
    let publishers: Vec<_> = (0..100).map(|_| broker.connect()).collect();
    for (number, publisher) in publishers.iter().enumerate() {
        publisher.line(&put("s", &number.to_string()));
    }
    assert_eq!(broker.connect().ping().await, "");
    listener.room(1 << 20);
    let mut numbers: Vec<u32> = Vec::new();
    while numbers.len() < publishers.len() {
        let heard = listener.until(|bytes| bytes.ends_with(b"}\n")).await;
        assert!(!heard.contains("slow_listener"), "{heard}");
        numbers.extend(heard.lines().map(|line| line.rsplit_once(':').unwrap().1.trim_end_matches('}').parse::<u32>().unwrap()));
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (0..100).collect::<Vec<_>>());
}
