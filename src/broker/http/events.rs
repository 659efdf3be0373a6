//! One stream as server-sent events: what is said to its listener, as the text that `EventSource` and `curl -N` read.
//!
//! A message is an event without a name, whose id is its position. `header`, `joined`, `skipped`, `close`, `disconnect` and `refused` are
//! events with a name; `error` and `open` are names of `EventSource`'s own, and none of the broker's. Nothing is taken from the peer.

use std::io::Write;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::broker::outbox::TransportKind;
use crate::wire::ids::StreamName;

use super::framed::{Came, Framing, Piece, Wrapped};
use super::lines;

/// What stands for the length of a chunk until that is known: digits of it, and the end of the line.
const CHUNK: &[u8] = b"000000\r\n";

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Marks an id behind which there is no more of the run.
pub(super) const END: &str = ".end";

/// Lines as events.
pub(super) struct Events {
    /// How the line of a message begins, up to the message.
    put: Box<[u8]>,
    /// How the line of the stream's end begins, up to what may follow the name.
    close: Box<[u8]>,
    /// Where the listener stands, once it has joined.
    position: Option<Stand>,
    /// By HTTP/1.1: it has to be told where the text ends.
    chunked: bool,
    /// The line that is sent in pieces.
    line: Line,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    /// Its content is the data of an event.
    Data,
    /// The same, and it is the last one.
    Last,
}

impl Events {
    /// Of this stream.
    pub(super) fn new(stream: &StreamName, chunked: bool) -> Self {
        let (put, close) = (lines::put(stream), lines::close(stream));
        Self { put, close, position: None, chunked, line: Line::Data }
    }

    /// Begins the event of a line, and returns what of the piece is its data.
    fn begin<'a>(&mut self, bytes: &'a [u8], ends: bool, out: &mut Vec<u8>) -> Option<&'a [u8]> {
        if let Some(data) = bytes.strip_prefix(&*self.put) {
            match &mut self.position {
                Some(stand) => {
                    stand.step();
                    stand.put("", out);
                }
                None => out.extend_from_slice(b"event: header\n"),
            }
            self.line = Line::Data;
            return Some(data);
        }
        if let Some(rest) = bytes.strip_prefix(&*self.close) {
            if let Some(stand) = &self.position {
                stand.put(END, out);
            }
            out.extend_from_slice(b"event: close\n");
            self.line = Line::Last;
            return Some(rest.strip_prefix(lines::MESSAGE).unwrap_or(b"null}"));
        }
        self.line = if self.tell(bytes, out) || !ends { Line::Last } else { Line::Data };
        None
    }

    /// Tells what is no message. True if it is the last that there is to tell.
    fn tell(&mut self, line: &[u8], out: &mut Vec<u8>) -> bool {
        // What the broker says is JSON, and what a later one may say beside it is passed over.
        let Ok(said) = serde_json::from_slice::<Said<'_>>(line) else { return false };
        match said.action {
            "receipt" => {
                let position = said.position.map(|position| Stand::at(position.epoch, position.sequence));
                if let Some(stand) = &position {
                    stand.put("", out);
                }
                self.position = self.position.take().or(position);
                put_event("joined", &JoinedData::of(line), out);
                false
            }
            "skipped" => {
                let messages = said.messages.unwrap_or(0);
                if let Some(stand) = &mut self.position {
                    stand.skip(messages);
                    stand.put("", out);
                }
                put_event("skipped", &format!("{{\"messages\":{messages}}}"), out);
                false
            }
            "close" => {
                put_event("disconnect", said.message.map_or("null", RawValue::get), out);
                true
            }
            "error" => {
                put_event("refused", said.message.map_or("null", RawValue::get), out);
                true
            }
            _ => false,
        }
    }
}

/// What of a line of the broker has a meaning here.
#[derive(Deserialize)]
struct Said<'a> {
    action: &'a str,
    #[serde(borrow)]
    message: Option<&'a RawValue>,
    messages: Option<u64>,
    #[serde(borrow)]
    position: Option<At<'a>>,
}

#[derive(Deserialize)]
struct At<'a> {
    epoch: &'a str,
    sequence: u64,
}

/// What a listener is told when it joins: the receipt, without what only the wire needs.
struct JoinedData;

impl JoinedData {
    fn of(line: &[u8]) -> String {
        let mut members: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(line).unwrap_or_default();
        members.retain(|name, _| !["action", "receipt"].contains(&&**name));
        serde_json::Value::Object(members).to_string()
    }
}

impl Framing for Events {
    const KIND: TransportKind = TransportKind::Http;

    fn frame(&mut self, piece: Piece<'_>, out: &mut Vec<u8>) -> bool {
        let data = if piece.starts {
            let Some(data) = self.begin(piece.bytes, piece.ends, out) else { return self.line != Line::Last };
            out.extend_from_slice(b"data: ");
            data
        } else {
            piece.bytes
        };
        // The object around the content ends behind it.
        put_data(if piece.ends { data.strip_suffix(b"}").unwrap_or(data) } else { data }, out);
        if piece.ends {
            out.extend_from_slice(b"\n\n");
        }
        !(piece.ends && self.line == Line::Last)
    }

    fn unframe(&mut self, _came: &mut [u8], _lines: &mut Vec<u8>, _answer: &mut Vec<u8>) -> Came {
        Came::Open
    }

    fn wrap(&mut self, out: &mut Vec<u8>, wrapped: Wrapped) {
        if !self.chunked {
            return;
        }
        match wrapped {
            Wrapped::Begins => out.extend_from_slice(CHUNK),
            Wrapped::Ends if out.len() == CHUNK.len() => out.clear(),
            Wrapped::Ends => {
                let length = out.len() - CHUNK.len();
                // It fits: what is framed at once is far less than 16 MiB.
                for (place, digit) in out.iter_mut().take(CHUNK.len() - 2).rev().enumerate() {
                    *digit = HEX[length >> (4 * place) & 0xf];
                }
                out.extend_from_slice(b"\r\n");
            }
        }
    }

    fn beat(&mut self, out: &mut Vec<u8>) {
        // Within an event, the next bytes are its data.
        out.extend_from_slice(b":\n\n");
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        if self.chunked {
            out.extend_from_slice(b"0\r\n\r\n");
        }
    }
}

/// Where a listener stands: the run, and how many of its messages have been. Kept as the line that says so, of which mostly one digit
/// changes, since each listener has it written for each message.
struct Stand {
    line: Vec<u8>,
    /// Where its digits begin.
    digits: usize,
    sequence: u64,
}

impl Stand {
    fn at(epoch: &str, sequence: u64) -> Self {
        let mut stand = Self { line: format!("id: {epoch}.").into_bytes(), digits: 0, sequence: 0 };
        stand.digits = stand.line.len();
        stand.skip(sequence);
        stand
    }

    /// One message further.
    fn step(&mut self) {
        self.sequence += 1;
        for digit in self.line.iter_mut().skip(self.digits).rev() {
            if *digit != b'9' {
                *digit += 1;
                return;
            }
            *digit = b'0';
        }
        self.line.insert(self.digits, b'1');
    }

    /// So many messages further.
    fn skip(&mut self, messages: u64) {
        self.sequence += messages;
        self.line.truncate(self.digits);
        // Writing to a vector cannot fail.
        let _ = write!(self.line, "{}", self.sequence);
    }

    fn put(&self, end: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.line);
        out.extend_from_slice(end.as_bytes());
        out.push(b'\n');
    }
}

fn put_event(name: &str, data: &str, out: &mut Vec<u8>) {
    let _ = write!(out, "event: {name}\ndata: ");
    put_data(data.as_bytes(), out);
    out.extend_from_slice(b"\n\n");
}

/// Appends data. A carriage return ends a line here, and is a blank in JSON, as the line break is that the reader puts in its place.
fn put_data(data: &[u8], out: &mut Vec<u8>) {
    let mut rest = data;
    while let Some(at) = memchr::memchr(b'\r', rest) {
        out.extend_from_slice(rest.get(..at).unwrap_or_default());
        out.extend_from_slice(b"\ndata: ");
        rest = rest.get(at + 1..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
}

#[cfg(test)]
mod tests {
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
    fn each_step_is_told_in_full() {
        for start in [0, 8, 99, 998, 4_294_967_295, 9_999_999_999] {
            let mut stand = Stand::at("e", start);
            for step in 0..12 {
                let mut out = Vec::new();
                stand.put(if step % 2 == 0 { "" } else { END }, &mut out);
                let end = if step % 2 == 0 { "" } else { END };
                assert_eq!(String::from_utf8(out), Ok(format!("id: e.{}{end}\n", start + step)));
                stand.step();
            }
            stand.skip(988);
            assert_eq!(stand.line, format!("id: e.{}", start + 1000).into_bytes());
        }
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
}
