//! Very many listeners are cut off at once.

use crate::checker::padded_put;
use crate::harness::{Broker, Client, alone, settings, until};

const LISTENERS: usize = 300;

/// What the log says of those that are not logged one by one: how many they were, each time.
fn not_logged(log: &[String]) -> usize {
    let lines = log.iter().filter(|line| line.contains("not logged one by one"));
    lines.map(|line| count(line).unwrap_or_else(|| panic!("how many were they? {line}"))).sum()
}

/// The field `count` of a line of the log.
fn count(line: &str) -> Option<usize> {
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    let count = line.get("count").or_else(|| line.get("fields")?.get("count"))?;
    count.as_u64()?.try_into().ok()
}

// Seen to fail: with a line for each. There were 300 of them.
#[test]
fn a_flood_of_cuts_does_not_flood_the_log() {
    let _alone = alone();
    let settings = settings().short_lines(4 << 10).set("outbox.limit", "16KiB").set("tcp.send_buffer", "16KiB");
    let mut broker = Broker::start(settings.set("outbox.write_time", "60s").set("outbox.drain_time", "60s"));
    let mut publisher = broker.client();
    let _stalled: Vec<Client> = (0..LISTENERS).map(|_| broker.slow_listener("job")).collect();
    let message = padded_put("job", 0, 0, 4_000);
    let put = format!(r#"{},"receipt":1}}"#, message.strip_suffix('}').unwrap());
    until("all are cut off", || {
        publisher.send(&put);
        publisher.next().contains(r#""listeners":0"#).then_some(())
    });
    let one_by_one = |log: &[String]| log.iter().filter(|line| line.contains("listener cut off")).count();
    // The rest is told a while later. It is no matter by what a broker notices that the while is over, so it is kept awake.
    until("each cut is in the log, by itself or in a sum", || {
        publisher.ping();
        let log = broker.log();
        (one_by_one(&log) + not_logged(&log) == LISTENERS).then_some(())
    });
    let lines = one_by_one(&broker.log());
    assert!(lines < LISTENERS / 3, "{lines} lines for {LISTENERS} listeners that were cut off");
    broker.assert_well();
}
