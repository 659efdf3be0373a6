//! Listeners that read, and get very much at once.

use crate::checker::{Sent, Stay, assert_clean, padded_put, put};
use crate::harness::{Broker, settings};

// Seen to fail: before the socket was tried first. Messages of one read travel together, and together they were over the limit.
#[test]
fn a_burst_larger_than_the_limit_does_not_cut_off_a_listener_that_reads() {
    // Each message is small beside the limit, and the listener's queue is empty: only how many come in one write is large.
    let broker = Broker::start(settings().short_lines(4 << 10).set("outbox.limit", "16KiB"));
    let mut listener = broker.listener("job");
    let mut publisher = broker.client();
    let burst: String = (0..1_000).map(|seq| put("job", 0, seq) + "\n").collect();
    publisher.send_bytes(burst.as_bytes());
    publisher.ping();
    assert_clean("job", &Sent::by_each(1, 1_000), Stay::Throughout, &[listener.arrived()]);
}

#[test]
fn large_messages_reach_every_listener_whole() {
    let broker = Broker::start(settings());
    let mut listeners: Vec<_> = (0..4).map(|_| broker.listener("job")).collect();
    let mut publisher = broker.client();
    let lines: Vec<_> = (0..3).map(|seq| padded_put("job", 0, seq, 3 << 20)).collect();
    std::thread::scope(|scope| {
        scope.spawn(|| lines.iter().for_each(|line| publisher.send(line)));
        for listener in &mut listeners {
            scope.spawn(|| assert!(lines.iter().all(|line| listener.next() == *line)));
        }
    });
}
