//! What a node cannot go on from.

use crate::node::Node;
use crate::proxy::Proxy;
use crate::server::Server;

#[tokio::test]
async fn a_node_that_was_away_for_too_long_is_over() {
    let Some(server) = Server::start() else { return };
    let proxy = Proxy::to(server.port()).await;
    let (mut node, mut other) = (Node::begun(&proxy.settings()).await, Node::begun(&server.settings()).await);
    let before = other.say_some(3).await;
    while node.record().await.0 < before[2] {}
    proxy.cut();
    node.is_away().await;
    let stand = other.say_some(3).await;
    other.keep(stand[2], &[b"six"], stand[1]);
    assert_eq!(other.kept().await, Ok(stand[2]));
    proxy.heal();
    let reason = node.over().await;
    assert!(reason.contains("away for so long") && reason.contains("start it again"), "{reason}");
    node.ended().await;
}

#[tokio::test]
async fn a_log_without_its_beginning_is_over() {
    let Some(server) = Server::start() else { return };
    let mut node = Node::begun(&server.settings()).await;
    node.say_some(3).await;
    server.ask("STREAM.PURGE.msgstream-lab", r#"{"seq": 3}"#).await;
    let reason = Node::on(&server.settings()).over().await;
    assert!(reason.contains("no snapshot") && reason.contains("nats stream rm msgstream-lab"), "{reason}");
    // Who has read it goes on.
    node.say("another record").await;
}

#[tokio::test]
async fn a_deleted_log_is_over() {
    let Some(server) = Server::start() else { return };
    let mut node = Node::begun(&server.settings()).await;
    node.say("a record").await;
    server.ask("STREAM.DELETE.msgstream-lab", "").await;
    let reason = node.over().await;
    assert!(reason.contains("gone from NATS") && reason.contains("start all nodes again"), "{reason}");
}

#[tokio::test]
async fn a_log_that_was_made_anew_is_over() {
    let Some(server) = Server::start() else { return };
    let mut node = Node::on(&server.settings());
    let (log, _) = node.begins().await;
    node.say("a record").await;
    server.ask("STREAM.DELETE.msgstream-lab", "").await;
    let (another, _) = Node::on(&server.settings()).begins().await;
    assert_ne!(log, another);
    let reason = node.over().await;
    assert!(reason.contains("made anew"), "{reason}");
}

#[tokio::test]
async fn snapshots_of_another_log_are_over() {
    let Some(server) = Server::start() else { return };
    let mut node = Node::begun(&server.settings()).await;
    node.say("a record").await;
    node.keep(1, &[b"one"], 0);
    assert_eq!(node.kept().await, Ok(1));
    server.ask("STREAM.DELETE.msgstream-lab", "").await;
    let reason = Node::on(&server.settings()).over().await;
    assert!(reason.contains("of another log") && reason.contains("nats stream rm msgstream-lab-state"), "{reason}");
}

#[tokio::test]
async fn a_snapshot_that_is_not_whole_is_over() {
    let Some(server) = Server::start() else { return };
    let mut node = Node::begun(&server.settings()).await;
    node.say("a record").await;
    node.keep(1, &[b"one", b"two"], 1);
    assert_eq!(node.kept().await, Ok(1));
    server.ask("STREAM.PURGE.msgstream-lab-state", r#"{"filter": "msgstream.lab.state.piece.*.1"}"#).await;
    let reason = Node::on(&server.settings()).over().await;
    assert!(reason.contains("not whole"), "{reason}");
}
