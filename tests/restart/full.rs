//! A store that cannot grow for a while, as on a full disk.

use std::io::{Read, Write};
use std::net::TcpStream;

use rustix::process::{Resource, Rlimit, prlimit};
use serde_json::{Value, json};

use crate::broker::{Broker, Client, Place, told_port};

/// What the broker says at an HTTP address.
pub(crate) fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

pub(crate) fn limit_files(broker: &Broker, most: Option<u64>) {
    prlimit(Some(broker.pid()), Resource::Fsize, Rlimit { current: most, maximum: None }).unwrap();
}

fn header(name: &str, length: usize, receipt: &str) -> String {
    format!(r#"{{"action":"header","stream":"{name}","message":"{}","receipt":"{receipt}","durable":true}}"#, "x".repeat(length))
}

#[test]
fn a_full_disk_never_stops_the_broker_and_heals() {
    let place = Place::new("full");
    let port_file = place.path().join("http-port");
    std::fs::write(place.path().join("settings.toml"), format!("[http]\nport_file = {:?}\n", port_file)).unwrap();
    let settings = place.path().join("settings.toml");
    let mut broker = Broker::start_with(&place, 0, &["--http", "127.0.0.1:0", "--config", settings.to_str().unwrap()]);
    let mut client = Client::connect(broker.port);
    client.say(&header("before", 10, "before"));
    assert_eq!(client.hear()["receipt"], json!("before"));
    let size = std::fs::metadata(place.path().join("store.redb")).unwrap().len();
    limit_files(&broker, Some(size));
    client.say(&header("much", 500_000, "much"));
    let logged = broker.wait_for("what changes is not kept beyond a restart");
    assert!(logged.contains("store.redb"), "{logged}");
    // All else goes on.
    let mut listener = Client::connect(broker.port);
    listener.say(r#"{"action":"listen","stream":"much","receipt":1}"#);
    assert_eq!((listener.hear()["action"].clone(), listener.hear()["state"].clone()), (json!("put"), json!("running")));
    client.say(r#"{"action":"put","stream":"much","message":1,"receipt":"put"}"#);
    assert_eq!(client.hear()["receipt"], json!("put"), "a receipt that is not to be durable waits for nothing");
    assert_eq!(listener.hear()["message"], json!(1));
    let http = format!("127.0.0.1:{}", told_port(&port_file));
    let health: Value = serde_json::from_str(&get(&http, "/healthz")).unwrap();
    assert_eq!(health["status"], json!("ok"), "a restart would not help");
    assert!(health["store"]["reason"].as_str().unwrap().contains("store.redb"), "{health}");
    let metrics = get(&http, "/metrics");
    let failing = metrics.lines().find_map(|line| line.strip_prefix("msgstream_store_failing_seconds ")).unwrap();
    assert!(failing.parse::<f64>().unwrap() > 0.0, "{failing}");

    limit_files(&broker, None);
    assert_eq!(client.hear()["receipt"], json!("much"));
    broker.wait_for("the store can be written again");
    assert_eq!(get(&http, "/healthz").trim(), r#"{"status":"ok"}"#);
    broker.kill();

    let broker = Broker::start(&place, 0);
    let mut listener = Client::connect(broker.port);
    listener.say(r#"{"action":"listen","stream":"much"}"#);
    assert_eq!(listener.hear()["message"].as_str().unwrap().len(), 500_000);
    broker.stop();
}
