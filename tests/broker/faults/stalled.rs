//! Listeners that do not read, or read slowly.

use std::thread;
use std::time::{Duration, Instant};

use crate::checker::{Sent, Stay, assert_clean, padded_put};
use crate::harness::{Broker, Client, Settings, alone, is_end, settings, until, watch};

/// Small queues, and a kernel that hides little of who reads.
fn small_queues() -> Settings {
    settings().short_lines(64 << 10).set("outbox.limit", "1MiB").set("tcp.send_buffer", "16KiB")
}

/// One message of about a kilobyte, with a receipt.
fn publish(publisher: &mut Client, seq: u32) -> String {
    let put = padded_put("job", 0, seq, 1000);
    publisher.send(&format!(r#"{},"receipt":1}}"#, put.strip_suffix('}').unwrap()));
    publisher.next()
}

/// Publishes until the receipt says that so many listeners are left; returns the number of the next message.
fn publish_until(publisher: &mut Client, mut seq: u32, listeners: usize) -> u32 {
    let receipt = format!(r#"{{"action":"receipt","receipt":1,"listeners":{listeners}}}"#);
    until("a listener is cut off", || {
        let reached = publish(publisher, seq) == receipt;
        seq += 1;
        reached.then_some(seq)
    })
}

/// The time within which 99 of 100 messages were taken.
fn p99(publisher: &mut Client, seqs: std::ops::Range<u32>) -> Duration {
    let mut times: Vec<_> = seqs
        .map(|seq| {
            let start = Instant::now();
            publish(publisher, seq);
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[times.len() * 99 / 100 - 1]
}

/// Reads what a listener was sent before it was cut off for being slow: an unbroken beginning, then the reason. Returns how
/// many messages it got.
fn prefix_then_reason(mut client: Client, stay: Stay, sent: u32, setting: &str) -> usize {
    let mut lines = client.rest();
    let last = lines.pop().unwrap();
    assert!(is_end(&last, "slow_listener") && last.contains(setting), "the last line was {last}");
    assert_clean("job", &Sent::by_each(1, sent), stay, std::slice::from_ref(&lines));
    lines.len()
}

// Seen to fail: with the cut at the limit taken out of the outbox, with what waits dropped at the cut, and with no reason
// queued behind it.
#[test]
fn one_stops_reading_and_the_others_go_on() {
    let _alone = alone();
    const LATER: u32 = 12_000;
    let broker = Broker::start(small_queues().set("outbox.write_time", "60s").set("outbox.drain_time", "20s"));
    let mut publisher = broker.client();
    let good: Vec<_> = (0..3).map(|_| broker.listener("job")).collect();
    thread::scope(|scope| {
        let listen = |mut client: Client| {
            let go_on = |line: &String| !line.contains(r#""action":"close""#);
            move || std::iter::from_fn(|| Some(client.next()).filter(go_on)).collect::<Vec<_>>()
        };
        let listening: Vec<_> = good.into_iter().map(|client| scope.spawn(listen(client))).collect();
        let before = p99(&mut publisher, 0..500);
        let rss = broker.rss();

        let stalled = broker.slow_listener("job");
        let cut = publish_until(&mut publisher, 500, 3);
        let waited = (cut - 500) as usize * 1000;
        assert!((900 << 10..3 << 20).contains(&waited), "cut off when {waited} bytes waited, the limit being 1 MiB");
        broker.until_logged("listener cut off");
        let during = p99(&mut publisher, cut..cut + 500);
        assert!(during < 2 * before + Duration::from_millis(20), "publishing takes {during:?}, {before:?} before");

        // Much more than any queue may hold; nothing of it is kept for the one that was cut off.
        for seq in cut + 500..LATER {
            publish(&mut publisher, seq);
        }
        let grown = broker.rss().saturating_sub(rss);
        assert!(grown < 8 << 20, "{grown} bytes more memory, with one queue of 1 MiB");

        let got = prefix_then_reason(stalled, Stay::Between, LATER, "outbox.limit");
        assert!(got >= (cut - 500) as usize - 200, "of {} messages that were queued only {got} arrived", cut - 500);
        publisher.send(r#"{"action":"close","stream":"job"}"#);
        let lines: Vec<_> = listening.into_iter().map(|listening| listening.join().unwrap()).collect();
        assert_clean("job", &Sent::by_each(1, LATER), Stay::Throughout, &lines);
    });
}

// Seen to fail: without the drain time.
#[test]
fn one_that_never_reads_again_is_given_up() {
    let broker = Broker::start(small_queues().set("outbox.write_time", "60s").set("outbox.drain_time", "300ms"));
    let mut publisher = broker.client();
    publisher.ping();
    let fds = broker.fds();
    let stalled = broker.slow_listener("job");
    publish_until(&mut publisher, 0, 0);
    until("its connection is closed", || (broker.fds() == fds).then_some(()));
    publisher.ping();
    drop(stalled);
}

// Seen to fail: before a blocked outbox woke its task at the end, the drain time began when the write time was over.
#[test]
fn one_that_takes_its_leave_and_does_not_read_is_given_up_too() {
    let broker = Broker::start(small_queues().set("outbox.write_time", "60s").set("outbox.drain_time", "300ms"));
    let mut publisher = broker.client();
    publisher.ping();
    let fds = broker.fds();
    let mut stalled = broker.slow_listener("job");
    // Far below the limit, and more than the kernel holds.
    for seq in 0..600 {
        publish(&mut publisher, seq);
    }
    stalled.send(r#"{"action":"close"}"#);
    until("its connection is closed", || (broker.fds() == fds).then_some(()));
    publisher.ping();
}

// Seen to fail: without the write time.
#[test]
fn one_that_takes_nothing_is_cut_off_after_the_write_time() {
    let broker = Broker::start(small_queues().set("outbox.write_time", "300ms").set("outbox.drain_time", "20s"));
    let mut publisher = broker.client();
    let stalled = broker.slow_listener("job");
    // Far below the limit, and more than the kernel holds.
    for seq in 0..400 {
        publish(&mut publisher, seq);
    }
    let sent = until("it is cut off", {
        let (mut seq, publisher) = (400, &mut publisher);
        move || {
            let receipt = publish(publisher, seq);
            seq += 1;
            assert!(seq < 900, "its queue must not be full");
            receipt.contains(r#""listeners":0"#).then_some(seq)
        }
    });
    prefix_then_reason(stalled, Stay::CutShort, sent, "outbox.write_time");
}

// Seen to fail: with a write time that runs on although something was sent.
#[test]
fn one_that_reads_slowly_is_not_cut_off() {
    let broker = Broker::start(small_queues().set("outbox.limit", "16MiB").set("outbox.write_time", "1s"));
    let mut publisher = broker.client();
    let mut slow = broker.slow_listener("job");
    for seq in 0..4_000 {
        publish(&mut publisher, seq);
    }
    // A little at each glance, for longer than the write time: it makes progress, if not much.
    let mut lines = Vec::new();
    watch(Duration::from_millis(2_500), || {
        if lines.len() < 3_000 {
            lines.extend(slow.next_lines(4));
        }
    });
    let left = 4_000 - lines.len();
    lines.extend(slow.next_lines(left));
    assert_clean("job", &Sent::by_each(1, 4_000), Stay::Throughout, &[lines]);
    slow.expect_silence();
}
