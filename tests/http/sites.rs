//! Which pages a browser may let at the broker, and by which names it can be reached.

use crate::asking::{Asking, ask};
use crate::harness::{Broker, WebSocket, settings};

fn broker() -> Broker {
    Broker::start(settings().http().set("http.origins", r#"["https://lab.example.org", "https://Other.example:8443/"]"#))
}

#[test]
fn pages_of_other_sites_are_refused() {
    let broker = broker();
    let own = format!("Origin: http://{}", broker.http_addr());
    for (request, body) in [
        ("GET /api/streams", ""),
        ("POST /api/streams/a", "1"),
        ("GET /api/streams/a/events", ""),
        ("GET /api/connections", ""),
        ("GET /", ""),
        ("GET /ws", ""),
        ("OPTIONS /api/streams", ""),
    ] {
        for origin in
            ["https://evil.example", "http://lab.example.org", "https://lab.example.org.evil.example", "null", "", "\u{e9}", "https://"]
        {
            let answer = ask(&broker, request, &[&format!("Origin: {origin}")], body);
            assert_eq!((answer.status, &*answer.code()), (403, "denied"), "{request} from {origin}");
            assert_eq!(answer.header("access-control-allow-origin"), None);
        }
        // Without a WebSocket's key, or a method that there is none for; but not refused for where it comes from.
        let answer = ask(&broker, &request.replace("/events", ""), &[&own], body);
        assert_ne!(answer.status, 403, "{request}");
        assert_eq!(answer.header("access-control-allow-origin"), None, "its own page needs no leave");
    }
    assert_eq!(ask(&broker, "GET /api/streams/a", &[], "").status, 200, "the own page has put its message");
}

#[test]
fn pages_of_named_sites_are_let_in() {
    let broker = broker();
    for origin in ["https://lab.example.org", "https://LAB.example.org", "https://other.example:8443"] {
        let line = format!("Origin: {origin}");
        let asked = ask(&broker, "OPTIONS /api/streams/a", &[&line, "Access-Control-Request-Method: PUT"], "");
        assert_eq!((asked.status, asked.header("access-control-allow-origin")), (204, Some(origin)));
        assert!(asked.header("access-control-allow-methods").unwrap().contains("PUT"));
        assert!(asked.header("access-control-allow-headers").unwrap().contains("Authorization"));
        let put = ask(&broker, "POST /api/streams/a", &[&line], "1");
        assert_eq!((put.status, put.header("access-control-allow-origin"), put.header("vary")), (200, Some(origin), Some("Origin")));
        // A mistake can be read by the page as well.
        assert_eq!(ask(&broker, "POST /api/streams/a", &[&line], "{").header("access-control-allow-origin"), Some(origin));
    }
}

#[test]
fn a_name_that_anybody_may_have_point_here_is_refused() {
    let broker = broker();
    let port = broker.http_addr().port();
    for host in ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "evil.example.", "evil.example:80", "0x7f.1"] {
        for request in ["GET /api/streams", "GET /", "GET /ws", "POST /api/streams/a"] {
            let answer = ask(&broker, request, &[&format!("Host: {host}"), &format!("Origin: http://{host}")], "1");
            assert_eq!((answer.status, &*answer.code()), (403, "denied"), "{request} at {host}");
        }
        // It says nothing of streams, and those who ask go by any name.
        for request in ["GET /healthz", "GET /readyz", "GET /metrics"] {
            assert_eq!(ask(&broker, request, &[&format!("Host: {host}")], "").status, 200);
        }
    }
    for host in
        ["127.0.0.1", "localhost", "LOCALHOST", "localhost.", "a.localhost", "[::1]", "192.0.2.1", "lab.example.org", "Other.example:8443"]
    {
        assert_eq!(ask(&broker, "GET /api/streams", &[&format!("Host: {host}")], "").status, 200, "{host}");
        assert_eq!(
            ask(&broker, "GET /api/streams", &[&format!("Host: {host}:{port}")], "").status,
            if host.contains(":8") { 400 } else { 200 }
        );
    }
    for lines in [&["Host: a", "Host: a"][..], &["Host: "], &["Host: a b"]] {
        let answer = Asking::new(&broker).ask("GET /api/streams", lines, "");
        assert!([400, 403].contains(&answer.status), "{lines:?}: {}", answer.status);
    }
    // With tokens, a page that comes by another name has none to show.
    let guarded = Broker::start(settings().http().token("mst_a", "listen = ['']; admin = true"));
    assert_eq!(ask(&guarded, "GET /api/streams", &["Host: evil.example"], "").status, 401);
    assert_eq!(ask(&guarded, "GET /api/streams", &["Host: lab.example", "Authorization: Bearer mst_a"], "").status, 200);
}

#[test]
fn a_websocket_of_another_site_is_none() {
    let broker = broker();
    let lines = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="];
    let status = |origin: &str| {
        let mut asking = Asking::new(&broker);
        asking.request("GET /ws", &[&lines[..], &[&format!("Origin: {origin}")]].concat(), "");
        asking.head().0
    };
    assert_eq!(status("https://evil.example"), 403);
    assert_eq!(status("https://lab.example.org"), 101);
    assert_eq!(status(&format!("http://{}", broker.http_addr())), 101);
    drop(WebSocket::open(std::net::TcpStream::connect(broker.http_addr()).unwrap(), broker.http_addr()));
}
