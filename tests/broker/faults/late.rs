//! The broker itself is late, as when its machine was suspended or had no time for it: no client is blamed for that.

use std::time::Duration;

use crate::checker::{Sent, Stay, assert_clean, padded_put};
use crate::harness::{Broker, Client, alone, is_end, settings, watch};

/// Longer than every time limit that the broker is given below.
const PAUSE: Duration = Duration::from_secs(2);

const PING: &[u8] = b"{\"action\":\"ping\"}\n";

// Seen to fail: with clocks that are read before the sockets are. Both were closed with `limit`.
#[test]
fn a_first_line_that_was_on_its_way_is_taken() {
    let _alone = alone();
    let broker = Broker::start(settings().set("limits.first_line_time", "1s"));
    let (begun, rest) = PING.split_at(8);
    let mut during = broker.client();
    let mut after = broker.client();
    during.send_bytes(begun);
    after.send_bytes(begun);
    // So that it knows that they have begun.
    let mut other = broker.client();
    other.ping();
    other.ping();
    broker.while_stopped(|| {
        during.send_bytes(rest);
        watch(PAUSE, || {});
    });
    // The one has said all before the broker went on, and the other has its time once more.
    after.send_bytes(rest);
    during.expect(r#"{"action":"pong"}"#);
    after.expect(r#"{"action":"pong"}"#);
    // A third one is slow while the broker is not late.
    let mut slow = broker.client();
    slow.send_bytes(begun);
    slow.expect_ended("limit");
}

const MESSAGES: u32 = 10_000;

/// A broker with a drain time of a second, and a listener to `job` for which 10 MB wait.
fn with_much_waiting() -> (Broker, Client) {
    let settings = settings().set("tcp.send_buffer", "16KiB").set("outbox.write_time", "60s").set("outbox.drain_time", "1s");
    let broker = Broker::start(settings);
    let listener = broker.slow_listener("job");
    let mut publisher = broker.client();
    for seq in 0..MESSAGES {
        publisher.send(&padded_put("job", 0, seq, 1_000));
    }
    publisher.ping();
    (broker, listener)
}

/// Asserts that the listener was sent all that waited for it, and the farewell.
#[track_caller]
fn assert_all_and_farewell(mut lines: Vec<String>) {
    let last = lines.pop().expect("at least the farewell");
    assert!(is_end(&last, "shutdown"), "{} of {MESSAGES} messages, then {last}", lines.len());
    assert_clean("job", &Sent::by_each(1, MESSAGES), Stay::Throughout, &[lines]);
}

// Seen to fail: with a drain time that runs while the process stands still. The file ended in the midst of a message.
#[test]
fn a_drain_goes_on_after_a_pause() {
    let _alone = alone();
    let (mut broker, mut listener) = with_much_waiting();
    broker.terminate();
    broker.until_logged("asked to stop");
    let mut lines = listener.next_lines(1_000);
    broker.while_stopped(|| watch(PAUSE, || {}));
    lines.extend(listener.rest());
    assert_all_and_farewell(lines);
    assert_eq!(broker.until_ended().code(), Some(0));
}

// Seen to fail: with a drain time that takes no notice of progress. The file ended in the midst of a message.
#[test]
fn a_drain_goes_on_as_long_as_something_is_taken() {
    let _alone = alone();
    let (mut broker, mut listener) = with_much_waiting();
    broker.terminate();
    broker.until_logged("asked to stop");
    // A little at each glance, for longer than the drain time, then all the rest.
    let mut lines = Vec::new();
    watch(Duration::from_millis(1_700), || {
        if lines.len() < 6_000 {
            lines.extend(listener.next_lines(4));
        }
    });
    assert!(lines.len() < MESSAGES as usize, "the listener was not slow at all");
    lines.extend(listener.rest());
    assert_all_and_farewell(lines);
    assert_eq!(broker.until_ended().code(), Some(0));
}
