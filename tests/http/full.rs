//! A broker that has as many connections as it may have: whoever asks is told that it is well, and nothing else.

use crate::asking::Asking;
use crate::harness::{Broker, Settings, Socket, encryption, settings, until};

/// A broker without room, and the connection that takes it.
struct Full {
    broker: Broker,
    inside: Asking,
    encrypted: bool,
}

impl Full {
    fn new(set: Settings, encrypted: bool) -> Self {
        let set = set.set("limits.connections", 1);
        let broker = Broker::start(if encrypted { set.encrypted().http() } else { set.http() });
        let inside = Self::connect(&broker, encrypted);
        let mut full = Self { broker, inside, encrypted };
        assert_eq!(full.inside.ask("GET /healthz", &[], "").status, 200);
        full
    }

    fn connect(broker: &Broker, encrypted: bool) -> Asking {
        match encrypted {
            true => Asking::over(Socket::tls(broker.http_addr(), encryption(None)), "localhost"),
            false => Asking::new(broker),
        }
    }

    fn outside(&self) -> Asking {
        Self::connect(&self.broker, self.encrypted)
    }

    /// Asks what it has to say, on the connection that has its place.
    fn refusals(&mut self) -> u64 {
        let told = self.inside.ask("GET /metrics", &[], "").text().to_owned();
        told.lines().find_map(|line| line.strip_prefix("msgstream_connections_refused_total ")?.parse().ok()).unwrap()
    }
}

// Seen to fail: a probe was told that there is no room, so that a broker was restarted that was only full.
#[test]
fn it_says_that_it_is_well() {
    for encrypted in [false, true] {
        let mut full = Full::new(settings(), encrypted);
        for request in ["GET /healthz", "GET /readyz", "GET /metrics", "HEAD /healthz", "GET /healthz?a"] {
            let mut asking = full.outside();
            asking.request(request, &[], "");
            if request.starts_with("HEAD") {
                assert_eq!(asking.head().0, 200);
            } else {
                let answer = asking.answer();
                assert_eq!((answer.status, answer.header("connection")), (200, Some("close")), "{request}");
            }
            asking.expect_eof();
        }
        assert_eq!(full.refusals(), 0, "nobody was turned away");
        let upgrade =
            ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="];
        let others =
            ["GET /", "GET /healthz/", "GET /metrics2", "GET /api/streams", "GET /api/streams/a/events", "PUT /api/streams/a", "GET /ws"];
        for request in others {
            let mut asking = full.outside();
            asking.request(request, if request == "GET /ws" { &upgrade } else { &[] }, if request.starts_with("PUT") { "1" } else { "" });
            let answer = asking.answer();
            assert_eq!((answer.status, &*answer.code()), (503, "limit"), "{request}");
            assert_eq!((answer.header("connection"), answer.header("retry-after")), (Some("close"), Some("1")), "{request}");
            asking.expect_eof();
        }
        assert_eq!(full.refusals(), others.len() as u64);
        // Once: what comes behind the first request is not read as one.
        let mut asking = full.outside();
        asking.send("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\nPUT /api/streams/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\n1");
        assert_eq!(asking.answer().status, 200);
        asking.expect_eof();
        assert_eq!(full.inside.ask("GET /api/streams/a", &[], "").status, 404);
        full.broker.assert_well();
    }
}

#[test]
fn tokens_count_as_ever() {
    let set = settings().token("mst_one", "");
    let full = Full::new(set, false);
    for (lines, status) in [(&["Authorization: Bearer mst_one"][..], 200), (&["Authorization: Bearer mst_two"], 401), (&[], 401)] {
        assert_eq!(full.outside().ask("GET /metrics", lines, "").status, status);
    }
    assert_eq!(full.outside().ask("GET /healthz", &[], "").status, 200);
}

#[test]
fn those_who_say_nothing_are_told_and_take_no_places_for_long() {
    let mut full = Full::new(settings().set("limits.reserved_descriptors", 64).set("limits.first_line_time", "1h"), false);
    let fds = full.broker.fds();
    for said in ["", "GET /heal", "GET /healthz HTTP/1.1\r\nX: a\r\n", "POST /healthz HTTP/1.1\r\n"] {
        let mut asking = full.outside();
        asking.send(said);
        let answer = asking.answer();
        assert_eq!((answer.status, &*answer.code()), (503, "limit"), "{said:?}");
        asking.expect_eof();
    }
    // Half of those who may be told at once may ask: 16.
    let mut waiting = Vec::new();
    until("all places for probes are taken", || {
        waiting = (0..16).map(|_| full.outside()).collect();
        waiting.iter_mut().for_each(|asking| asking.send("GET /heal"));
        (full.outside().ask("GET /healthz", &[], "").status == 503).then_some(())
    });
    until("there are places again", || (full.outside().ask("GET /healthz", &[], "").status == 200).then_some(()));
    for mut asking in waiting {
        assert_eq!(asking.answer().code(), "limit");
    }
    // A body for which nobody asked holds nothing up either.
    let mut asking = full.outside();
    asking.request("POST /healthz", &["Content-Length: 1000000"], "");
    assert_eq!(asking.answer().status, 405);
    until("all are gone", || (full.broker.fds() <= fds).then_some(()));
    full.broker.assert_well();
}
