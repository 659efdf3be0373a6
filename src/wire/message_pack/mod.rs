//! MessagePack: one map for each action or event, behind its length in four bytes, the highest first.
//!
//! It is the binary counterpart of [`JsonLines`](super::json_lines::JsonLines): the same members, the same mistakes, and
//! content that is passed on byte for byte. `skip` validates, `token` reads one marker, `decode` makes an action of a unit
//! and `encode` a unit of an event, with the values of `write`. `from_json` and `to_json` translate content. `form` holds the
//! bytes that never change, and `fault` lists what can be wrong.

mod decode;
mod encode;
mod explain;
mod fault;
mod foreign;
mod form;
mod from_json;
mod open;
mod read_back;
mod skip;
#[cfg(test)]
mod tests;
mod to_json;
mod token;
mod write;

use super::action::Action;
use super::codec::{Codec, DecodeLimits, Encode, Foreign, UnitEnd};
use super::error::Mistake;
use super::names::Latest;

use form::PREFIX;

pub use encode::{ENCODER, MessagePackEncoder};

/// The decoder of one connection that speaks MessagePack.
#[derive(Debug, Default)]
pub struct MessagePack {
    latest: Latest,
}

impl Codec for MessagePack {
    const FRAMING: usize = PREFIX;

    fn encoder(&self) -> &'static dyn Encode {
        &ENCODER
    }

    fn unit(&self, bytes: &[u8], _searched: usize) -> UnitEnd {
        let Some(prefix) = bytes.first_chunk() else { return UnitEnd::Partial };
        let length = PREFIX + u32::from_be_bytes(*prefix) as usize;
        if bytes.len() < length { UnitEnd::Announced(length) } else { UnitEnd::Complete(length) }
    }

    fn foreign(&self, start: &[u8]) -> Foreign {
        foreign::recognise(start)
    }

    fn decode<'a>(&'a mut self, unit: &'a [u8], limits: &DecodeLimits) -> Result<Option<Action<'a>>, Mistake> {
        decode::decode(&mut self.latest, unit, limits)
    }
}
