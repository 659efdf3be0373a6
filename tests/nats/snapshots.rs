//! Snapshots, from which others begin.

use msgstream::internal::broker::space::{LARGEST, Snapshot};
use serde_json::Value;

use crate::node::Node;
use crate::server::Server;

fn snapshot(cut: u64, pieces: &[&[u8]]) -> Option<Snapshot> {
    Some(Snapshot { cut, pieces: pieces.iter().map(|piece| piece.to_vec()).collect() })
}

async fn state(server: &Server, stream: &str) -> Value {
    server.ask(&format!("STREAM.INFO.{stream}"), "").await["state"].clone()
}

#[tokio::test]
async fn a_newcomer_begins_with_what_was_kept() {
    let Some(server) = Server::start() else { return };
    let mut node = Node::begun(&server.settings()).await;
    let stand = node.say_some(10).await;
    let (large, cut) = (vec![7; LARGEST], stand[7]);
    node.keep(cut, &[b"one", &large, b""], stand[4]);
    assert_eq!(node.kept().await, Ok(cut));
    assert_eq!(state(&server, "msgstream-lab").await["first_seq"], stand[4] + 1);
    let mut late = Node::on(&server.settings());
    assert_eq!(late.begins().await.1, snapshot(cut, &[b"one", &large, b""]));
    assert_eq!(late.untaken().await.0, cut + 1);
    late.caught_up().await;
    let next = node.say("next").await;
    assert!(next > stand[9]);
    while late.record().await != (next, b"next".to_vec()) {}
}

#[tokio::test]
async fn a_newcomer_begins_behind_a_snapshot_of_all() {
    let Some(server) = Server::start() else { return };
    let mut node = Node::begun(&server.settings()).await;
    let cut = node.say_some(3).await[2];
    node.keep(cut, &[], cut);
    assert_eq!(node.kept().await, Ok(cut));
    let mut late = Node::on(&server.settings());
    assert_eq!(late.begins().await.1, snapshot(cut, &[]));
    late.caught_up().await;
    let next = node.say("next").await;
    while late.record().await != (next, b"next".to_vec()) {}
}

#[tokio::test]
async fn an_older_snapshot_replaces_none() {
    let Some(server) = Server::start() else { return };
    let (mut north, mut south) = (Node::begun(&server.settings()).await, Node::begun(&server.settings()).await);
    north.say_some(5).await;
    north.keep(4, &[b"four"], 2);
    assert_eq!(north.kept().await, Ok(4));
    south.keep(3, &[b"three"], 3);
    assert_eq!(south.kept().await, Ok(4));
    south.keep(4, &[b"also four"], 3);
    assert_eq!(south.kept().await, Ok(4));
    south.keep(5, &[b"five", b"and more"], 3);
    assert_eq!(south.kept().await, Ok(5));
    assert_eq!(Node::on(&server.settings()).begins().await.1, snapshot(5, &[b"five", b"and more"]));
    // The pieces of the last one, and its head.
    assert_eq!(state(&server, "msgstream-lab-state").await["messages"], 3);
}

// Seen to fail: what was stored of snapshots that failed stayed, as long as none was kept.
#[tokio::test]
async fn nothing_is_left_of_a_snapshot_that_is_not_kept() {
    let Some(server) = Server::start() else { return };
    let mut node = Node::begun(&server.settings()).await;
    node.say("a record").await;
    node.keep(1, &[b"small", &vec![0; 2 << 20]], 0);
    let refused = node.kept().await.unwrap_err();
    assert!(refused.contains("max_payload"), "{refused}");
    assert_eq!(state(&server, "msgstream-lab-state").await["messages"], 0);
    node.keep(1, &[b"one"], 0);
    assert_eq!(node.kept().await, Ok(1));
}

// Seen to fail: all pieces of it were stored, and stayed.
#[tokio::test]
async fn nothing_is_left_of_a_snapshot_whose_head_is_refused() {
    let Some(server) = Server::start() else { return };
    let mut node = Node::begun(&server.settings()).await;
    node.say("a record").await;
    let mut config = server.ask("STREAM.INFO.msgstream-lab-state", "").await["config"].take();
    config["max_msg_size"] = 20.into();
    let updated = server.ask("STREAM.UPDATE.msgstream-lab-state", &config.to_string()).await;
    assert_eq!(updated["config"]["max_msg_size"], 20, "{updated}");
    node.keep(1, &[b"one", b"two"], 0);
    let refused = node.kept().await.unwrap_err();
    assert!(refused.contains("size"), "{refused}");
    assert_eq!(state(&server, "msgstream-lab-state").await["messages"], 0);
}

#[tokio::test]
async fn one_snapshot_is_stored_at_a_time() {
    let Some(server) = Server::start() else { return };
    let mut node = Node::begun(&server.settings()).await;
    node.say("a record").await;
    node.keep(1, &[b"one"], 0);
    node.keep(1, &[b"one"], 0);
    let refused = node.kept().await.unwrap_err();
    assert!(refused.contains("still being stored"), "{refused}");
    assert_eq!(node.kept().await, Ok(1));
}

#[tokio::test]
async fn of_snapshots_at_the_same_time_the_newest_stays_whole() {
    let Some(server) = Server::start() else { return };
    let mut nodes = Vec::new();
    for _ in 0..3 {
        nodes.push(Node::begun(&server.settings()).await);
    }
    nodes[0].say_some(60).await;
    for cut in (1..=58).step_by(3) {
        for (node, cut) in nodes.iter_mut().zip(cut..) {
            let content = cut.to_string();
            node.keep(cut, &[content.as_bytes(); 4], cut - 1);
        }
        for (node, cut) in nodes.iter_mut().zip(cut..) {
            assert!(node.kept().await.unwrap() >= cut);
        }
        let newest = (cut + 2).to_string();
        assert_eq!(Node::on(&server.settings()).begins().await.1, snapshot(cut + 2, &[newest.as_bytes(); 4]));
    }
    assert_eq!(state(&server, "msgstream-lab-state").await["messages"], 5);
    assert_eq!(state(&server, "msgstream-lab").await["first_seq"], 60);
}
