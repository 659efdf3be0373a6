//! Publishers that die in the middle of a line.

use crate::checker::{Sent, Stay, assert_clean, put};
use crate::harness::{Broker, settings, until};

/// A publisher says two lines and a part of a third, then ends in the given way; the listener gets the two.
fn torn(part: &[u8], reset: bool) {
    let broker = Broker::start(settings());
    let mut listener = broker.listener("job");
    let fds = broker.fds();
    let mut publisher = broker.client();
    publisher.send(&put("job", 0, 0));
    publisher.send(&put("job", 0, 1));
    publisher.ping();
    publisher.send_bytes(part);
    if reset {
        publisher.reset();
    } else {
        drop(publisher);
    }
    // Only once the broker has seen the end is there nothing more to come of it.
    until("the publisher's connection is closed", || (broker.fds() == fds).then_some(()));
    assert_clean("job", &Sent::by_each(1, 2), Stay::Throughout, &[listener.arrived()]);
}

#[test]
fn a_part_of_a_line_is_never_delivered() {
    let line = put("job", 0, 2);
    for length in [1, 2, line.len() / 2, line.len() - 1] {
        for reset in [false, true] {
            torn(&line.as_bytes()[..length], reset);
        }
    }
}

// Seen to fail: with a reset taken for an end of file.
#[test]
fn a_whole_line_without_its_end_does_not_count_after_a_reset() {
    // A reset says nothing about whether the line was meant to end here.
    torn(put("job", 0, 2).as_bytes(), true);
}

#[test]
fn a_large_part_of_a_line_is_never_delivered() {
    let line = format!(r#"{{"action":"put","stream":"job","message":"{}"#, "x".repeat(1 << 20));
    torn(line.as_bytes(), false);
    torn(line.as_bytes(), true);
}
