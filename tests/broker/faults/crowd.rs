//! A thousand listeners stall at once: only the limit over all queues protects the memory then.

use crate::checker::{Sent, Stay, assert_clean, padded_put, put};
use crate::harness::{Broker, Client, alone, is_end, settings, until};

const STALLED: usize = 1_000;
const ROUNDS: u32 = 8;

/// More than the kernel takes in one piece with so little room, so that most are sent in part when their queue is cut.
const MESSAGE: usize = 24 << 10;

// Seen to fail: with the limit over all queues never applied (memory), with a queue that is dropped in the midst of a message
// (the line that comes out of it), and before memory was given back while the broker is idle.
#[test]
fn a_thousand_stalled_listeners_share_one_limit() {
    let _alone = alone();
    let broker = Broker::start(
        settings()
            .short_lines(64 << 10)
            .set("replay.stream", "0")
            .set("outbox.limit", "1MiB")
            .set("outbox.total", "32MiB")
            .set("outbox.write_time", "60s")
            .set("outbox.drain_time", "60s")
            .set("tcp.send_buffer", "8KiB"),
    );
    let mut good = broker.listener("good");
    let mut publisher = broker.client();
    publisher.ping();
    let fds = broker.fds();
    // A stream each: on one stream they would share each message, and nothing would pile up.
    let stalled: Vec<Client> = (0..STALLED).map(|number| broker.slow_listener(&number.to_string())).collect();
    let rss = broker.rss();
    let mut most = 0;
    for round in 0..ROUNDS {
        for number in 0..STALLED {
            publisher.send(&padded_put(&number.to_string(), 0, round, MESSAGE));
            most = if number % 50 == 0 { most.max(broker.rss()) } else { most };
        }
        publisher.send(&put("good", 0, round));
        publisher.ping();
    }
    most = most.max(broker.rss());
    let grown = most - rss;
    // Memory that was given back and not yet reused counts too, hence the room above the limit.
    assert!(grown < 64 << 20, "{grown} bytes more memory, with a limit of 32 MiB over all queues");
    broker.until_logged("outbox_total");
    assert_clean("good", &Sent::by_each(1, ROUNDS), Stay::Throughout, &[good.arrived()]);

    let mut cut = 0;
    for (number, mut client) in stalled.into_iter().enumerate() {
        // The queue of one that was not cut off is still sent: it need not be asked what it has.
        if number % 10 != 0 {
            continue;
        }
        publisher.send(&format!(r#"{{"action":"close","stream":"{number}"}}"#));
        let mut lines = Vec::new();
        let ended = format!(r#"{{"action":"close","stream":"{number}"}}"#);
        loop {
            let line = client.next();
            if line == ended {
                break;
            }
            if is_end(&line, "slow_listener") {
                assert!(line.contains("outbox.total"), "{line}");
                client.expect_eof();
                cut += 1;
                break;
            }
            lines.push(line);
        }
        assert_clean(&number.to_string(), &Sent::by_each(1, ROUNDS), Stay::CutShort, &[lines]);
    }
    assert!(cut > 0, "none of those that were read again had been cut off");
    until("their connections are closed", || (broker.fds() == fds).then_some(()));
    until("the memory is given back", || {
        publisher.ping();
        (broker.rss() < rss + (16 << 20)).then_some(())
    });
}
