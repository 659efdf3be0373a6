//! JSON lines: one JSON object per line, ended by LF. The default encoding.
//!
//! Nearly all lines of a busy broker are puts that begin alike: `put` knows them by their first bytes, `scan`
//! validates the message, with `numbers` for long arrays, and the line goes on as it stands. All others go through
//! `object`, which finds the members, and `decode`, which makes an action of them; `fault` lists what can be wrong, and
//! `explain` puts it into words. `form` holds the bytes that never change.
//! Nothing here knows sockets or streams.

mod block;
mod decode;
mod encode;
mod explain;
mod fault;
mod foreign;
mod form;
mod numbers;
mod object;
mod open;
mod put;
mod read_back;
pub(super) mod scan;
#[cfg(test)]
mod tests;
mod text;
pub(super) mod token;
mod words;

use super::action::Action;
use super::codec::{Codec, DecodeLimits, Encode, Foreign, UnitEnd};
use super::error::Mistake;
use super::names::Latest;

pub use encode::{ENCODER, JsonLinesEncoder};

/// The decoder of one connection that speaks JSON lines.
#[derive(Debug, Default)]
pub struct JsonLines {
    latest: Latest,
}

impl Codec for JsonLines {
    const FRAMING: usize = 1;

    fn encoder(&self) -> &'static dyn Encode {
        &ENCODER
    }

    fn unit(&self, bytes: &[u8], searched: usize) -> UnitEnd {
        let unsearched = bytes.get(searched..).unwrap_or_default();
        match memchr::memchr(b'\n', unsearched) {
            Some(at) => UnitEnd::Complete(searched + at + 1),
            None => UnitEnd::Partial,
        }
    }

    fn foreign(&self, start: &[u8]) -> Foreign {
        foreign::recognise(start)
    }

    fn blank(&self, bytes: &[u8], most: usize) -> usize {
        let blanks = bytes.get(..token::skip_space(bytes, 0)).unwrap_or_default();
        let ends = memchr::memchr_iter(b'\n', blanks).map(|newline| newline + 1);
        ends.scan(0, |begin, end| Some((std::mem::replace(begin, end), end)))
            .take_while(|(begin, end)| end - begin - Self::FRAMING <= most)
            .last()
            .map_or(0, |(_, end)| end)
    }

    fn decode<'a>(&'a mut self, unit: &'a [u8], limits: &DecodeLimits) -> Result<Option<Action<'a>>, Mistake> {
        decode::decode(&mut self.latest, unit, limits)
    }
}
