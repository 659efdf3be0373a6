//! nodes: which brokers have one space of streams.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::nats::Server;
use crate::screen::Terminal;
use crate::{Broker, assert_fails, program, text};

fn node(nats: &Server, name: &str) -> Broker {
    let mut serve = program(&["serve", "--listen", "127.0.0.1:0", "--nats", &nats.address()]);
    serve.env("MSGSTREAM_NODES__NAME", name).env("MSGSTREAM_NODES__LEASE", "3s");
    Broker::serve(serve)
}

fn json(broker: &Broker) -> Vec<Value> {
    broker.ok(&["nodes", "--json"]).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Waits until a node tells this of all.
fn until(broker: &Broker, what: &str, is_so: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        let nodes = json(broker);
        if is_so(&nodes) {
            return nodes;
        }
        assert!(Instant::now() < end, "{what}: {nodes:?}");
    }
}

#[test]
fn all_nodes_are_listed_by_any_of_them() {
    let Some(nats) = Server::start() else { return };
    let north = node(&nats, "north");
    until(&north, "it is there", |nodes| nodes.len() == 1);
    let mut south = node(&nats, "south");
    let nodes = until(&south, "both are there", |nodes| nodes.iter().filter(|node| node["version"] != "").count() == 2);
    let names: Vec<_> = nodes.iter().map(|node| node["node"].as_str().unwrap()).collect();
    assert_eq!((names, &nodes[0]["keeps"], &nodes[1]["keeps"]), (vec!["north", "south"], &true.into(), &false.into()));
    assert_eq!(nodes[0]["addresses"], serde_json::json!([north.address]));

    let shown = south.ok(&["nodes"]);
    let rows: Vec<Vec<&str>> = shown.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["node", "version", "up", "for", "clients", "listeners", "messages", "keeper", "addresses"]);
    assert_eq!((rows[1][0], rows[1][1], rows[1][7], rows[1][8]), ("north", env!("CARGO_PKG_VERSION"), "yes", &*north.address), "{shown}");
    assert_eq!((rows[2][0], rows[2][7]), ("south", &*south.address), "{shown}");

    let (code, narrow) = Terminal::start(&north.command(&["nodes"]), 10, 60).end();
    let lines: Vec<_> = narrow.lines().filter(|line| !line.is_empty()).collect();
    assert_eq!((code, lines.len()), (Some(0), 3), "{narrow}");
    assert!(lines[1].starts_with("north ") && lines[1].contains(" yes") && !narrow.contains(&north.address), "{narrow}");

    south.stop();
    let nodes = until(&north, "one is gone", |nodes| nodes.len() == 1);
    assert_eq!(nodes[0]["node"], "north");
}

#[test]
fn the_directory_says_which_nodes_listeners_are_on() {
    let Some(nats) = Server::start() else { return };
    let [north, south] = ["north", "south"].map(|name| node(&nats, name));
    until(&south, "both are there", |nodes| nodes.len() == 2);
    north.ok(&["header", "s", "1"]);
    let listening = [north.listen(&["s"]), south.listen(&["s"]), south.listen(&["s"])];
    let entry = |broker: &Broker| serde_json::from_str::<Value>(broker.ok(&["streams", "--json", "s"]).trim()).unwrap();
    let until = |wanted: Value, listeners: u64| {
        for broker in [&north, &south] {
            let end = Instant::now() + Duration::from_secs(30);
            while entry(broker)["nodes"] != wanted {
                assert!(Instant::now() < end, "{}", entry(broker));
            }
            assert_eq!(entry(broker)["listeners"], listeners);
        }
    };
    until(serde_json::json!({"north": 1, "south": 2}), 3);
    let [mut first, others @ ..] = listening;
    first.child.kill().and_then(|()| first.child.wait()).unwrap();
    until(serde_json::json!({"south": 2}), 2);
    north.ok(&["close", "s"]);
    others.into_iter().for_each(|listening| assert_eq!(listening.end().0, Some(0)));
}

#[test]
fn a_broker_that_is_no_node_says_so() {
    let mut broker = Broker::start();
    for more in [&["nodes"][..], &["nodes", "--json"]] {
        let output = broker.output(more);
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(1), ""));
        assert_eq!(text(&output.stderr), "msgstream: this broker is on its own: nodes.nats is not set\n");
    }
    broker.ok(&["header", "s", "1"]);
    assert!(!broker.ok(&["streams", "--json"]).contains("nodes"));
    broker.stop();
    assert_fails(&broker.output(&["nodes"]), 69, "cannot connect to");
}
