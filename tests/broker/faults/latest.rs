//! Listeners that want the newest message only, and are slow.

use crate::checker::padded_put;
use crate::harness::{Broker, Client, Encoding, Settings, Transport, alone, settings};

const MESSAGES: u32 = 20_000;
const SIZE: usize = 1_000;

fn narrow() -> Settings {
    settings().short_lines(32 << 10).set("outbox.limit", "64KiB").set("outbox.write_time", "60s")
}

fn listen(client: &mut Client, stream: &str) {
    client.send(&format!(r#"{{"action":"listen","stream":"{stream}","mode":"latest"}}"#));
    client.settle();
}

/// How many messages a line stands for.
fn counted(line: &str) -> u32 {
    match line.split_once(r#""action":"skipped""#) {
        Some((_, rest)) => rest.split_once(r#""messages":"#).unwrap().1.trim_end_matches('}').parse().unwrap(),
        None => 1,
    }
}

/// Reads to the end of the stream: each message that comes is the one that its count says, the last is the newest, and most were
/// skipped.
fn assert_newest(client: &mut Client, stream: &str) {
    let close = format!(r#"{{"action":"close","stream":"{stream}"}}"#);
    let (mut position, mut lines) = (0, 0);
    loop {
        let line = client.next();
        if line == close {
            break;
        }
        position += counted(&line);
        if line.contains(r#""action":"put""#) {
            assert_eq!(line, padded_put(stream, 0, position - 1, SIZE));
            lines += 1;
        }
    }
    assert_eq!(position, MESSAGES);
    // 20 MB were published. What it gets is what the kernel held, and the newest.
    assert!(lines < 60, "{lines} messages of a kilobyte were sent to one who did not read");
}

// Seen to fail: with sockets that hold as much as any other, and with the count of a message that was replaced left out.
#[test]
fn one_who_does_not_read_is_sent_the_newest_and_told_how_many_it_replaced() {
    let _alone = alone();
    let mut broker = Broker::start(narrow());
    let mut slow = broker.slow_listener("nothing");
    let mut others: Vec<_> = [(Transport::Unix, Encoding::JsonLines), (Transport::Unix, Encoding::MessagePack)]
        .into_iter()
        .map(|(transport, encoding)| broker.client_over(transport, encoding))
        .collect();
    listen(&mut slow, "job");
    others.iter_mut().for_each(|other| listen(other, "job"));
    let mut publisher = broker.client();
    for seq in 0..MESSAGES {
        publisher.send(&padded_put("job", 0, seq, SIZE));
        // Not in one run, of which it would get only the last anyway.
        if seq % 16 == 0 {
            publisher.ping();
        }
    }
    publisher.send(r#"{"action":"close","stream":"job"}"#);
    publisher.ping();
    assert_newest(&mut slow, "job");
    others.iter_mut().for_each(|other| assert_newest(other, "job"));
    broker.assert_well();
}

// Seen to fail: with what waits counted for the limit of the queue, where it was cut off.
#[test]
fn a_thousand_streams_of_one_who_does_not_read_take_one_message_each() {
    let _alone = alone();
    const STREAMS: u32 = 1_000;
    const ROUNDS: u32 = 40;
    // Without a window, so that what grows is what waits.
    let mut broker = Broker::start(narrow().set("replay.stream", 0));
    let mut slow = broker.slow_listener("nothing");
    for stream in 0..STREAMS {
        slow.send(&format!(r#"{{"action":"listen","stream":"job-{stream}","mode":"latest"}}"#));
    }
    slow.settle();
    let mut publisher = broker.client();
    let before = broker.rss();
    for round in 0..ROUNDS {
        for stream in 0..STREAMS {
            publisher.send(&padded_put(&format!("job-{stream}"), 0, round, SIZE));
        }
        publisher.ping();
    }
    // 40 MB were published.
    let grown = broker.rss().saturating_sub(before);
    let mut positions = vec![0; STREAMS as usize];
    let mut newest = vec![String::new(); STREAMS as usize];
    while positions.iter().any(|position| *position < ROUNDS) {
        let line = slow.next();
        let name = line.split_once(r#""stream":"job-"#).unwrap().1;
        let stream: usize = name.split_once('"').unwrap().0.parse().unwrap();
        positions[stream] += counted(&line);
        newest[stream] = line;
    }
    for (stream, line) in newest.iter().enumerate() {
        assert_eq!(*line, padded_put(&format!("job-{stream}"), 0, ROUNDS - 1, SIZE));
        assert_eq!(positions[stream], ROUNDS);
    }
    slow.expect_silence();
    assert!(grown < 16 << 20, "{grown} bytes");
    broker.assert_well();
}
