//! What a node tells of itself and of the others.

use std::time::Duration;

use msgstream::broker::{NodesSettings, Server, Settings};
use tokio::time::timeout;

use super::broker::Broker;
use super::nats;

fn start(nodes: &NodesSettings) -> Broker {
    let settings = Settings::default();
    let server = Server::bind(&["127.0.0.1:0".parse().unwrap()], &settings).unwrap().with_nodes(nodes, &settings).unwrap();
    let (metrics, addresses) = (server.metrics(), server.addresses().iter().map(ToString::to_string).collect());
    tokio::spawn(server.run(std::future::pending(), std::future::pending()));
    Broker { metrics, tokens: None, addresses }
}

#[tokio::test]
async fn one_that_has_never_heard_the_others_is_cut_off() {
    // Nobody listens there: it is for a service of the system that nobody has had for decades.
    let node = start(&NodesSettings::on(["nats://127.0.0.1:1"]));
    let figures = node.figures();
    assert!(figures.get("msgstream_node_cut_off_seconds") > 0.0);
    assert_eq!([figures.get("msgstream_nodes"), figures.get("msgstream_store_kept")], [0.0, 1.0]);
}

const OWN: &str = "msgstream_log_records_total{from=\"this_node\"}";
const OTHERS: &str = "msgstream_log_records_total{from=\"others\"}";
const OWN_BYTES: &str = "msgstream_log_bytes_total{from=\"this_node\"}";
const OTHERS_BYTES: &str = "msgstream_log_bytes_total{from=\"others\"}";

#[tokio::test]
async fn each_reads_what_all_of_them_say() {
    let Some(server) = nats::Server::start() else { return };
    let [north, south] = ["north", "south"].map(|name| start(&server.settings().name(name.to_owned())));
    for node in [&north, &south] {
        node.until("msgstream_nodes", 2.0).await;
        node.until("msgstream_node_cut_off_seconds", 0.0).await;
    }
    let before = south.figures();
    let mut publisher = north.connect().await;
    for _ in 0..5 {
        // A record of its own each, since the receipt comes when the message has come back.
        publisher.say(&format!("{{\"action\":\"put\",\"stream\":\"s\",\"message\":\"{}\",\"receipt\":1}}\n", "x".repeat(10_000))).await;
        publisher.hear("}}\n").await;
    }
    let mut listener = south.connect().await;
    listener.say("{\"action\":\"listen\",\"stream\":\"s\",\"last\":5,\"receipt\":1}\n").await;
    // It waits for what this node has heard last, if that is some time ago; it may be before the last message, but not the others.
    listener.hear("\"receipt\"").await;
    let more = |name: &str| south.figure(name) - before.get(name);
    let comes = async {
        while more(OTHERS_BYTES) < 50_000.0 {
            listener.ping().await;
        }
    };
    assert!(timeout(Duration::from_secs(30), comes).await.is_ok(), "{:?} {:?}", north.figures(), south.figures());
    assert!(more(OTHERS) >= 5.0 && more(OWN_BYTES) < 10_000.0, "{:?}", south.figures());
    assert!(north.figure(OWN_BYTES) > 50_000.0 && north.figure(OWN) >= 5.0, "{:?}", north.figures());
    assert!(north.figure(OTHERS_BYTES) > 0.0 && north.figure(OTHERS_BYTES) < 10_000.0, "{:?}", north.figures());
}
