//! Clients that make the broker answer and do not read the answers.

use crate::checker::padded_put;
use crate::harness::{Broker, Client, alone, is_end, settings, until};

/// As many bad lines as one read of the broker takes, with a ping wherever they would be too many in a row.
fn bad_lines() -> Vec<u8> {
    let few = "x\n".repeat(63) + "{\"action\":\"ping\"}\n";
    few.repeat((64 << 10) / few.len()).into_bytes()
}

// Seen to fail: with answers that were made before there was room for them in the mailbox, and counted only once they waited. 20
// clients took 180 MB.
#[test]
fn what_is_answered_is_within_the_limit_over_all_queues() {
    let _alone = alone();
    /// The limit over all queues, and what the broker may take besides.
    const TOTAL: usize = 8 << 20;
    const REST: usize = 48 << 20;
    let settings = settings().short_lines(64 << 10).set("outbox.limit", "4MiB").set("outbox.total", TOTAL);
    let mut broker =
        Broker::start(settings.set("outbox.drain_time", "500ms").set("outbox.write_time", "1s").set("tcp.send_buffer", "16KiB"));
    let mut bystander = broker.client();
    bystander.ping();
    let fds = broker.fds();
    let mut clients: Vec<_> = (0..20).map(|_| broker.client()).collect();
    bystander.ping();
    let rss = broker.rss();
    let lines = bad_lines();
    broker.while_stopped(|| clients.iter_mut().for_each(|client| client.send_bytes(&lines)));
    clients.iter().for_each(Client::finish);
    // Each is cut off, or takes its leave and is given up.
    until("all of them are gone", || {
        bystander.ping();
        (broker.fds() == fds).then_some(())
    });
    let grown = broker.process().peak_rss() - rss;
    assert!(grown < TOTAL + REST, "{grown} bytes more memory at the most, with a limit of {TOTAL} over all queues");
    broker.assert_well();
}

// Seen to fail: with queues compared by their bytes. The listener was cut off, whose message was longer than all the pongs, and
// took half the memory.
#[test]
fn who_takes_the_most_memory_is_cut_off_for_the_total() {
    let _alone = alone();
    let settings = settings().short_lines(4 << 20).set("outbox.limit", "8MiB").set("outbox.total", "8MiB");
    let settings = settings.set("outbox.write_time", "60s").set("outbox.drain_time", "60s").set("tcp.send_buffer", "16KiB");
    let broker = Broker::start(settings);
    let mut listener = broker.slow_listener("job");
    let message = padded_put("job", 0, 0, 3 << 20);
    let mut publisher = broker.client();
    publisher.send(&message);
    publisher.ping();
    let mut pinging = broker.slow_listener("nothing");
    let pings = "{\"action\":\"ping\"}\n".repeat(1_000);
    until("somebody is cut off for the total", || {
        assert!(pinging.try_send_bytes(pings.as_bytes()), "who was cut off is still read from");
        publisher.ping();
        broker.log().iter().any(|line| line.contains("outbox_total")).then_some(())
    });
    // It is not the listener, which has all of its message and goes on.
    publisher.ask(r#"{"action":"put","stream":"job","message":"next","receipt":1}"#, r#"{"action":"receipt","receipt":1,"listeners":1}"#);
    listener.expect(&message);
    listener.expect(r#"{"action":"put","stream":"job","message":"next"}"#);
    listener.expect_silence();
    let last = pinging.rest().pop().expect("the reason");
    assert!(is_end(&last, "slow_listener") && last.contains("outbox.total"), "the last line was {last}");
}
