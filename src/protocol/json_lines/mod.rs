//! JSON lines: one JSON object per line, ended by LF. The default encoding.

use super::action::Action;
use super::codec::{Codec, DecodeLimits, Encode, Foreign, Unit};
use super::error::Mistake;
use super::event::Event;

/// The decoder of one connection that speaks JSON lines.
#[derive(Debug, Default)]
pub struct JsonLines {}

/// The encoder of JSON lines.
#[derive(Debug)]
pub struct JsonLinesEncoder;

/// The one encoder of JSON lines, as frames and connections remember it.
pub static ENCODER: JsonLinesEncoder = JsonLinesEncoder;

impl Encode for JsonLinesEncoder {
    fn encode(&self, _event: &Event<'_>, _out: &mut Vec<u8>) {}
}

impl Codec for JsonLines {
    fn encoder(&self) -> &'static dyn Encode {
        &ENCODER
    }
    fn unit(&self, _bytes: &[u8], _searched: usize) -> Unit {
        Unit::Partial
    }
    fn foreign(&self, _start: &[u8]) -> Foreign {
        Foreign::Ours
    }
    fn decode<'a>(&'a mut self, _unit: &'a [u8], _limits: &DecodeLimits) -> Result<Option<Action<'a>>, Mistake> {
        Ok(None)
    }
}
