//! One stream as server-sent events: what is said to its listener, as the text that `EventSource` and `curl -N` read.
//!
//! A message is an event without a name, whose id is its position. `header`, `joined`, `skipped`, `close`, `disconnect` and `refused` are
//! events with a name; `error` and `open` are names of `EventSource`'s own, and none of the broker's. Nothing is taken from the peer.

mod stand;
#[cfg(test)]
mod tests;

use std::io::Write;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::broker::outbox::TransportKind;
use crate::wire::ids::StreamName;

use super::framed::{Came, Framing, Piece, Wrapped};
use super::lines;
use stand::Stand;

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

/// What a listener is told when it joins: the receipt, without what only the wire needs. Whether there is a header, an event of its own tells.
struct JoinedData;

impl JoinedData {
    fn of(line: &[u8]) -> String {
        let mut members: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(line).unwrap_or_default();
        members.retain(|name, _| !["action", "receipt", "header"].contains(&&**name));
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
