//! The same bytes, however they fall apart, mean the same (every split point, one byte a read).

use msgstream::broker::Settings;

use super::Broker;

/// 200 lines of all kinds: good, bad, blank, with CR, long, escaped, not UTF-8.
pub(crate) fn session() -> Vec<u8> {
    let mut bytes = Vec::new();
    let kinds: [&[u8]; 14] = [
        b"{\"action\":\"put\",\"stream\":\"s\",\"message\":1}\n",
        b"{\"action\":\"put\",\"stream\":\"s\",\"message\":[2]}\n",
        b"{\"action\":\"put\",\"stream\":\"t\",\"message\":3}\n",
        b"{\"action\": \"put\", \"stream\": \"s\", \"message\": {\"a\": 4}}\r\n",
        b"\n",
        b"{\"action\":\"header\",\"stream\":\"s\",\"message\":\"h\"}\n",
        b"no json\n",
        b"{\"action\":\"listen\",\"stream\":\"\\u0073\",\"receipt\":5}\n",
        b"{\"action\":\"put\",\"stream\":\"s\",\"message\":\"\xc3\xa9\",\"header\":6,\"receipt\":\"r\"}\n",
        b"{\"action\":\"put\",\"stream\":\"s\",\"message\":\"\xff\"}\n",
        b"{\"action\":\"put\",\"stream\":\"s\",\"message\":\"a longer text, of more than one word\"}\n",
        b" \r\n",
        b"{\"action\":\"ping\"}\n",
        b"{\"action\":\"hangup\",\"stream\":\"t\"}\n",
    ];
    for number in 0..200 {
        bytes.extend_from_slice(kinds[(number * 5 + number / 14) % kinds.len()]);
    }
    bytes.extend_from_slice(b"{\"action\":\"close\"}\n");
    bytes
}

pub(crate) async fn output(pieces: impl Iterator<Item = &[u8]>) -> String {
    let broker = Broker::start(&Settings::default());
    let peer = broker.connect();
    peer.line(r#"{"action":"listen","stream":"s"}"#);
    peer.line(r#"{"action":"listen","stream":"t"}"#);
    for piece in pieces {
        peer.send(piece);
    }
    peer.rest().await
}

#[tokio::test(start_paused = true)]
async fn every_split_point_gives_the_same_output() {
    let session = session();
    let whole = output([&session[..]].into_iter()).await;
    assert!(whole.ends_with("{\"action\":\"close\"}\n") && whole.lines().count() > 100, "{whole}");
    for at in 1..session.len() {
        let (one, other) = session.split_at(at);
        assert!(output([one, other].into_iter()).await == whole, "split at byte {at}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_byte_a_read_gives_the_same_output() {
    let session = session();
    let whole = output([&session[..]].into_iter()).await;
    assert_eq!(output(session.chunks(1)).await, whole);
    assert_eq!(output(session.chunks(3)).await, whole);
}

/// A unit of MessagePack with this body.
fn packed(body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32).to_be_bytes(), body].concat()
}

/// The same in MessagePack, with units that are too long: they are thrown away as they come, also in pieces.
fn packed_session(limit: usize) -> Vec<u8> {
    let put = |content: &[u8]| packed(&[&b"\x83\xa6action\xa3put\xa6stream\xa1s\xa7message"[..], content].concat());
    let kinds = [
        put(b"\x01"),
        put(b"\x92\x02\xcb\x40\0\0\0\0\0\0\0"),
        packed(b""),
        packed(b"\x84\xa6stream\xa1s\xa6action\xa3put\xa7message\xa3abc\xa7receipt\x07"),
        packed(b"\x01"),
        put(&[&b"\xd9\xf0"[..], &[b'x'; 240]].concat()),
        packed(&vec![0xc1; limit + 1]),
        packed(b"\x81\xa6action\xa4ping"),
        put(b"\x81\xc0\x01"),
        packed(&vec![0; 3 * limit]),
        packed(b"\x83\xa6action\xa6header\xa6stream\xa1t\xa7message\xc0"),
    ];
    let mut bytes = packed(b"\x82\xa6action\xa6listen\xa6stream\xa1s");
    bytes.extend((0..40).flat_map(|number| kinds[(number * 3 + number / 11) % kinds.len()].clone()));
    bytes.extend(packed(b"\x81\xa6action\xa5close"));
    bytes
}

async fn packed_output(settings: &Settings, pieces: impl Iterator<Item = &[u8]>) -> Vec<u8> {
    let broker = Broker::start(settings);
    let peer = broker.connect_packed();
    for piece in pieces {
        peer.send(piece);
    }
    peer.rest_of_bytes().await
}

#[tokio::test(start_paused = true)]
async fn every_split_point_gives_the_same_output_in_message_pack() {
    let mut settings = Settings::default();
    settings.limits.line.0 = 300;
    let session = packed_session(300);
    let whole = packed_output(&settings, [&session[..]].into_iter()).await;
    let count = |text: &[u8]| whole.windows(text.len()).filter(|window| *window == text).count();
    assert!(whole.ends_with(b"\x81\xa6action\xa5close"));
    assert!(
        count(b"line_too_long") >= 6 && count(b"\xa4pong") >= 3 && count(b"\xa7receipt\x07") >= 3,
        "{}",
        String::from_utf8_lossy(&whole)
    );
    for at in 1..session.len() {
        let (one, other) = session.split_at(at);
        assert!(packed_output(&settings, [one, other].into_iter()).await == whole, "split at byte {at}");
    }
    assert!(packed_output(&settings, session.chunks(1)).await == whole);
    assert!(packed_output(&settings, session.chunks(7)).await == whole);
}

/// A unit that is larger than a read is gathered, whatever stands before and behind it.
#[tokio::test(start_paused = true)]
async fn large_units_are_whole() {
    for size in [30_000, 32_760, 65_536, 70_000, 300_000] {
        let text = "x".repeat(size);
        let large = format!("{}\n", super::put("s", &format!("\"{text}\"")));
        let small = format!("{}\n", super::put("s", "1"));
        let all = format!("{small}{large}{small}{large}{small}");
        let broker = Broker::start(&Settings::default());
        let listener = broker.listener("s").await;
        let publisher = broker.connect();
        for piece in all.as_bytes().chunks(9_999) {
            publisher.send(piece);
        }
        publisher.ping().await;
        assert!(listener.ping().await == all, "content of {size} bytes");
        assert_eq!(broker.context.reader.intake.received().bytes(), 0);
    }
}
