//! Events as units: maps with their keys in a fixed order, every number in its shortest form, each behind its length.

use super::super::action::ReceiptId;
use super::super::codec::Encode;
use super::super::event::{Effect, Event};
use super::super::position::Position;
use super::form::{CLOSE_HEAD, MESSAGE, PREFIX, PUT_HEAD};
use super::write::{boolean, float, map, text, unsigned};
use super::{from_json, read_back};

/// The encoder of MessagePack. There is one value of it: [`ENCODER`].
#[derive(Debug)]
pub struct MessagePackEncoder {
    name: &'static str,
}

/// The one encoder of MessagePack, as frames and connections remember it.
pub static ENCODER: MessagePackEncoder = MessagePackEncoder { name: "MessagePack" };

/// How content is written into a unit: as it is, or from JSON text.
type WriteContent = fn(&[u8], &mut Vec<u8>);

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

    fn end_of(&self, units: &[u8], count: u32) -> usize {
        let mut at = 0;
        for _ in 0..count {
            let Some(prefix) = units.get(at..).and_then(|rest| rest.first_chunk::<PREFIX>()) else { break };
            at = units.len().min(at + PREFIX + u32::from_be_bytes(*prefix) as usize);
        }
        at
    }

    fn read_back(&self, units: &[u8], each: &mut dyn FnMut(&Event<'_>)) {
        read_back::read_back(units, each);
    }
}

fn unit(event: &Event<'_>, out: &mut Vec<u8>, content: WriteContent) {
    let start = out.len();
    out.extend_from_slice(&[0; PREFIX]);
    write_map(event, out, content);
    // Limits keep units far shorter than four bytes can say.
    let length = u32::try_from(out.len() - start - PREFIX).unwrap_or(u32::MAX);
    if let Some(prefix) = out.get_mut(start..start + PREFIX) {
        prefix.copy_from_slice(&length.to_be_bytes());
    }
}

fn write_map(event: &Event<'_>, out: &mut Vec<u8>, content: WriteContent) {
    match event {
        Event::Put { stream, message } => {
            out.reserve(PUT_HEAD.len() + 5 + stream.as_str().len() + MESSAGE.len() + message.len());
            write_put_envelope(out, stream.as_str());
            content(message, out);
        }
        Event::Skipped { stream, messages } => {
            map(out, 3);
            pair(out, "action", "skipped");
            pair(out, "stream", stream.as_str());
            text(out, "messages");
            unsigned(out, *messages);
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
        Event::Receipt { receipt, effect } => {
            map(out, 2 + members(effect));
            pair(out, "action", "receipt");
            write_receipt(out, Some(receipt));
            write_effect(out, effect);
        }
        Event::Joined { stream, effect } => {
            map(out, 2 + members(effect));
            pair(out, "action", "joined");
            pair(out, "stream", stream.as_str());
            write_effect(out, effect);
        }
        Event::Pong { receipt } => {
            map(out, 1 + usize::from(receipt.is_some()));
            pair(out, "action", "pong");
            write_receipt(out, *receipt);
        }
        Event::Session { session, known, taken, broker, receipt } => {
            map(out, 5 + usize::from(receipt.is_some()));
            pair(out, "action", "session");
            pair(out, "session", session.as_str());
            text(out, "known");
            boolean(out, *known);
            text(out, "taken");
            unsigned(out, *taken);
            pair(out, "broker", &broker.to_string());
            write_receipt(out, *receipt);
        }
        Event::Error { code, reason, stream, receipt } => {
            map(out, 2 + usize::from(stream.is_some()) + usize::from(receipt.is_some()));
            pair(out, "action", "error");
            write_reason(out, code.as_str(), reason);
            if let Some(stream) = stream {
                pair(out, "stream", stream);
            }
            write_receipt(out, *receipt);
        }
    }
}

fn write_receipt(out: &mut Vec<u8>, receipt: Option<&ReceiptId>) {
    if let Some(receipt) = receipt {
        text(out, "receipt");
        from_json::write(receipt.text().as_bytes(), out);
    }
}

/// How many of these are told.
fn members(effect: &Effect) -> usize {
    let Effect { listeners, streams, state, header, age, resumed, missed, position } = effect;
    let known = [
        listeners.is_some(),
        streams.is_some(),
        state.is_some(),
        header.is_some(),
        age.is_some(),
        resumed.is_some(),
        missed.is_some(),
        position.is_some(),
    ];
    known.into_iter().map(usize::from).sum()
}

fn write_effect(out: &mut Vec<u8>, effect: &Effect) {
    let Effect { listeners, streams, state, header, age, resumed, missed, position } = effect;
    if let Some(listeners) = listeners {
        text(out, "listeners");
        unsigned(out, *listeners as u64);
    }
    if let Some(streams) = streams {
        text(out, "streams");
        unsigned(out, *streams as u64);
    }
    if let Some(state) = state {
        pair(out, "state", state.as_str());
    }
    if let Some(header) = header {
        text(out, "header");
        boolean(out, *header);
    }
    if let Some(age) = age {
        text(out, "age");
        float(out, age.as_millis() as f64 / 1000.0);
    }
    if let Some(resumed) = resumed {
        text(out, "resumed");
        boolean(out, *resumed);
    }
    if let Some(missed) = missed {
        text(out, "missed");
        unsigned(out, *missed);
    }
    if let Some(Position { epoch, sequence }) = position {
        text(out, "position");
        map(out, 2);
        pair(out, "epoch", &epoch.to_string());
        text(out, "sequence");
        unsigned(out, *sequence);
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
