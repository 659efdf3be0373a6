//! Those who are slow, or say more than they may: each is bounded in time and in memory, and told why.

use serde_json::json;

use crate::asking::{Asking, Listener, ask};
use crate::harness::{Broker, Encoding, Transport, settings, until};

#[test]
fn heads_and_bodies_have_their_time() {
    let broker = Broker::start(settings().http().set("limits.first_line_time", "500ms"));
    // Nothing, half a head, an idle connection: each is closed without a word, as whoever asks by HTTP expects.
    for said in ["", "GET /he", "GET / HTTP/1.1\r\nX: a\r\n", "\r\n\r\n"] {
        let mut asking = Asking::new(&broker);
        asking.send(said);
        asking.expect_eof();
    }
    let mut asking = Asking::new(&broker);
    assert_eq!(asking.ask("GET /healthz", &[], "").status, 200);
    asking.expect_eof();
    // However little comes at a time.
    let mut asking = Asking::new(&broker);
    until("a head that drips is given up", || {
        let sent = std::io::Write::write_all(&mut asking.socket, b"X");
        (sent.is_err() || { asking.socket.with_options(|socket| socket.take_error().unwrap()).is_some() }).then_some(())
    });
    for body in ["[1,", ""] {
        let mut asking = Asking::new(&broker);
        asking.request("POST /api/streams/a", &["Content-Length: 10"], "");
        asking.send(body);
        let answer = asking.answer();
        assert_eq!((answer.status, &*answer.code()), (408, "limit"));
        asking.expect_eof();
    }
    assert_eq!(ask(&broker, "GET /api/streams/a", &[], "").status, 404);
}

#[test]
fn what_is_too_long_is_refused() {
    let broker = Broker::start(settings().http().short_lines(1 << 20));
    let message = |length: usize| format!("\"{}\"", "m".repeat(length - 2));
    assert_eq!(ask(&broker, "POST /api/streams/a", &[], &message((1 << 20) - 100)).status, 200);
    for length in [(1 << 20) - 10, (1 << 20) + 1, 3 << 20] {
        let answer = ask(&broker, "POST /api/streams/a", &[], &message(length));
        assert_eq!((answer.status, &*answer.code()), (413, "line_too_long"), "{length}");
    }
    // One that does not say how long it is.
    let mut asking = Asking::new(&broker);
    asking.request("POST /api/streams/a", &["Transfer-Encoding: chunked"], "");
    let chunk = format!("10000\r\n{}\r\n", "1".repeat(0x10000));
    for _ in 0..40 {
        if std::io::Write::write_all(&mut asking.socket, chunk.as_bytes()).is_err() {
            break;
        }
    }
    assert_eq!(asking.answer().code(), "line_too_long");
    for head in [format!("X: {}", "a".repeat(40_000)), vec!["X: a"; 100].join("\r\n")] {
        let mut asking = Asking::new(&broker);
        asking.request("GET /healthz", &[&head], "");
        assert_eq!(asking.head().0, 431);
    }
    let mut asking = Asking::new(&broker);
    asking.request(&format!("GET /{}", "a".repeat(40_000)), &[], "");
    assert_eq!(asking.head().0, 431);
}

#[test]
fn a_listener_that_does_not_read_is_cut_off_and_told() {
    let broker = Broker::start(settings().http().set("limits.line", 1 << 20).set("limits.header", 1 << 20).set("outbox.limit", 4 << 20));
    let mut events = Listener::on(Asking::with_little_room(&broker), "/api/streams/a/events", None);
    events.expect("joined");
    let mut socket = broker.client_over(Transport::WebSocket, Encoding::JsonLines);
    socket.send(r#"{"action":"listen","stream":"a"}"#);
    socket.settle();
    let mut good = broker.listener("a");
    let before = broker.rss();
    let message = format!("\"{}\"", "m".repeat(1 << 19));
    for number in 1..=60 {
        let put = ask(&broker, "POST /api/streams/a", &[], &message).json();
        assert_eq!(put["position"]["sequence"], json!(number));
        assert!(good.next().len() > 1 << 19, "others do not feel it");
    }
    assert!(broker.rss() < before + (40 << 20), "{before} became {}", broker.rss());
    // Everything up to there, and why there is no more.
    let told = events.rest();
    let (last, all) = told.split_last().unwrap();
    assert_eq!(last.0, "disconnect");
    assert!(last.1.contains("slow_listener") && !all.is_empty() && all.iter().all(|(name, data)| name.is_empty() && *data == message));
    let lines = socket.rest();
    assert!(lines.last().unwrap().contains("slow_listener") && lines.len() > 1, "{:?}", lines.last());
    let removed = ask(&broker, "GET /api/connections", &[], "").json()["removed"].clone();
    assert_eq!(removed.as_array().unwrap().iter().filter(|one| one["code"] == "outbox_limit").count(), 2, "{removed}");
}

// Seen to fail: each took the header and the last message of the stream, so that a hundred readers of a long one took gigabytes.
#[test]
fn answers_that_nobody_reads_take_no_memory() {
    let mut broker = Broker::start(settings().http().set("outbox.write_time", "1s").set("limits.header", 8 << 20));
    let text = |length: usize| format!("\"{}\"", "m".repeat(length - 2));
    let (header, last) = (text(1 << 20), text(8 << 20));
    assert_eq!(ask(&broker, "PUT /api/streams/a", &[], &header).status, 200);
    assert_eq!(ask(&broker, "POST /api/streams/a/close", &[], &last).status, 200);
    let told = ask(&broker, "GET /api/streams/a", &[], "").text().to_owned();
    assert!(told.contains(&format!("\"header\":{header},")) && told.ends_with(&format!(",\"last\":{last}}}\n")), "it is whole");
    let (before, fds) = (broker.rss(), broker.fds());
    let mut all: Vec<Asking> = (0..40).map(|_| Asking::with_little_room(&broker)).collect();
    for asking in &mut all {
        for _ in 0..10 {
            asking.request("GET /api/streams/a", &[], "");
        }
    }
    until("all are there", || (broker.fds() >= fds + 35).then_some(()));
    until("they are given up", || (broker.fds() <= fds).then_some(()));
    // No more of each than what a listener that does not read has of it.
    assert!(broker.process().peak_rss() < before + (80 << 20), "{before} became {}", broker.process().peak_rss());
    broker.assert_well();
}

#[test]
fn ten_thousand_requests_leave_nothing_behind() {
    let mut broker = Broker::start(settings().http());
    let mut asking = Asking::new(&broker);
    let mut some = |count: usize| {
        for _ in 0..count {
            asking.request("POST /api/streams/a", &[], "1");
        }
        for _ in 0..count {
            assert_eq!(asking.answer().status, 200);
        }
    };
    (0..20).for_each(|_| some(100));
    let before = broker.rss();
    (0..100).for_each(|_| some(100));
    assert!(broker.rss() < before + (8 << 20), "{before} became {}", broker.rss());
    let metrics = ask(&broker, "GET /metrics", &[], "").text().to_owned();
    let count = |of: &str| {
        let name = format!("msgstream_connections_{of}_total{{transport=\"http\",encoding=\"json\"}} ");
        metrics.lines().find_map(|line| line.strip_prefix(&name)?.parse::<u64>().ok()).unwrap()
    };
    assert!(count("opened") - count("closed") <= 1, "{} and {}", count("opened"), count("closed"));
    assert!(metrics.contains("msgstream_messages_received_total 12000\n"));
    broker.assert_well();
}
