//! Clients of two encodings in the same streams.

use serde_json::Value;

use crate::harness::{Broker, Client, settings};

fn listen(mut client: Client, stream: &str) -> Client {
    client.send(&format!(r#"{{"action":"listen","stream":"{stream}"}}"#));
    client.settle();
    client
}

/// How many messages the broker has translated in its life.
fn translated(mut broker: Broker) -> u64 {
    broker.terminate();
    broker.until_ended();
    let last: Value = serde_json::from_str(&broker.until_logged("\"message\":\"stopped\"")).expect("the log is JSON");
    last["translated"].as_u64().expect("a count")
}

fn put(message: &str) -> String {
    format!(r#"{{"action":"put","stream":"job","message":{message}}}"#)
}

#[test]
fn listeners_of_both_encodings_get_what_publishers_of_either_say() {
    let broker = Broker::start(settings());
    let mut json = listen(broker.client(), "job");
    let mut packed = listen(broker.packed_client(), "job");
    let contents = [
        r#"{"step":1,"of":10,"chisq":1.25,"ok":true,"text":"größe \"日本\" \n","none":null}"#,
        r#"[[],{},[[1]],{"a":{"b":[]}},-1,18446744073709551615,-9223372036854775808,-0.0]"#,
        r#"{"z":1,"a":2,"z":3}"#,
        r#"{".class":"my.message",".version":"0.0",".state":{"key1":"value1"}}"#,
        "\"\"",
        "null",
    ];
    for content in contents {
        for mut publisher in [broker.client(), broker.packed_client()] {
            publisher.send(&put(content));
            publisher.ping();
            json.expect(&put(content));
            packed.expect(&put(content));
        }
    }
    drop((json, packed));
    // Each was translated once: from the one publisher for the one listener, and from the other for the other.
    assert_eq!(translated(broker), 2 * contents.len() as u64);
}

#[test]
fn headers_and_ends_cross_as_well() {
    let broker = Broker::start(settings());
    let mut packed = broker.packed_client();
    let mut json = broker.client();
    packed.send(r#"{"action":"header","stream":"a","message":{"done":0.5}}"#);
    packed.send(r#"{"action":"close","stream":"b","message":["over"]}"#);
    packed.send(r#"{"action":"close","stream":"c"}"#);
    packed.ping();
    json.send(r#"{"action":"header","stream":"x","message":{"done":0.5}}"#);
    json.send(r#"{"action":"close","stream":"y","message":["over"]}"#);
    json.send(r#"{"action":"put","stream":"z \"é\"","message":0,"header":[1]}"#);
    json.ping();
    for mut client in [broker.client(), broker.packed_client()] {
        for (stream, first) in [
            ("a", r#"{"action":"put","stream":"a","message":{"done":0.5}}"#),
            ("b", r#"{"action":"close","stream":"b","message":["over"]}"#),
            ("c", r#"{"action":"close","stream":"c"}"#),
            ("x", r#"{"action":"put","stream":"x","message":{"done":0.5}}"#),
            ("y", r#"{"action":"close","stream":"y","message":["over"]}"#),
            (r#"z \"é\""#, r#"{"action":"put","stream":"z \"é\"","message":[1]}"#),
        ] {
            client.ask(&format!(r#"{{"action":"listen","stream":"{stream}"}}"#), first);
        }
        client.ping();
    }
    // A stream that was opened in one encoding is closed in the other.
    json.ask(r#"{"action":"listen","stream":"a"}"#, r#"{"action":"put","stream":"a","message":{"done":0.5}}"#);
    packed.send(r#"{"action":"delete","stream":"a","message":"gone"}"#);
    json.expect(r#"{"action":"close","stream":"a","message":"gone"}"#);
}

#[test]
fn what_does_not_survive_the_crossing_has_a_form_of_its_own() {
    let broker = Broker::start(settings());
    let mut json = listen(broker.client(), "job");
    let mut packed = broker.packed_client();
    let class = |class: &str, state: &str| format!(r#"{{".class":"{class}",".version":"1.0",".state":{state}}}"#);
    let table: [(&[u8], String); 6] = [
        (b"\xcb\x7f\xf8\0\0\0\0\0\0", class("float", "\"NaN\"")),
        (b"\xca\xff\x80\0\0", class("float", "\"-Infinity\"")),
        (b"\xc4\x03\0\x01\xff", class("bytes", "\"AAH/\"")),
        (b"\xd6\xff\0\0\0\x01", class("ext", r#"{"type":-1,"data":"AAAAAQ=="}"#)),
        (b"\xc7\x05J1e400", "1e400".to_owned()),
        (b"\x81\x07\x01", r#"{"7":1}"#.to_owned()),
    ];
    for (content, expected) in table {
        let body = [&b"\x83\xa6action\xa3put\xa6stream\xa3job\xa7message"[..], content].concat();
        packed.send_bytes(&[&(body.len() as u32).to_be_bytes(), &body[..]].concat());
        packed.ping();
        json.expect(&put(&expected));
    }
    // A key that JSON could not hold is refused, whoever listens.
    let body = b"\x83\xa6action\xa3put\xa6stream\xa3job\xa7message\x81\xc3\x01";
    packed.send_bytes(&[&(body.len() as u32).to_be_bytes(), &body[..]].concat());
    packed.expect_code("bad_json");
    json.expect_silence();
}

#[test]
fn a_message_is_translated_once_for_all_listeners() {
    let broker = Broker::start(settings());
    let mut listeners: Vec<_> = (0..100).map(|_| listen(broker.packed_client(), "job")).collect();
    let mut publisher = broker.client();
    let lines: String = (0..50).map(|number| put(&number.to_string()) + "\n").collect();
    publisher.send_bytes(lines.as_bytes());
    publisher.send(r#"{"action":"put","stream":"job","message":"last","header":"header","receipt":1}"#);
    publisher.expect(r#"{"action":"receipt","receipt":1,"listeners":100}"#);
    for listener in &mut listeners {
        for number in 0..50 {
            listener.expect(&put(&number.to_string()));
        }
        listener.expect(&put("\"last\""));
    }
    // The header once, though each joins by itself.
    for _ in 0..20 {
        let mut late = broker.packed_client();
        late.ask(r#"{"action":"listen","stream":"job"}"#, &put("\"header\""));
    }
    drop(listeners);
    assert_eq!(translated(broker), 50 + 1 + 1);
}

#[test]
fn nothing_is_translated_that_nobody_needs() {
    let broker = Broker::start(settings());
    let mut json = listen(broker.client(), "job");
    let mut packed = listen(broker.packed_client(), "other");
    let mut publisher = broker.client();
    publisher.send(r#"{"action":"header","stream":"job","message":1}"#);
    publisher.send(&put("2"));
    publisher.send(r#"{"action":"put","stream":"nobody","message":3}"#);
    publisher.ping();
    json.expect(&put("2"));
    packed.ping();
    assert_eq!(translated(broker), 0);
}

#[test]
fn a_message_that_announces_too_much_is_thrown_away_as_it_comes() {
    let broker = Broker::start(settings().short_lines(2000));
    let mut client = broker.packed_client();
    client.ping();
    let rss = broker.rss();
    // 256 MiB, of which 200 are sent; told at once, before they have come.
    client.send_bytes(&(256_u32 << 20).to_be_bytes());
    client.expect_code("line_too_long");
    let block = vec![0xff; 1 << 20];
    for _ in 0..200 {
        client.send_bytes(&block);
    }
    assert!(broker.rss() < rss + (16 << 20), "{} bytes more", broker.rss() - rss);
    for _ in 0..56 {
        client.send_bytes(&block);
    }
    client.ping();
    // One byte decides: the length itself does not count.
    for (length, good) in [(2000, true), (2001, false)] {
        let head = b"\x83\xa6action\xa3put\xa6stream\xa3job\xa7message\xda";
        let text = length - head.len() - 2;
        let body = [&head[..], &(text as u16).to_be_bytes(), &vec![b'x'; text]].concat();
        client.send_bytes(&[&(body.len() as u32).to_be_bytes(), &body[..]].concat());
        if !good {
            client.expect_code("line_too_long");
        }
        client.ping();
    }
}

#[test]
fn a_client_of_something_else_is_told_so() {
    let broker = Broker::start(settings());
    for (bytes, phrase) in [
        (&b"{\"action\":\"ping\"}\n"[..], "JSON lines are spoken on another address"),
        (b"GET / HTTP/1.1\r\n\r\n", "not HTTP"),
        (b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03", "not TLS"),
        (b"\x81\xa6action\xa4ping", "length of each message"),
    ] {
        let mut client = broker.packed_client();
        client.send_bytes(bytes);
        let line = client.next();
        assert!(line.starts_with(r#"{"action":"close","message":{"code":"not_json","reason":""#) && line.contains(phrase), "{line}");
        client.expect_eof();
    }
}
