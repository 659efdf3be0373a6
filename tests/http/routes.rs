//! What each address answers, and what it says of what is wrong.

use serde_json::json;

use crate::asking::{Asking, ask, send};
use crate::harness::{Broker, settings, until};

fn broker() -> Broker {
    Broker::start(settings().http())
}

#[test]
fn a_stream_lives_from_its_header_to_its_deletion() {
    let broker = broker();
    let mut asking = Asking::new(&broker);
    let mut listener = broker.listener("a");
    let set = asking.ask("PUT /api/streams/a", &[], "{\"of\":\n 3}");
    assert_eq!((set.status, set.json()["position"]["sequence"].as_u64()), (200, Some(0)));
    let put = asking.ask("POST /api/streams/a", &[], "[1.10, 1e400,\t\"\\ud800\"]");
    assert_eq!((&put.json()["listeners"], &put.json()["position"]["sequence"]), (&json!(1), &json!(1)));
    listener.expect(r#"{"action":"put","stream":"a","message":[1.10, 1e400,	"\ud800"]}"#);

    let shown = asking.ask("GET /api/streams/a", &[], "").json();
    assert_eq!((&shown["stream"], &shown["state"], &shown["header"]), (&json!("a"), &json!("running"), &json!({"of": 3})));
    assert_eq!((&shown["directory"]["listeners"], &shown["directory"]["messages"]), (&json!(1), &json!(1)));
    assert_eq!(shown["position"]["sequence"], 1);

    let closed = asking.ask("POST /api/streams/a/close", &[], "\"done\"");
    assert_eq!((closed.status, &closed.json()["listeners"]), (200, &json!(1)));
    listener.expect(r#"{"action":"close","stream":"a","message":"done"}"#);
    let shown = asking.ask("GET /api/streams/a", &[], "").json();
    assert_eq!((&shown["state"], &shown["last"]), (&json!("ended"), &json!("done")));

    assert_eq!(asking.ask("POST /api/streams/b/close", &[], "").status, 200, "an end needs no word");
    assert_eq!(asking.ask("GET /api/streams/b", &[], "").json()["last"], json!(null));
    assert_eq!(asking.ask("DELETE /api/streams/a", &[], "").status, 200);
    let gone = asking.ask("GET /api/streams/a", &[], "");
    assert_eq!((gone.status, &*gone.code()), (404, "not_found"));
}

#[test]
fn the_list_has_the_streams_of_a_prefix() {
    let broker = broker();
    let mut asking = Asking::new(&broker);
    assert_eq!(asking.ask("GET /api/streams", &[], "").text(), "[\n]\n");
    let mut publisher = broker.client();
    for number in 0..3_000 {
        publisher
            .send(&format!(r#"{{"action":"header","stream":"{}-{number:04}","message":{number}}}"#, if number < 5 { "a" } else { "b" }));
    }
    publisher.settle();
    let all = asking.ask("GET /api/streams", &[], "").json();
    let names: Vec<_> = all.as_array().unwrap().iter().map(|entry| entry["stream"].as_str().unwrap()).collect();
    assert_eq!(names.len(), 3_000);
    assert!(names.is_sorted());
    let some = asking.ask("GET /api/streams?prefix=a-", &[], "").json();
    assert_eq!(some.as_array().unwrap().len(), 5);
    assert_eq!((&some[0]["state"], &some[0]["messages"]), (&json!("running"), &json!(0)));
    assert_eq!(asking.ask("HEAD /api/streams", &["Connection: close"], "").text(), "");
}

// Seen to fail: of a name as long as it may be, nobody could be told how it stands.
#[test]
fn names_are_what_stands_between_the_slashes() {
    let broker = broker();
    let mut asking = Asking::new(&broker);
    let longest = "n".repeat(1024);
    for (written, name) in [
        ("a%2Fb", "a/b"),
        ("%00", "\0"),
        ("%c3%a4%20%F0%9F%98%80", "\u{e4} \u{1f600}"),
        ("%22%5C%7f%1f", "\"\\\u{7f}\u{1f}"),
        ("..", ".."),
        ("%2e%2e", ".."),
        ("a+b", "a+b"),
        (&longest, &longest),
    ] {
        assert_eq!(asking.ask(&format!("PUT /api/streams/{written}"), &[], "7").status, 200, "{written}");
        let shown = asking.ask(&format!("GET /api/streams/{written}"), &[], "").json();
        assert_eq!((&shown["stream"], &shown["header"], &shown["directory"]["state"]), (&json!(name), &json!(7), &json!("running")));
    }
    for (request, status, code) in [
        (format!("GET /api/streams/{longest}n"), 400, "bad_stream"),
        (format!("GET /api/streams/{longest}n/events"), 400, "bad_stream"),
        (format!("GET /api/streams/{}", "%01".repeat(9_000)), 400, "bad_stream"),
        ("GET /api/streams/%ff".to_owned(), 400, "bad_stream"),
        ("PUT /api/streams/%ff/events".to_owned(), 405, "bad_action"),
        ("GET /api/streams/".to_owned(), 404, "not_found"),
        ("GET /api/streams/a/b".to_owned(), 404, "not_found"),
        ("GET /page/..%2fmod.rs".to_owned(), 404, "not_found"),
    ] {
        let answer = ask(&broker, &request, &[], "");
        assert_eq!((answer.status, &*answer.code()), (status, code), "{request}");
    }
}

// Seen to fail: what was wrong with a question was told as plain text, and 20 MB were asked for before they were refused; a line break
// within a text, which is no JSON, became a blank; 426 did not say to what.
#[test]
fn mistakes_are_told_as_json_with_a_status() {
    let broker = broker();
    for (request, body, status, code) in [
        ("POST /api/streams/a", "", 400, "missing_message"),
        ("POST /api/streams/a", " \n", 400, "missing_message"),
        ("PUT /api/streams/a", "{", 400, "bad_json"),
        ("PUT /api/streams/a", "1 2", 400, "bad_json"),
        ("PUT /api/streams/a", "NaN", 400, "bad_json"),
        ("PUT /api/streams/a", "\"a\nb\u{1}\"", 400, "bad_json"),
        ("PUT /api/streams/a", "\"a\nb\"", 400, "bad_json"),
        ("PUT /api/streams/$streams%2Fa", "1", 403, "denied"),
        ("POST /api/streams/$x", "1", 403, "denied"),
        ("DELETE /api/streams/$x", "", 403, "denied"),
        ("POST /api/streams/$x/close", "", 403, "denied"),
        ("GET /api/streams/a/events?last=-1", "", 400, "bad_request"),
        ("GET /api/streams/a/events?last=1&last=2", "", 400, "bad_request"),
        ("GET /api/streams/a/events?mode=x", "", 400, "bad_request"),
        ("GET /api/streams/a/events?after=x", "", 400, "bad_request"),
        ("GET /api/connections?most=x", "", 400, "bad_request"),
        ("GET /api/connections?after=99999999999", "", 400, "bad_request"),
        ("GET /api/streams?prefix=a&prefix=b", "", 400, "bad_request"),
        ("GET /nowhere", "", 404, "not_found"),
        ("GET /ws", "", 426, "bad_request"),
        ("POST /ws", "", 405, "bad_action"),
        ("PATCH /api/streams/a", "1", 405, "bad_action"),
        ("GET /api/streams/a/close", "", 405, "bad_action"),
        ("POST /healthz", "", 405, "bad_action"),
        ("OPTIONS /api/streams", "", 405, "bad_action"),
    ] {
        let answer = ask(&broker, request, &[], body);
        assert_eq!((answer.status, &*answer.code()), (status, code), "{request} {body}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    }
    // What would be right is said in the words of HTTP as well.
    let told = ask(&broker, "GET /ws", &["Sec-WebSocket-Version: 8", "Connection: Upgrade", "Upgrade: websocket"], "");
    let words = ["upgrade", "connection", "sec-websocket-version"].map(|name| told.header(name));
    assert_eq!((told.status, words), (426, [Some("websocket"), Some("upgrade"), Some("13")]));
    let told = ask(&broker, "PATCH /api/streams/a", &[], "1");
    assert_eq!(told.header("allow"), Some("GET,HEAD,POST,PUT,DELETE"));
    for length in ["20000000", "9223372036854775808"] {
        let mut asking = Asking::new(&broker);
        asking.request("POST /api/streams/a", &["Expect: 100-continue", &format!("Content-Length: {length}")], "");
        let answer = asking.answer();
        assert_eq!((answer.status, &*answer.code()), (413, "line_too_long"));
    }
}

#[test]
fn a_node_that_is_cut_off_says_so() {
    let broker = Broker::start(settings().http().set("nodes.nats", "[\"nats://127.0.0.1:1\"]"));
    let mut asking = Asking::new(&broker);
    for path in ["/healthz", "/readyz"] {
        let answer = until("it knows why", || {
            let answer = asking.ask(&format!("GET {path}"), &[], "");
            assert_eq!((answer.status, answer.json()["status"].as_str()), (503, Some("cut_off")), "{answer:?}");
            answer.text().contains("nodes.nats").then_some(answer)
        });
        let node = &answer.json()["node"];
        assert!(node["cut_off_seconds"].is_u64(), "{node}");
    }
    assert_eq!(asking.ask("GET /metrics", &[], "").status, 200);
}

#[test]
fn what_the_broker_says_of_itself() {
    let broker = broker();
    let mut asking = Asking::new(&broker);
    for path in ["/healthz", "/readyz"] {
        let answer = asking.ask(&format!("GET {path}"), &[], "");
        assert_eq!((answer.status, answer.text()), (200, "{\"status\":\"ok\"}\n"));
    }
    let metrics = asking.ask("GET /metrics", &["Accept: application/openmetrics-text"], "");
    assert!(metrics.header("content-type").unwrap().starts_with("application/openmetrics-text"), "{}", metrics.head);
    assert!(metrics.text().ends_with("# EOF\n"));
    let client = broker.listener("a");
    let told = asking.ask("GET /api/connections", &[], "").json();
    let all = told["connections"].as_array().unwrap();
    assert!(all.iter().any(|one| one["transport"] == "tcp" && one["listens"] == 1), "{told}");
    assert_eq!(asking.ask("GET /api/connections?most=18446744073709551615", &[], "").status, 200);
    drop(client);
    // The page, and what a browser that has it is told.
    let page = asking.ask("GET /", &[], "");
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert!(page.header("content-security-policy").unwrap().starts_with("default-src 'none'"));
    let tag = format!("If-None-Match: \"x\", {}", page.header("etag").unwrap());
    assert_eq!(asking.ask("GET /page/main.js", &[&tag], "").status, 304);
}

// Seen to fail: each request took a thread of its own, up to 512 of them.
#[test]
fn metrics_are_made_one_at_a_time() {
    let broker = broker();
    let mut crowd: Vec<_> = (0..100).map(|_| Asking::new(&broker)).collect();
    for _ in 0..10 {
        crowd.iter_mut().for_each(|asking| asking.request("GET /metrics", &[], ""));
        crowd.iter_mut().for_each(|asking| assert_eq!(asking.answer().status, 200));
    }
    // Threads that have nothing more to do stay for some seconds.
    let threads = std::fs::read_dir(format!("/proc/{}/task", broker.process().id())).unwrap().count();
    assert!(threads < 20, "{threads}");
}

// Seen to fail: each name that was asked for was remembered for ten minutes, up to the limit of streams.
#[test]
fn asking_leaves_nothing_behind() {
    let broker = broker();
    let mut asking = Asking::new(&broker);
    for _ in 0..50 {
        let name = fastrand::u64(..);
        assert_eq!(asking.ask(&format!("GET /api/streams/{name}"), &[], "").status, 404);
        assert_eq!(asking.ask(&format!("HEAD /api/streams/{name}/events"), &["Connection: keep-alive"], "").status, 200);
        asking = Asking::new(&broker);
    }
    until("all is forgotten", || (asking.ask("GET /api/streams", &[], "").text() == "[\n]\n").then_some(()));
    let metrics = || ask(&broker, "GET /metrics", &["Connection: close"], "").text().to_owned();
    until("all connections are closed", || {
        metrics().contains("msgstream_connections{transport=\"http\",encoding=\"json\"} 0\n").then_some(())
    });
}

#[test]
fn requests_follow_each_other_on_one_connection() {
    let broker = broker();
    let mut asking = Asking::new(&broker);
    let host = broker.http_addr();
    let put = |number: usize| {
        format!("POST /api/streams/a HTTP/1.1\r\nHost: {host}\r\nContent-Length: {}\r\n\r\n{number}", number.to_string().len())
    };
    asking.send((1..=100).map(put).collect::<String>());
    for number in 1..=100 {
        assert_eq!(asking.answer().json()["position"]["sequence"], number);
    }
    let chunked = format!(
        "POST /api/streams/a HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n3;x=1\r\n[1,\r\n2\r\n2]\r\n0\r\nX: y\r\n\r\n"
    );
    asking.send(chunked);
    assert_eq!(asking.answer().json()["position"]["sequence"], 101);
}

#[test]
fn nothing_is_smuggled_behind_a_request() {
    let broker = broker();
    let host = format!("Host: {}\r\n", broker.http_addr());
    let behind = format!("PUT /api/streams/smuggled HTTP/1.1\r\n{host}Content-Length: 1\r\nConnection: close\r\n\r\n1");
    for lines in [
        "Content-Length: 6\r\nContent-Length: 7\r\n\r\n",
        "Content-Length: +1\r\n\r\n1",
        "Content-Length: -1\r\n\r\n",
        "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        "X: a\r\n b\r\n\r\n",
        "X : a\r\n\r\n",
        "X: a\0b\r\n\r\n",
    ] {
        let told = send(&broker, format!("POST /api/streams/a HTTP/1.1\r\n{host}{lines}{behind}").as_bytes());
        assert!(told.starts_with("HTTP/1.1 400 ") && told.matches("HTTP/1.1").count() == 1, "{lines:?}: {told}");
    }
    // Of two that contradict each other the length is of no account, and nothing else is answered.
    let both = format!("POST /api/streams/a HTTP/1.1\r\n{host}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{behind}");
    let told = send(&broker, both.as_bytes());
    assert_eq!(told.matches("HTTP/1.1").count(), 1, "{told}");
    assert_eq!(ask(&broker, "GET /api/streams/smuggled", &[], "").status, 404);
}

#[test]
fn requests_that_are_cut_anywhere_do_nothing_and_leave_nothing() {
    let mut broker = broker();
    let request =
        format!("POST /api/streams/cut HTTP/1.1\r\nHost: {}\r\nContent-Length: 7\r\nConnection: close\r\n\r\n[1,2,3]", broker.http_addr());
    for end in 0..request.len() {
        let mut asking = Asking::new(&broker);
        asking.send(&request[..end]);
        asking.socket.finish();
        while asking.more() {}
    }
    assert_eq!(ask(&broker, "GET /api/streams/cut", &[], "").status, 404);
    broker.assert_well();
}

#[test]
fn what_speaks_http_1_0_is_answered_so() {
    let broker = broker();
    let told = send(&broker, format!("GET /api/streams HTTP/1.0\r\nHost: {}\r\n\r\n", broker.http_addr()).as_bytes());
    assert!(told.starts_with("HTTP/1.0 200 ") && told.ends_with("\r\n\r\n[\n]\n"), "{told}");
    let no_host = send(&broker, b"GET /api/streams HTTP/1.1\r\nConnection: close\r\n\r\n");
    assert!(no_host.starts_with("HTTP/1.1 400 ") && no_host.contains("no Host"), "{no_host}");
    for other in [&b"{\"action\":\"ping\"}\n"[..], b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"GET /\r\n\r\n"] {
        assert!(send(&broker, other).starts_with("HTTP/1.1 400 "));
    }
}

#[test]
fn the_same_by_https() {
    let broker = Broker::start(settings().encrypted().http());
    let mut asking = Asking::encrypted(&broker);
    assert_eq!(asking.ask("PUT /api/streams/a", &[], "1").status, 200);
    assert_eq!(asking.ask("GET /api/streams/a", &[], "").json()["header"], 1);
    let mut listener = crate::asking::Listener::on(Asking::encrypted(&broker), "/api/streams/a/events", None);
    listener.expect("header");
    listener.expect("joined");
    let long = format!("\"{}\"", "m".repeat(3_000_000));
    assert_eq!(asking.ask("POST /api/streams/a", &[], &long).status, 200);
    assert_eq!(listener.expect("").data, long);
    assert_eq!(asking.ask("POST /api/streams/a/close", &[], "2").status, 200);
    assert_eq!(listener.rest(), [("close".to_owned(), "2".to_owned())]);
    // Whoever forgets the s is told so.
    let told = send(&broker, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(told.starts_with("HTTP/1.1 400 ") && told.contains("https://"), "{told}");
}
