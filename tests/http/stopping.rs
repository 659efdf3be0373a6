//! What everybody is told when the broker stops.

use crate::asking::{Asking, Listener};
use crate::harness::{Broker, Encoding, Place, Socket, Transport, settings, until};

// Seen to fail: whoever was sending a body was left without an answer.
#[test]
fn everybody_is_told() {
    let mut broker = Broker::start(settings().http());
    let mut events = Listener::new(&broker, "/api/streams/a/events", None);
    events.expect("joined");
    let mut socket = broker.client_over(Transport::WebSocket, Encoding::JsonLines);
    socket.settle();
    let mut sending = Asking::new(&broker);
    sending.request("POST /api/streams/a", &["Content-Length: 10", "Expect: 100-continue"], "");
    assert_eq!(sending.head().0, 100, "it is waited for");
    sending.send("[1,");
    let mut idle = Asking::new(&broker);
    assert_eq!(idle.ask("GET /readyz", &[], "").status, 200);
    let mut half = Asking::new(&broker);
    half.send("GET /rea");
    let mut probe = Asking::new(&broker);
    assert_eq!(probe.ask("GET /readyz", &[], "").status, 200);
    // A client that does not read holds the broker up, so that it can be asked while it stops.
    let mut slow = broker.slow_listener("b");
    let mut publisher = broker.client();
    for _ in 0..8 {
        publisher.send(&format!(r#"{{"action":"put","stream":"b","message":"{}"}}"#, "m".repeat(1 << 20)));
    }
    publisher.settle();

    broker.terminate();
    let told = until("it is not ready", || {
        let answer = probe.ask("GET /readyz", &[], "");
        (answer.status == 503).then_some(answer)
    });
    assert_eq!(told.text(), "{\"status\":\"stopping\"}\n");
    let answer = sending.answer();
    assert_eq!((answer.status, &*answer.code()), (503, "shutdown"));
    for request in ["GET /api/streams", "GET /api/streams/a/events", "POST /api/streams/a"] {
        let mut asking = Asking::of(Socket::tcp(broker.http_addr()), &broker);
        let answer = asking.ask(request, &[], if request.starts_with('P') { "1" } else { "" });
        assert_eq!((answer.status, &*answer.code(), answer.header("retry-after")), (503, "shutdown", Some("1")), "{request}");
    }
    assert_eq!(idle.ask("GET /healthz", &[], "").status, 200, "it is alive");
    let rest = events.rest();
    assert!(rest.len() == 1 && rest[0].0 == "disconnect" && rest[0].1.contains("shutdown"), "{rest:?}");
    socket.expect_ended("shutdown");
    assert!(slow.rest().last().unwrap().contains("shutdown"));
    assert!(broker.until_ended().success());
    half.expect_eof();
}

// Seen to fail: the broker waited for the reader of a list beyond the time in which everything has to be sent.
#[test]
fn readers_that_do_not_read_do_not_hold_it_up() {
    let place = Place::new();
    let set = || settings().http().set("store.path", place.file("store").display().to_string());
    let mut broker = Broker::start(set().set("outbox.drain_time", "500ms").set("outbox.write_time", "1h"));
    let mut publisher = broker.client();
    for number in 0..20_000 {
        publisher.send(&format!(r#"{{"action":"header","stream":"s{number:05}","message":1}}"#));
    }
    publisher.settle();
    let mut list = Asking::with_little_room(&broker);
    list.request("GET /api/streams", &[], "");
    assert_eq!(list.head().0, 200);
    let events = Listener::on(Asking::with_little_room(&broker), "/api/streams/a/events", None);
    for _ in 0..8 {
        publisher.send(&format!(r#"{{"action":"put","stream":"a","message":"{}"}}"#, "m".repeat(1 << 20)));
    }
    publisher.settle();
    broker.terminate();
    assert!(broker.until_ended().success());
    assert_eq!(broker.times_logged("what is queued is dropped"), 0, "each was given up in its own time");
    drop((list, events));
    // Seen to fail: the reader of the list kept the actor until that was aborted, before it had kept what there is.
    Broker::start(set()).until_logged("an orderly stop");
}
