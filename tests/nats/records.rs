//! What is appended is told, in order and once.

use std::time::{Duration, SystemTime};

use msgstream::internal::broker::nats::follow;
use msgstream::internal::broker::space::{LARGEST, Log, RecordId, Told};
use tokio::sync::mpsc::unbounded_channel;

use crate::node::Node;
use crate::proxy::Proxy;
use crate::server::Server;

#[tokio::test]
async fn records_come_back_in_order_to_all() {
    let Some(server) = Server::start() else { return };
    let (mut north, mut south) = (Node::on(&server.settings()), Node::on(&server.settings()));
    let (log, nothing) = north.begins().await;
    assert_eq!((nothing, south.begins().await), (None, (log, None)));
    north.caught_up().await;
    south.caught_up().await;
    for number in 1..=50_u64 {
        let node = if number % 3 == 0 { &mut south } else { &mut north };
        node.append(format!("record {number}"));
        let told = north.record().await;
        assert_eq!((south.record().await, &told.1), (told.clone(), &format!("record {number}").into_bytes()));
    }
    let mut late = Node::on(&server.settings());
    assert_eq!(late.begins().await, (log, None));
    for number in 1..=50 {
        assert_eq!(late.record().await.1, format!("record {number}").into_bytes());
    }
    late.caught_up().await;
}

#[tokio::test]
async fn spaces_do_not_see_each_other() {
    let Some(server) = Server::start() else { return };
    let (mut lab, mut other) = (Node::begun(&server.settings()).await, Node::begun(&server.settings().space("lab2".to_owned())).await);
    lab.say("of the lab").await;
    assert_eq!(other.say("of the other").await, 1);
}

#[tokio::test]
async fn a_record_has_the_time_at_which_it_was_stored() {
    let Some(server) = Server::start() else { return };
    let (tell, mut told) = unbounded_channel();
    let mut way = follow(&server.settings(), move |one| tell.send(one).is_ok()).unwrap();
    let now = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let before = now();
    way.append(RecordId { life: 1, number: 1 }, b"a".to_vec());
    loop {
        if let Told::Record { at, .. } = told.recv().await.unwrap() {
            let leeway = Duration::from_secs(10);
            assert!(before - leeway < at && at < now() + leeway, "{at:?}");
            return;
        }
    }
}

/// Seen to fail under load: a server that leaves out what it knows by name may lose count of what follows, and lacks it for ever.
#[tokio::test]
async fn a_record_is_not_named_for_nats() {
    let Some(server) = Server::start() else { return };
    let mut node = Node::begun(&server.settings()).await;
    let first = node.say("first").await;
    node.append_again("first");
    assert_eq!(node.untaken().await, (first + 1, b"first".to_vec()));
    node.say("second").await;
    let mut late = Node::on(&server.settings());
    let mut told = Vec::new();
    while told.last().is_none_or(|last| *last == b"first") {
        told.push(late.untaken().await.1);
    }
    assert!(told.len() > 2 && told.last().unwrap() == b"second", "{told:?}");
}

/// Each acknowledgement wakes the node, and what comes back from the log says the same.
#[tokio::test]
async fn nobody_acknowledges_what_comes_back_at_once() {
    let Some(server) = Server::start() else { return };
    let mut node = Node::begun(&server.settings()).await;
    node.say("the first").await;
    let mut heard = server.listen("_INBOX.>").await;
    // Nothing is known of how soon its first record comes back.
    Node::begun(&server.settings()).await.say("another first").await;
    for number in 0..20 {
        node.say(number.to_string()).await;
    }
    server.say("_INBOX.end", "the end").await;
    let mut acknowledged = 0;
    loop {
        match heard.next().await {
            end if end == b"the end" => break,
            said => acknowledged += usize::from(said.starts_with(b"{\"stream\"")),
        }
    }
    assert!((1..=20).contains(&acknowledged), "{acknowledged}");
}

#[tokio::test]
async fn the_largest_record_is_carried() {
    let Some(server) = Server::start() else { return };
    let mut node = Node::begun(&server.settings()).await;
    let record: Vec<u8> = (0..LARGEST).map(|_| fastrand::u8(..)).collect();
    node.append(record.clone());
    assert_eq!(node.record().await.1, record);
}

#[tokio::test]
async fn no_more_is_told_than_is_taken() {
    let Some(server) = Server::start() else { return };
    let (mut busy, mut slow) = (Node::begun(&server.settings()).await, Node::begun(&server.settings()).await);
    let (all, told_at_once) = (40, (16 << 20) / LARGEST as u64);
    for number in 0..all {
        busy.say(vec![number as u8; LARGEST]).await;
    }
    for sequence in 1..=told_at_once {
        assert_eq!(slow.untaken().await.0, sequence);
    }
    assert!(!slow.has_more());
    slow.way.taken(told_at_once);
    while slow.record().await.1 != vec![all as u8 - 1; LARGEST] {}
}

#[tokio::test]
async fn nothing_is_lost_or_told_twice_on_connections_that_break() {
    let Some(server) = Server::start() else { return };
    let proxy = Proxy::to(server.port()).await;
    let (mut node, mut other) = (Node::begun(&proxy.settings()).await, Node::begun(&server.settings()).await);
    for number in 1..=100_u64 {
        node.append(number.to_string());
        if number % 10 == 0 {
            proxy.cut();
            other.append(format!("other {number}"));
            proxy.heal();
        }
        while node.record().await.1 != number.to_string().into_bytes() {}
    }
    node.say("the end").await;
    let (mut numbers, mut others) = (Vec::new(), 0);
    loop {
        match String::from_utf8(other.record().await.1).unwrap() {
            end if end == "the end" => break,
            record if record.starts_with("other") => others += 1,
            record => numbers.push(record.parse::<u64>().unwrap()),
        }
    }
    assert_eq!((numbers, others), ((1..=100).collect(), 10));
}
