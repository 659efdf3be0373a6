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
    for round in 0..3 {
        node.say(format!("before {round}")).await;
        server.kill();
        node.append(format!("while it is away {round}"));
        let reason = node.is_away().await;
        assert!(reason.contains("nodes.nats"), "{reason}");
        server.restart();
        assert_eq!(node.record().await.1, format!("while it is away {round}").into_bytes());
        node.is_back().await;
    }
    let mut late = Node::on(&server.settings());
    for round in 0..3 {
        for what in ["before", "while it is away"] {
            assert_eq!(late.record().await.1, format!("{what} {round}").into_bytes());
        }
    }
    node.say("the end").await;
    assert_eq!(late.record().await.1, b"the end");
}

#[tokio::test]
async fn it_goes_on_when_a_frozen_server_does() {
    let Some(server) = Server::start() else { return };
    let mut node = Node::begun(&server.settings()).await;
    node.say("before").await;
    server.freeze(true);
    // It is sent again and again, on a connection that takes it, and each is stored.
    node.append("meanwhile");
    node.is_away().await;
    server.freeze(false);
    assert_eq!(node.record().await.1, b"meanwhile");
    node.is_back().await;
    node.say("behind").await;
}

#[tokio::test]
async fn it_begins_when_the_server_is_there() {
    let Some(mut server) = Server::start() else { return };
    server.kill();
    let mut node = Node::on(&server.settings());
    let reason = node.is_away().await;
    assert!(reason.contains(&format!("127.0.0.1:{}", server.port())) && reason.contains("nodes.nats"), "{reason}");
    node.append("early");
    server.restart();
    assert_eq!(node.record().await.1, b"early");
}

#[tokio::test]
async fn a_full_log_refuses_and_goes_on_when_it_has_forgotten() {
    let Some(server) = Server::start() else { return };
    let mut node = Node::begun(&server.settings().log(ByteSize(1 << 20))).await;
    // There is room for two of them, and twice for the first, whether it was stored again by itself or not.
    let last = node.say(vec![0; 510 << 10]).await;
    node.append_again(vec![0; 510 << 10]);
    assert_eq!(node.untaken().await.0, last + 1);
    node.append(vec![1; 510 << 10]);
    loop {
        let reason = node.is_away().await;
        if reason.contains("full") && reason.contains("nodes.log") {
            break;
        }
    }
    node.keep(last, &[b"the first"], last);
    assert_eq!(node.kept().await, Ok(last));
    node.is_back().await;
    assert_eq!(node.record().await.1, vec![1; 510 << 10]);
}

#[tokio::test]
async fn what_a_server_refuses_is_told_with_the_setting() {
    let Some(server) = Server::with(&["--user", "me", "--pass", "right"]) else { return };
    let settings = |password: &str| server.settings().credentials(server.file("credentials", &format!("me:{password}\n")));
    let reason = Node::on(&settings("wrong")).is_away().await;
    assert!(reason.contains("nodes.credentials") && !reason.contains("wrong"), "{reason}");
    Node::begun(&settings("right")).await;
    let reason = Node::on(&settings("right").replicas(3).space("more".to_owned())).is_away().await;
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
    assert_eq!(deaf.record().await.1, b"heard");
    deaf.append("not answered");
    deaf.is_away().await;
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
    node.is_away().await;
    node.append("nobody hears it");
    node.ended().await;
}
