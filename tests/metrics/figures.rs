//! What is counted while all goes well.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use msgstream::broker::{MetricsFormat, Server, Settings};
use msgstream::client::RemoteStream;
use tokio::time::advance;

use super::broker::{Broker, Figures};

fn put(stream: &str, message: usize) -> String {
    format!("{{\"action\":\"put\",\"stream\":\"{stream}\",\"message\":{message}}}\n")
}

#[tokio::test]
async fn messages_bytes_and_what_is_kept() {
    let broker = Broker::start(&Settings::default());
    let (mut one, mut other, mut publisher) = (broker.connect().await, broker.connect().await, broker.connect().await);
    one.say("{\"action\":\"listen\",\"stream\":\"s\"}\n{\"action\":\"listen\",\"stream\":\"t\"}\n").await;
    other.say("{\"action\":\"listen\",\"prefix\":\"s\",\"receipt\":1}\n").await;
    one.ping().await;
    other.hear("\"receipt\"").await;
    other.ping().await;
    publisher.say("{\"action\":\"session\",\"session\":\"0123456789abcdef\"}\n").await;
    publisher.hear("\"known\"").await;
    // Together, one after the other, to nobody, and with a receipt.
    publisher.say(&(0..5).map(|number| put("s", number)).collect::<String>()).await;
    publisher.ping().await;
    publisher.say(&put("t", 5)).await;
    publisher.say(&put("nobody", 6)).await;
    publisher.say("{\"action\":\"put\",\"stream\":\"s\",\"message\":7,\"receipt\":1,\"header\":\"long\"}\n").await;
    publisher.hear("\"receipt\"").await;
    publisher.ping().await;
    // What it was told before it was asked is there by now.
    let (heard, also) = (one.ping().await, other.ping().await);
    assert!(heard.contains("\"message\":7") && also.contains("\"message\":7"), "{heard}{also}");

    let figures = broker.figures();
    let sent: u64 = [&one, &other, &publisher].iter().map(|client| client.sent).sum();
    let read: u64 = [&one, &other, &publisher].iter().map(|client| client.heard).sum();
    for (name, expected) in [
        ("msgstream_messages_received_total", 8),
        // Those of s to both, that of t to one; two receipts, a joined, a session, and six pongs.
        ("msgstream_messages_sent_total", 2 * 6 + 1 + 2 + 1 + 1 + 6),
        ("msgstream_received_bytes_total", sent),
        ("msgstream_sent_bytes_total", read),
        ("msgstream_translations_total", 0),
        ("msgstream_streams", 3),
        ("msgstream_listeners", 3),
        ("msgstream_sessions", 1),
        ("msgstream_queue_bytes", 0),
        ("msgstream_unfinished_bytes", 0),
    ] {
        assert_eq!(figures.get(name), expected as f64, "{name}");
    }
    let (window, stored) = (figures.get("msgstream_window_bytes"), figures.get("msgstream_stored_bytes"));
    assert!(window > 200.0 && window < 5_000.0 && stored > 300.0 && stored < 5_000.0, "{window} {stored}");

    one.say("{\"action\":\"hangup\"}\n").await;
    one.ping().await;
    publisher.say("{\"action\":\"delete\",\"stream\":\"s\"}\n").await;
    publisher.ping().await;
    let figures = broker.figures();
    assert_eq!([figures.get("msgstream_listeners"), figures.get("msgstream_streams")], [0.0, 2.0], "t and nobody are kept for a time");
}

#[tokio::test]
async fn steps_are_those_that_the_broker_took() {
    let broker = Broker::start(&Settings::default());
    let mut client = broker.connect().await;
    client.ping().await;
    assert_eq!(broker.figure("msgstream_steps_total"), 1.0);
    client.say(&(put("a", 1) + &put("a", 2) + &put("b", 3) + "{\"action\":\"hangup\"}\n")).await;
    client.ping().await;
    assert_eq!(broker.figure("msgstream_steps_total"), 5.0, "two messages were one step");
}

#[tokio::test]
async fn connections_are_counted_by_their_kind() {
    let path = std::env::temp_dir().join(format!("msgstream-metrics-{}.sock", std::process::id()));
    let unix = format!("unix:{}", path.display());
    let broker = Broker::start_on(&["127.0.0.1:0", "msgpack+tcp://127.0.0.1:0", &unix], &Settings::default());
    let mut clients = [broker.connect().await, broker.connect().await];
    for client in &mut clients {
        client.ping().await;
    }
    let mut packed = broker.connect_to(&broker.addresses[1]).await;
    // {"action":"listen","stream":"s"}, then a ping, each behind its length.
    packed.say_bytes(b"\0\0\0\x18\x82\xa6action\xa6listen\xa6stream\xa1s").await;
    packed.say_bytes(b"\0\0\0\x0d\x81\xa6action\xa4ping").await;
    packed.hear("pong").await;
    let local = RemoteStream::connect(&unix).await.unwrap();
    local.confirmed().put("s", "translated").await.unwrap();
    packed.hear("translated").await;
    let json = |transport: &str| format!("transport=\"{transport}\",encoding=\"json\"");
    let all = |figures: &Figures, family: &str| {
        let by = figures.not_zero(family);
        [json("tcp").as_str(), "transport=\"tcp\",encoding=\"msgpack\"", &json("unix")].map(|labels| by.get(labels).copied().unwrap_or(0.0))
    };
    let figures = broker.figures();
    assert_eq!(all(&figures, "msgstream_connections"), [2.0, 1.0, 1.0]);
    assert_eq!(all(&figures, "msgstream_connections_opened_total"), [2.0, 1.0, 1.0]);
    assert_eq!(all(&figures, "msgstream_connections_closed_total"), [0.0; 3]);
    assert_eq!(figures.get("msgstream_translations_total"), 1.0);
    let [mut first, _second] = clients;
    first.say("{\"action\":\"close\"}\n").await;
    first.rest().await;
    drop(first);
    local.disconnect().await.unwrap();
    broker.until(&format!("msgstream_connections_closed_total{{{}}}", json("tcp")), 1.0).await;
    broker.until(&format!("msgstream_connections_closed_total{{{}}}", json("unix")), 1.0).await;
    let figures = broker.figures();
    assert_eq!(all(&figures, "msgstream_connections"), [1.0, 1.0, 0.0]);
    assert_eq!(all(&figures, "msgstream_connections_opened_total"), [2.0, 1.0, 1.0]);
    assert_eq!(figures.not_zero("msgstream_connections").len(), 2, "and no others");
}

#[tokio::test]
async fn limits_are_those_that_count() {
    let mut settings = Settings::default();
    settings.limits.connections = 17;
    settings.limits.streams = 18;
    settings.limits.sessions = 19;
    settings.outbox.total.0 = 20 << 20;
    settings.replay.total.0 = 21 << 20;
    settings.limits.headers_total.0 = 22 << 20;
    settings.limits.unfinished_lines.0 = 80 << 20;
    let server = Server::bind(&["127.0.0.1:0".parse().unwrap()], &settings).unwrap();
    let (metrics, control) = (server.metrics(), server.control());
    let actor = tokio::spawn(server.run(std::future::pending(), std::future::pending()));
    let told = || {
        let figures = Figures::of(&metrics.render(MetricsFormat::Text));
        ["connections_limit", "streams_limit", "sessions_limit"].map(|name| figures.get(&format!("msgstream_{name}")))
    };
    assert_eq!(told(), [17.0, 18.0, 19.0]);
    let figures = Figures::of(&metrics.render(MetricsFormat::Text));
    let bytes =
        ["queue", "window", "stored", "unfinished"].map(|name| figures.get(&format!("msgstream_{name}_limit_bytes")) / (1 << 20) as f64);
    assert_eq!(bytes, [20.0, 21.0, 22.0, 80.0]);
    assert!(figures.get("msgstream_memory_limit_bytes") > (1 << 20) as f64);
    settings.limits.connections = 27;
    settings.limits.streams = 28;
    settings.limits.sessions = 29;
    control.set_limits(&settings.limits);
    assert!(metrics.beat().await);
    assert_eq!(told(), [27.0, 28.0, 29.0]);
    actor.abort();
}

#[tokio::test]
async fn round_trips_are_counted() {
    let broker = Broker::start(&Settings::default());
    for _ in 0..3 {
        assert!(broker.metrics.beat().await);
    }
    broker.metrics.observe_round_trip(Duration::from_millis(300));
    let figures = broker.figures();
    let count = |name: &str| figures.get(&format!("msgstream_actor_round_trip_seconds{name}"));
    assert_eq!([count("_count"), count("_bucket{le=\"+Inf\"}"), count("_bucket{le=\"10\"}")], [4.0; 3]);
    assert_eq!(count("_bucket{le=\"0.5\"}") - count("_bucket{le=\"0.25\"}"), 1.0);
    assert!(count("_sum") >= 0.3);
    assert_eq!(figures.get("msgstream_actor_unanswered_seconds"), 0.0);
}

#[tokio::test(start_paused = true)]
async fn an_actor_that_does_not_answer_is_noticed() {
    let server = Server::bind(&["127.0.0.1:0".parse().unwrap()], &Settings::default()).unwrap();
    let metrics = server.metrics();
    let unanswered = || Figures::of(&metrics.render(MetricsFormat::Text)).get("msgstream_actor_unanswered_seconds");
    assert_eq!(unanswered(), 0.0);
    {
        // It does not run yet.
        let mut beat = pin!(metrics.beat());
        assert!(beat.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        advance(Duration::from_secs(7)).await;
        assert_eq!(unanswered(), 7.0);
    }
    advance(Duration::from_secs(3)).await;
    assert_eq!(unanswered(), 10.0, "though nobody waits for the answer any more");
    let running = tokio::spawn(server.run(std::future::pending(), std::future::pending()));
    assert!(metrics.beat().await);
    assert_eq!(unanswered(), 0.0);
    running.abort();
}

#[tokio::test]
async fn what_runs_is_told() {
    let broker = Broker::start(&Settings::default());
    let figures = broker.figures();
    assert_eq!(figures.get(&format!("msgstream_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"))), 1.0);
    #[cfg(target_os = "linux")]
    {
        let open = std::fs::read_dir("/proc/self/fd").unwrap().count() as f64;
        let told = figures.get("process_open_fds");
        assert!((told - open).abs() < 20.0, "{told}, not {open}: other tests run beside this one");
        assert!(figures.get("process_max_fds") >= told && figures.get("process_resident_memory_bytes") > 1e6);
        assert!(figures.get("process_cpu_seconds_total") >= 0.0 && figures.get("process_start_time_seconds") > 1e9);
    }
}

#[tokio::test]
async fn both_formats_say_the_same() {
    let broker = Broker::start(&Settings::default());
    let (text, open) = (broker.metrics.render(MetricsFormat::Text), broker.metrics.render(MetricsFormat::OpenMetrics));
    // OpenMetrics writes bounds that are whole numbers with a point.
    let names = |told: &str| Figures::of(&told.replace(".0\"}", "\"}")).0.into_keys().collect::<Vec<_>>();
    assert_eq!(names(&text), names(&open));
    assert!(open.ends_with("\n# EOF\n") && open.contains("\n# UNIT msgstream_queue_bytes bytes\n"), "{open}");
    assert!(text.contains("\n# TYPE msgstream_messages_received_total counter\n"), "{text}");
}
