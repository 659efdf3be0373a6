//! Three servers that keep the log together.

use std::time::Duration;

use msgstream::broker::NodesSettings;
use tokio::time::{sleep, timeout};

use crate::node::{LONGEST, Node};
use crate::server::Server;

#[tokio::test]
async fn the_leader_may_be_killed() {
    let Some(mut servers) = Server::cluster() else { return };
    let settings = NodesSettings::on(servers.iter().map(Server::address)).space("lab".to_owned()).replicas(3);
    let (mut node, mut other) = (Node::begun(&settings).await, Node::on(&settings));
    // Before there is a snapshot to begin with.
    other.begins().await;
    for number in 1..=20 {
        node.say(number.to_string()).await;
    }
    let info = servers[0].ask("STREAM.INFO.msgstream-lab", "").await;
    let leader = servers.iter().position(|server| info["cluster"]["leader"] == server.name()).unwrap();
    servers[leader].kill();
    let mut last = 0;
    for number in 21..=40 {
        last = node.say(number.to_string()).await;
    }
    node.keep(last, &[b"forty"], 0);
    while node.kept().await != Ok(last) {
        node.keep(last, &[b"forty"], 0);
    }
    servers[leader].restart();
    for number in 1..=40 {
        assert_eq!(other.record().await.1, number.to_string().into_bytes());
    }
}

/// A consumer that is given to a server that is down is never there: nobody answers.
#[tokio::test]
async fn another_consumer_is_asked_for_at_once() {
    let Some(mut server) = Server::start() else { return };
    // Nobody answers here, either: what asks for one is sent elsewhere.
    let mappings = server.file("held.conf", "mappings { \"$JS.API.CONSUMER.CREATE.msgstream-lab\": \"held\" }");
    server.kill();
    let Some(server) = Server::with(&["-c", mappings.to_str().unwrap()]) else { return };
    let mut all = server.listen(">").await;
    let _node = Node::on(&server.settings());
    let mut asked = Vec::new();
    while asked.iter().filter(|what| *what == "a consumer").count() < 2 {
        match String::from_utf8_lossy(&all.next().await) {
            said if said.contains("deliver_subject") => asked.push("a consumer".to_owned()),
            said if said == "{}" => asked.push("how the log is".to_owned()),
            _ => {}
        }
    }
    assert_eq!(asked[asked.len() - 2..], ["a consumer", "a consumer"], "{asked:?}");
}

/// Another copy of the log may hold what most servers never agreed to: a node that read one was deaf to another node for ever.
#[tokio::test]
async fn a_node_reads_from_the_server_that_leads() {
    let Some(servers) = Server::cluster() else { return };
    let settings = NodesSettings::on(servers.iter().map(Server::address)).space("lab".to_owned()).replicas(3);
    let mut node = Node::begun(&settings).await;
    let mut led = None;
    for record in ["one", "two", "three"] {
        node.say(record).await;
        // Of three servers, it may have found the right one by chance; hardly three times.
        timeout(LONGEST, async {
            loop {
                let (leader, senders) = servers[0].senders().await;
                if leader.is_some() && leader != led && senders == [leader.clone()] {
                    led = leader;
                    break;
                }
            }
        })
        .await
        .expect("another server sends");
        servers[0].ask("STREAM.LEADER.STEPDOWN.msgstream-lab", "").await;
    }
    node.say("the end").await;
}

/// Copies of the log may differ where another began to lead.
#[tokio::test]
async fn another_leader_is_told() {
    let Some(servers) = Server::cluster() else { return };
    let settings = NodesSettings::on(servers.iter().map(Server::address)).space("lab".to_owned()).replicas(3);
    let mut node = Node::begun(&settings).await;
    let stand = node.say_some(3).await;
    let ends = async {
        loop {
            // The new leader may give it back before anybody has looked.
            servers[0].try_to_ask("STREAM.LEADER.STEPDOWN.msgstream-lab", "").await;
            sleep(Duration::from_secs(10)).await;
        }
    };
    let led = async {
        // One of them may have begun to lead before.
        while node.led().await < stand[2] {}
    };
    tokio::select! {
        () = ends => {}
        () = led => {}
    }
    node.say("the end").await;
}

#[tokio::test]
async fn without_most_servers_it_is_away() {
    let Some(mut servers) = Server::cluster() else { return };
    let settings = NodesSettings::on([servers[0].address()]).space("lab".to_owned()).replicas(3);
    let mut node = Node::on(&settings);
    node.say("with all").await;
    servers[1].kill();
    servers[2].kill();
    node.append("with one");
    node.is_away().await;
    servers[1].restart();
    assert_eq!(node.record().await.1, b"with one");
    let mut late = Node::on(&settings);
    assert_eq!((late.record().await.1, late.record().await.1), (b"with all".to_vec(), b"with one".to_vec()));
}
