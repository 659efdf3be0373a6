//! Thousands of connections that listen and say nothing.

use std::time::{Duration, Instant};

use crate::harness::{Broker, Client, alone, descriptors_for, settings, until};

/// What one idle listener may cost, in bytes, in a debug build too.
const PER_LISTENER: usize = 2 << 10;

// Seen to fail: with 4 KiB more for each connection.
#[test]
fn nine_thousand_idle_listeners_cost_little_and_disturb_nobody() {
    let _alone = alone();
    let broker = Broker::start(settings());
    let count = descriptors_for(9_000);
    // The first connections pay for what all share.
    let fds = broker.fds();
    drop(listeners(&broker, 200));
    until("the first ones are gone", || (broker.fds() == fds).then_some(()));
    let rss = broker.rss();

    let mut idle = listeners(&broker, count);
    assert!(broker.fds() >= fds + count, "{} of {count} connections are there", broker.fds() - fds);
    let each = broker.rss().saturating_sub(rss) / count;
    assert!(each < PER_LISTENER, "{each} bytes for each of {count} idle listeners");

    // The best of some: a busy machine is slow now and then, a broker that looks at all its connections is always so.
    let served = (0..5).map(|_| {
        let start = Instant::now();
        broker.client().ping();
        start.elapsed()
    });
    let served = served.min().unwrap();
    assert!(served < Duration::from_millis(50), "a new client was served after {served:?}");

    let mut publisher = broker.client();
    publisher.ask(
        r#"{"action":"put","stream":"job","message":1,"receipt":1}"#,
        &format!(r#"{{"action":"receipt","receipt":1,"listeners":{count}}}"#),
    );
    for client in &mut idle {
        client.expect(r#"{"action":"put","stream":"job","message":1}"#);
    }
    drop(idle);
    until("all are gone", || (broker.fds() <= fds + 1).then_some(()));
    publisher.ask(r#"{"action":"put","stream":"job","message":2,"receipt":2}"#, r#"{"action":"receipt","receipt":2,"listeners":0}"#);
}

fn listeners(broker: &Broker, count: usize) -> Vec<Client> {
    let mut clients: Vec<_> = (0..count).map(|_| broker.client()).collect();
    for client in &mut clients {
        client.send(r#"{"action":"listen","stream":"job","receipt":1}"#);
    }
    for client in &mut clients {
        client.expect(r#"{"action":"receipt","receipt":1,"state":"waiting"}"#);
    }
    clients
}
