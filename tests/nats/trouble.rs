//! Servers that are killed, that are not there, and that refuse.

use msgstream::units::ByteSize;
use tokio::time::timeout;

use crate::node::{LONGEST, Node};
use crate::proxy::Proxy;
use crate::server::Server;

#[tokio::test]
async fn it_goes_on_when_a_killed_server_is_back() {
    let Some(mut server) = Server::start() else { return };
    let mut node = Node::begun(&server.settings()).await;
    for round in 0..3_u64 {
        assert_eq!(node.say(format!("before {round}")).await, 2 * round + 1);
        server.kill();
        node.append(format!("while it is away {round}"));
        let reason = node.away().await.unwrap();
        assert!(reason.contains("nodes.nats"), "{reason}");
        server.restart();
        assert_eq!(node.record().await, (2 * round + 2, format!("while it is away {round}").into_bytes()));
        assert_eq!(node.away().await, None);
    }
    let mut late = Node::on(&server.settings());
    for sequence in 1..=6 {
        assert_eq!(late.record().await.0, sequence);
    }
    node.say("the end").await;
    assert_eq!(late.record().await, (7, b"the end".to_vec()));
}

#[tokio::test]
async fn it_goes_on_when_a_frozen_server_does() {
    let Some(server) = Server::start() else { return };
    let mut node = Node::begun(&server.settings()).await;
    node.say("before").await;
    server.freeze(true);
    // It is sent again and again, on a connection that takes it, and each is stored.
    node.append("meanwhile");
    assert!(node.away().await.is_some());
    server.freeze(false);
    assert_eq!(node.record().await, (2, b"meanwhile".to_vec()));
    assert_eq!(node.away().await, None);
    assert!(node.say("behind").await > 2);
}

#[tokio::test]
async fn it_begins_when_the_server_is_there() {
    let Some(mut server) = Server::start() else { return };
    server.kill();
    let mut node = Node::on(&server.settings());
    let reason = node.away().await.unwrap();
    assert!(reason.contains(&format!("127.0.0.1:{}", server.port())) && reason.contains("nodes.nats"), "{reason}");
    node.append("early");
    server.restart();
    loop {
        // The order of these is not the same each time: they are of different parts.
        if node.record().await.1 == b"early" {
            break;
        }
    }
}

#[tokio::test]
async fn a_full_log_refuses_and_goes_on_when_it_has_forgotten() {
    let Some(server) = Server::start() else { return };
    let mut node = Node::begun(&server.settings().log(ByteSize(1 << 20))).await;
    for _ in 1..=5 {
        node.say(vec![0; 200 << 10]).await;
    }
    node.append(vec![1; 200 << 10]);
    let reason = node.away().await.unwrap();
    assert!(reason.contains("full") && reason.contains("nodes.log"), "{reason}");
    node.keep(5, &[b"five"], 5);
    assert_eq!(node.kept().await, Ok(5));
    assert_eq!(node.away().await, None);
    assert_eq!(node.record().await, (6, vec![1; 200 << 10]));
}

#[tokio::test]
async fn what_a_server_refuses_is_told_with_the_setting() {
    let Some(server) = Server::with(&["--user", "me", "--pass", "right"]) else { return };
    let settings = |password: &str| server.settings().credentials(server.file("credentials", &format!("me:{password}\n")));
    let reason = Node::on(&settings("wrong")).away().await.unwrap();
    assert!(reason.contains("nodes.credentials") && !reason.contains("wrong"), "{reason}");
    Node::begun(&settings("right")).await;
    let reason = Node::on(&settings("right").replicas(3).space("more".to_owned())).away().await.unwrap();
    assert!(reason.contains("nodes.replicas"), "{reason}");
}

/// Whoever is not answered may be with a leader that the others have given up, and what such a one sends is not true.
#[tokio::test]
async fn nothing_is_read_while_nothing_is_answered() {
    let Some(mut server) = Server::start() else { return };
    let users = r#"no_auth_user: all
        authorization: { users: [
            { user: all, password: all },
            { user: deaf, password: deaf, permissions: { publish: { deny: "msgstream.lab.log" }, subscribe: ">" } }
        ] }"#;
    let users = server.file("users.conf", users);
    server.kill();
    let Some(server) = Server::with(&["-c", users.to_str().unwrap()]) else { return };
    let mut deaf = Node::begun(&server.settings().credentials(server.file("credentials", "deaf:deaf\n"))).await;
    let mut other = Node::begun(&server.settings()).await;
    other.say("heard").await;
    assert_eq!(deaf.record().await, (1, b"heard".to_vec()));
    deaf.append("not answered");
    assert!(deaf.away().await.is_some());
    timeout(LONGEST, async { while server.senders().await.1.len() > 1 {} }).await.expect("it reads on");
    other.say("not heard").await;
    assert!(!deaf.has_more());
}

#[tokio::test]
async fn everything_ends_with_the_way() {
    let Some(server) = Server::start() else { return };
    let proxy = Proxy::to(server.port()).await;
    let settings = proxy.settings();
    Node::begun(&settings).await.ended().await;
    let mut node = Node::begun(&settings).await;
    proxy.cut();
    assert!(node.away().await.is_some());
    node.append("nobody hears it");
    node.ended().await;
}
