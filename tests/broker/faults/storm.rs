//! Connections that come and go, in every manner there is.

use crate::checker::{Sent, Stay, assert_clean, put};
use crate::harness::{Broker, alone, settings, until};

// Seen to fail: with connections that end and are not forgotten (descriptors).
#[test]
fn a_storm_of_connections_leaves_nothing_behind() {
    let _alone = alone();
    let mut broker = Broker::start(settings());
    let mut listener = broker.listener("steady");
    let mut publisher = broker.client();
    publisher.ping();
    let fds = broker.fds();

    storm(&broker, 1_000);
    until("the first storm is over", || (broker.fds() == fds).then_some(()));
    let rss = broker.rss();
    for seq in 0..20 {
        publisher.send(&put("steady", 0, seq));
        storm(&broker, 200);
    }
    until("the storm is over", || (broker.fds() == fds).then_some(()));
    let grown = broker.rss().saturating_sub(rss);
    assert!(grown < rss / 20 + (1 << 20), "{grown} bytes more than before, which were {rss}");

    publisher.ping();
    assert_clean("steady", &Sent::by_each(1, 20), Stay::Throughout, &[listener.arrived()]);
    publisher.ask(r#"{"action":"put","stream":"storm","message":1,"receipt":1}"#, r#"{"action":"receipt","receipt":1,"listeners":0}"#);
    broker.assert_well();
}

fn storm(broker: &Broker, count: usize) {
    for kind in (0..6).cycle().take(count) {
        let mut client = broker.client();
        match kind {
            0 => {}
            1 => client.reset(),
            2 => client.send(r#"{"action":"listen","stream":"storm"}"#),
            3 => {
                client.send(r#"{"action":"listen","stream":"storm"}"#);
                client.reset();
            }
            4 => client.send_bytes(br#"{"action":"put","stream":"storm","mess"#),
            _ => client.ping(),
        }
    }
}
