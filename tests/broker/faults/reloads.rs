//! The configuration is read again and again while clients are at work.

use crate::checker::put;
use crate::harness::{Broker, alone, settings, until};

const TIMES: u32 = 1_000;

/// Each is read, if no other signal comes first: good ones, and such that cannot be used.
const FILES: [&str; 5] = [
    "limits.streams = 1000\nlog.level = \"debug\"",
    "limits.streams = \"a few\"",
    "limits.connections = 3",
    "[limits\nstreams",
    "limits.name = \"10MiB\"\nlimits.line = \"1MiB\"",
];

// Seen to fail: with limits for which the core began anew.
#[test]
fn a_thousand_reloads_under_load_lose_nothing() {
    let _alone = alone();
    let mut broker = Broker::start(settings());
    let (mut publisher, mut listener, mut packed) = (broker.client(), broker.listener("job"), broker.packed_client());
    packed.send(r#"{"action":"listen","stream":"job"}"#);
    packed.settle();
    for time in 0..TIMES {
        broker.reload(FILES[time as usize % FILES.len()]);
        let messages: Vec<_> = (0..5).map(|seq| put("job", 0, 5 * time + seq)).collect();
        publisher.send_lines(messages.iter().map(|message| format!("{message}\n")).collect::<String>().as_bytes());
        assert_eq!(listener.next_lines(5), messages);
        let heard: Vec<_> = messages.iter().map(|message| packed.as_heard(message)).collect();
        assert_eq!(packed.next_lines(5), heard);
    }
    // Signals that come while one is at work are one signal. The last of all is read for certain.
    broker.reload("limits.streams = 2");
    let mut streams = 0;
    until("the last configuration is in force", || {
        streams += 1;
        publisher.send(&format!(r#"{{"action":"header","stream":"{streams}","message":0,"receipt":1}}"#));
        publisher.next().contains("limits.streams").then_some(())
    });
    let log = broker.log();
    assert!(log.iter().any(|line| line.contains("configuration reloaded")) && log.iter().any(|line| line.contains("stays as it was")));
    broker.reload("");
    broker.until_logged("configuration reloaded");
    broker.assert_well();
}
