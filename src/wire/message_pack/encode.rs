//! Events as units: maps with their keys in a fixed order, every number in its shortest form, each behind its length.

use super::super::codec::Encode;
use super::super::event::Event;
use super::{PREFIX, from_json, read_back};

/// The encoder of MessagePack, of which there is one: [`ENCODER`].
#[derive(Debug)]
pub struct MessagePackEncoder {
    name: &'static str,
}

/// The one encoder of MessagePack, as frames and connections remember it.
pub static ENCODER: MessagePackEncoder = MessagePackEncoder { name: "MessagePack" };

/// What stands before the name in a put, the unit's length aside.
pub(super) const PUT_HEAD: &[u8] = b"\x83\xa6action\xa3put\xa6stream";
/// What stands before the name in the end of a stream, behind the map's head.
pub(super) const CLOSE_HEAD: &[u8] = b"\xa6action\xa5close\xa6stream";
/// What stands before the content.
pub(super) const MESSAGE: &[u8] = b"\xa7message";

/// How content goes into a unit: as it is, or from another encoding.
type Content = fn(&[u8], &mut Vec<u8>);

/// The beginning of every put of a stream, behind the unit's length and up to its message.
pub(super) fn put_envelope(name: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(PUT_HEAD.len() + 5 + name.len() + MESSAGE.len());
    write_put_envelope(&mut out, name);
    out
}

fn write_put_envelope(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(PUT_HEAD);
    text(out, name);
    out.extend_from_slice(MESSAGE);
}

impl Encode for MessagePackEncoder {
    fn name(&self) -> &'static str {
        self.name
    }

    fn encode(&self, event: &Event<'_>, out: &mut Vec<u8>) {
        unit(event, out, |content, out| out.extend_from_slice(content));
    }

    fn encode_json(&self, event: &Event<'_>, out: &mut Vec<u8>) {
        unit(event, out, from_json::write);
    }

    fn read_back(&self, units: &[u8], each: &mut dyn FnMut(&Event<'_>)) {
        read_back::read_back(units, each);
    }
}

fn unit(event: &Event<'_>, out: &mut Vec<u8>, content: Content) {
    let start = out.len();
    out.extend_from_slice(&[0; PREFIX]);
    write(event, out, content);
    // What may be sent is bounded far below the four bytes' range.
    let length = u32::try_from(out.len() - start - PREFIX).unwrap_or(u32::MAX);
    if let Some(prefix) = out.get_mut(start..start + PREFIX) {
        prefix.copy_from_slice(&length.to_be_bytes());
    }
}

fn write(event: &Event<'_>, out: &mut Vec<u8>, content: Content) {
    match event {
        Event::Put { stream, message } => {
            out.reserve(PUT_HEAD.len() + 5 + stream.as_str().len() + MESSAGE.len() + message.len());
            write_put_envelope(out, stream.as_str());
            content(message, out);
        }
        Event::Close { stream, message } => {
            map(out, 2 + usize::from(message.is_some()));
            out.extend_from_slice(CLOSE_HEAD);
            text(out, stream.as_str());
            if let Some(message) = message {
                out.extend_from_slice(MESSAGE);
                content(message, out);
            }
        }
        Event::CloseConnection { why } => {
            map(out, 1 + usize::from(why.is_some()));
            pair(out, "action", "close");
            if let Some((code, reason)) = why {
                write_reason(out, code.as_str(), reason);
            }
        }
        Event::Receipt { receipt, listeners, state } => {
            map(out, 2 + usize::from(listeners.is_some()) + usize::from(state.is_some()));
            pair(out, "action", "receipt");
            text(out, "receipt");
            from_json::write(receipt.0.as_bytes(), out);
            if let Some(listeners) = listeners {
                text(out, "listeners");
                unsigned(out, *listeners as u64);
            }
            if let Some(state) = state {
                pair(out, "state", state.as_str());
            }
        }
        Event::Pong { receipt } => {
            map(out, 1 + usize::from(receipt.is_some()));
            pair(out, "action", "pong");
            if let Some(receipt) = receipt {
                text(out, "receipt");
                from_json::write(receipt.0.as_bytes(), out);
            }
        }
        Event::Error { code, reason, stream, receipt } => {
            map(out, 2 + usize::from(stream.is_some()) + usize::from(receipt.is_some()));
            pair(out, "action", "error");
            write_reason(out, code.as_str(), reason);
            if let Some(stream) = stream {
                pair(out, "stream", stream);
            }
            if let Some(receipt) = receipt {
                text(out, "receipt");
                from_json::write(receipt.0.as_bytes(), out);
            }
        }
    }
}

fn write_reason(out: &mut Vec<u8>, code: &str, reason: &str) {
    out.extend_from_slice(MESSAGE);
    map(out, 2);
    pair(out, "code", code);
    pair(out, "reason", reason);
}

fn pair(out: &mut Vec<u8>, key: &str, value: &str) {
    text(out, key);
    text(out, value);
}

/// The head of a map with a few pairs.
fn map(out: &mut Vec<u8>, pairs: usize) {
    debug_assert!(pairs < 16, "a larger map has another head");
    out.push(0x80 | pairs as u8);
}

pub(super) fn text(out: &mut Vec<u8>, text: &str) {
    match text.len() {
        length @ 0..=31 => out.push(0xa0 | length as u8),
        length => sized(out, [0xd9, 0xda, 0xdb], length),
    }
    out.extend_from_slice(text.as_bytes());
}

/// How many bytes stand before a text of this length.
pub(super) fn text_head(length: usize) -> usize {
    match length {
        0..=31 => 1,
        32..=0xff => 2,
        0x100..=0xffff => 3,
        _ => 5,
    }
}

pub(super) fn unsigned(out: &mut Vec<u8>, number: u64) {
    match number {
        0..=0x7f => out.push(number as u8),
        0x80..=0xff => out.extend_from_slice(&[0xcc, number as u8]),
        0x100..=0xffff => with_marker(out, 0xcd, (number as u16).to_be_bytes()),
        0x1_0000..=0xffff_ffff => with_marker(out, 0xce, (number as u32).to_be_bytes()),
        0x1_0000_0000.. => with_marker(out, 0xcf, number.to_be_bytes()),
    }
}

pub(super) fn signed(out: &mut Vec<u8>, number: i64) {
    match number {
        0.. => unsigned(out, number.unsigned_abs()),
        -0x20..=-1 => out.push(number as u8),
        -0x80..-0x20 => out.extend_from_slice(&[0xd0, number as u8]),
        -0x8000..-0x80 => with_marker(out, 0xd1, (number as i16).to_be_bytes()),
        -0x8000_0000..-0x8000 => with_marker(out, 0xd2, (number as i32).to_be_bytes()),
        ..-0x8000_0000 => with_marker(out, 0xd3, number.to_be_bytes()),
    }
}

pub(super) fn float(out: &mut Vec<u8>, number: f64) {
    with_marker(out, 0xcb, number.to_be_bytes());
}

pub(super) fn extension(out: &mut Vec<u8>, kind: i8, data: &[u8]) {
    match data.len() {
        1 => out.push(0xd4),
        2 => out.push(0xd5),
        4 => out.push(0xd6),
        8 => out.push(0xd7),
        16 => out.push(0xd8),
        length => sized(out, [0xc7, 0xc8, 0xc9], length),
    }
    out.push(kind.cast_unsigned());
    out.extend_from_slice(data);
}

/// A length behind the shortest of three markers.
fn sized(out: &mut Vec<u8>, markers: [u8; 3], length: usize) {
    let [small, middle, large] = markers;
    match length {
        0..=0xff => out.extend_from_slice(&[small, length as u8]),
        0x100..=0xffff => with_marker(out, middle, (length as u16).to_be_bytes()),
        _ => with_marker(out, large, (length as u32).to_be_bytes()),
    }
}

fn with_marker<const N: usize>(out: &mut Vec<u8>, marker: u8, bytes: [u8; N]) {
    out.push(marker);
    out.extend_from_slice(&bytes);
}
