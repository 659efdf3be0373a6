//! Very many streams that have ended, and connections that end with very many listens.

use std::time::Duration;

use crate::harness::{Broker, Client, alone, settings, until, watch};

/// Sends lines a block at a time, and returns what was answered.
fn answers_to(client: &mut Client, lines: impl Iterator<Item = String>) -> Vec<String> {
    let lines: Vec<String> = lines.map(|line| line + "\n").collect();
    let answers = |some: &[String]| {
        client.send_bytes(some.concat().as_bytes());
        client.arrived()
    };
    lines.chunks(200).flat_map(answers).collect()
}

/// Pings again and again, and returns the processor's time that the broker took meanwhile: for the ping that waited for most of it,
/// and for all.
fn work_beside(broker: &Broker, bystander: &mut Client) -> (Duration, Duration) {
    let process = broker.process();
    let begin = process.exact_cpu();
    let mut before = begin;
    let each = (0..300).map(|_| {
        bystander.ping();
        let now = process.exact_cpu();
        now - std::mem::replace(&mut before, now)
    });
    let most = each.max().expect("some pings");
    (most, before - begin)
}

// Seen to fail: with names that count for nothing. It grew by 27 MB.
#[test]
fn the_names_of_ended_streams_have_the_limit_of_headers() {
    let _alone = alone();
    let mut broker = Broker::start(settings().set("limits.headers_total", "1MiB"));
    let mut client = broker.client();
    let name = |number: usize| format!("{number:x>1000}");
    let close = |number: usize| format!(r#"{{"action":"close","stream":"{}"}}"#, name(number));
    client.ping();
    let rss = broker.rss();
    let refused = answers_to(&mut client, (0..20_000).map(close));
    let grown = broker.rss().saturating_sub(rss);
    assert!(grown < 10 << 20, "{grown} bytes more memory for 20,000 ended streams, with a limit of 1 MiB");
    // What is refused is refused for that. A broker that forgot some instead would have to refuse nothing.
    for answer in &refused {
        assert!(answer.contains(r#""code":"limit""#) && answer.contains("limits.headers_total"), "{answer}");
    }
    // The first is known to have ended, and goes on to be.
    client.ask(&format!(r#"{{"action":"listen","stream":"{}"}}"#, name(0)), &close(0));
    client.expect_silence();
    broker.assert_well();
}

// Seen to fail: with all of them forgotten in one go. One ping waited for 94 % of the work.
#[test]
fn ended_streams_that_expire_at_once() {
    let _alone = alone();
    const TIME: Duration = Duration::from_secs(3);
    let mut broker = Broker::start(settings().set("limits.ended_time", "3s"));
    let mut client = broker.client();
    let refused = answers_to(&mut client, (0..100_000).map(|number| format!(r#"{{"action":"close","stream":"job/{number}"}}"#)));
    assert!(refused.is_empty());
    let mut bystander = broker.client();
    bystander.ping();
    // Their time passes while the broker can forget none of them.
    broker.while_stopped(|| watch(TIME + Duration::from_millis(100), || {}));
    let (most, all) = work_beside(&broker, &mut bystander);
    assert!(most < all / 2, "one ping waited for {most:?} of the broker's work, all took {all:?}");
    until("the last of them is forgotten", || {
        client.send(r#"{"action":"listen","stream":"job/99999","receipt":1}"#);
        client.arrived().contains(&r#"{"action":"receipt","receipt":1,"state":"waiting"}"#.to_owned()).then_some(())
    });
    broker.assert_well();
}

// Seen to fail: with all listens of a connection, and all connections of a mailbox, forgotten in one go. One ping waited for 96 % of
// the work.
#[test]
fn connections_that_die_with_thousands_of_listens_each() {
    let _alone = alone();
    const LISTENS: usize = 60_000;
    let mut broker = Broker::start(settings().set("limits.listens", LISTENS));
    let mut bystander = broker.client();
    bystander.ping();
    let fds = broker.fds();
    let listens = |number: usize| format!(r#"{{"action":"listen","stream":"job/{number}"}}"#);
    let mut clients: Vec<_> = (0..3).map(|_| broker.client()).collect();
    for client in &mut clients {
        answers_to(client, (0..LISTENS).map(listens));
    }
    broker.while_stopped(|| clients.drain(..).for_each(Client::reset));
    let (most, all) = work_beside(&broker, &mut bystander);
    assert!(most < all / 2, "one ping waited for {most:?} of the broker's work, all took {all:?}");
    until("all are gone", || (broker.fds() == fds).then_some(()));
    bystander.ask(r#"{"action":"put","stream":"job/7","message":1,"receipt":1}"#, r#"{"action":"receipt","receipt":1,"listeners":0}"#);
    broker.assert_well();
}
