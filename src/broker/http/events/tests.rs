use super::*;

const HEADER: &str = r#"{"action":"put","stream":"s","message":{"of":3}}"#;
const JOINED: &str = r#"{"action":"receipt","receipt":1,"state":"running","age":0.5,"position":{"epoch":"e","sequence":7}}"#;

fn events(chunked: bool) -> Events {
    Events::new(&StreamName::new("s").unwrap(), chunked)
}

/// What is sent for these lines, in one write each; and whether more is of interest after the last.
fn sent(events: &mut Events, lines: &[&str]) -> (String, bool) {
    let (mut all, mut goes_on) = (Vec::new(), true);
    for line in lines {
        let mut out = Vec::new();
        events.wrap(&mut out, Wrapped::Begins);
        goes_on = events.frame(Piece { bytes: line.as_bytes(), starts: true, ends: true }, &mut out);
        events.wrap(&mut out, Wrapped::Ends);
        all.extend_from_slice(&out);
    }
    (String::from_utf8(all).unwrap(), goes_on)
}

#[test]
fn what_comes_before_the_receipt_is_the_header_and_each_message_behind_it_counts_one() {
    let mut events = events(false);
    let (text, goes_on) = sent(
        &mut events,
        &[
            HEADER,
            JOINED,
            r#"{"action":"put","stream":"s","message":[1.10]}"#,
            r#"{"action":"skipped","stream":"s","messages":5}"#,
            r#"{"action":"put","stream":"s","message":"a\rb"}"#,
            r#"{"action":"joined","stream":"s","of":"a later broker"}"#,
        ],
    );
    let expected = concat!(
        "event: header\ndata: {\"of\":3}\n\n",
        "id: e.7\nevent: joined\ndata: {\"age\":0.5,\"position\":{\"epoch\":\"e\",\"sequence\":7},\"state\":\"running\"}\n\n",
        "id: e.8\ndata: [1.10]\n\n",
        "id: e.13\nevent: skipped\ndata: {\"messages\":5}\n\n",
        "id: e.14\ndata: \"a\\rb\"\n\n",
    );
    assert_eq!((&*text, goes_on), (expected, true));
    let (text, goes_on) = sent(&mut events, &[r#"{"action":"close","stream":"s","message":{"ok":true}}"#]);
    assert_eq!((&*text, goes_on), ("id: e.14.end\nevent: close\ndata: {\"ok\":true}\n\n", false));
}

/// What the wire needs beside, since its header comes as a message does, is not told: here it is an event of its own.
#[test]
fn whether_there_is_a_header_is_told_by_its_event_alone() {
    let receipt = r#"{"action":"receipt","receipt":1,"state":"ended","header":true,"age":0.5}"#;
    let (text, _) = sent(&mut events(false), &[HEADER, receipt]);
    assert_eq!(text, "event: header\ndata: {\"of\":3}\n\nevent: joined\ndata: {\"age\":0.5,\"state\":\"ended\"}\n\n");
}

#[test]
fn nothing_comes_behind_an_end() {
    for (line, expected) in [
        (r#"{"action":"close","stream":"s"}"#, "event: close\ndata: null\n\n"),
        (r#"{"action":"close"}"#, "event: disconnect\ndata: null\n\n"),
        (r#"{"action":"close","message":{"code":"shutdown"}}"#, "event: disconnect\ndata: {\"code\":\"shutdown\"}\n\n"),
        (r#"{"action":"error","message":{"code":"limit"},"receipt":1}"#, "event: refused\ndata: {\"code\":\"limit\"}\n\n"),
    ] {
        let (text, goes_on) = sent(&mut events(false), &[line]);
        assert_eq!((&*text, goes_on), (expected, false));
        // `EventSource` has these names for itself: whoever listens for them must not take the network's trouble for the broker's word.
        assert!(!["event: error", "event: open"].iter().any(|own| text.starts_with(own)), "{text}");
    }
}

#[test]
fn a_stream_whose_name_begins_like_this_one_is_another_one() {
    let line = r#"{"action":"put","stream":"st","message":1}"#;
    assert_eq!(sent(&mut events(false), &[line]), (String::new(), true));
    assert_eq!(sent(&mut events(true), &[line]).0, "", "there is no empty chunk, which would be the end");
}

#[test]
fn a_line_in_pieces_is_the_same_event_wherever_it_is_cut() {
    let message = format!("[\r{},\r\r1]", "m".repeat(20));
    for line in [
        format!(r#"{{"action":"put","stream":"s","message":{message}}}"#),
        format!(r#"{{"action":"close","stream":"s","message":{message}}}"#),
    ] {
        let (whole, goes_on) = sent(&mut events(false), &[&line]);
        assert!(whole.ends_with("data: [\ndata: mmmmmmmmmmmmmmmmmmmm,\ndata: \ndata: 1]\n\n"), "{whole}");
        // The first piece is long: what stands before the message is in it.
        let first = line.find('[').unwrap();
        for at in first..line.len() {
            for to in at..=line.len() {
                let (mut events, mut out, mut goes) = (events(false), Vec::new(), true);
                let pieces = [(&line[..at], true, false), (&line[at..to], false, to == line.len()), (&line[to..], false, true)];
                for (text, starts, ends) in &pieces[..if to == line.len() { 2 } else { 3 }] {
                    goes = events.frame(Piece { bytes: text.as_bytes(), starts: *starts, ends: *ends }, &mut out);
                }
                assert_eq!((String::from_utf8(out).unwrap(), goes), (whole.clone(), goes_on), "cut at {at} and {to}");
            }
        }
    }
}

#[test]
fn chunks_say_how_long_they_are() {
    let mut events = events(true);
    let (text, _) = sent(&mut events, &[HEADER, JOINED]);
    let mut rest = &*text;
    let mut data = String::new();
    while !rest.is_empty() {
        let (length, behind) = rest.split_once("\r\n").unwrap();
        let (chunk, behind) = behind.split_at(usize::from_str_radix(length, 16).unwrap());
        data += chunk;
        rest = behind.strip_prefix("\r\n").unwrap();
    }
    assert_eq!(data, sent(&mut self::events(false), &[HEADER, JOINED]).0);
    let mut out = Vec::new();
    events.wrap(&mut out, Wrapped::Begins);
    events.beat(&mut out);
    events.wrap(&mut out, Wrapped::Ends);
    events.end(&mut out);
    assert_eq!(out, b"000003\r\n:\n\n\r\n0\r\n\r\n");
}

#[test]
fn a_chunk_says_how_long_it_is() {
    let mut events = Events::new(&StreamName::new("s").unwrap(), true);
    for length in [1, 9, 15, 16, 255, 4096, 65_536, 70_001, 1_048_575] {
        let mut out = Vec::new();
        events.wrap(&mut out, Wrapped::Begins);
        out.resize(out.len() + length, b'x');
        events.wrap(&mut out, Wrapped::Ends);
        assert!(out.starts_with(format!("{length:06x}\r\nx").as_bytes()), "{length}");
        assert_eq!(out.len(), CHUNK.len() + length + 2);
    }
}
