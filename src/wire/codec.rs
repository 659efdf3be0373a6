//! The seam for encodings: a codec turns bytes into actions and events into bytes.
//!
//! Each encoding implements [`Codec`] and [`Encode`]; the broker's core sees neither. Where clients of two encodings meet in
//! one stream, content is translated by way of JSON text, so that no encoding knows another.

use std::fmt;

use super::action::Action;
use super::error::Mistake;
use super::event::Event;

/// Turns events into bytes. One static value per encoding: frames and connections remember it.
///
/// Encoders are compared by address, which costs one comparison for each message. So the type of an encoder must not be
/// zero-sized: statics of zero size may share an address.
pub trait Encode: fmt::Debug + Send + Sync + 'static {
    /// The encoding's name, for people.
    fn name(&self) -> &'static str;

    /// Appends the event to `out` as one complete unit. Content is in this encoding.
    fn encode(&self, event: &Event<'_>, out: &mut Vec<u8>);

    /// Appends the event to `out` as one complete unit. Content is JSON text, and is translated into this encoding. Values that
    /// the encoding lacks are written in a documented form.
    fn encode_json(&self, event: &Event<'_>, out: &mut Vec<u8>);

    /// Where the first `count` of complete units end, in bytes.
    fn end_of(&self, units: &[u8], count: u32) -> usize;

    /// Where the last of `count` complete units begins, in bytes.
    fn start_of_last(&self, units: &[u8], count: u32) -> usize {
        self.end_of(units, count.saturating_sub(1))
    }

    /// Calls `each` with the events of complete units that this encoder wrote, or that its codec passes on as they stand.
    /// Content is JSON text. Only messages and ends of streams are ever read back: all other events are for one client.
    fn read_back(&self, units: &[u8], each: &mut dyn FnMut(&Event<'_>));
}

/// The decoder of one connection.
///
/// The connection gathers bytes, asks [`unit`](Codec::unit) where the first complete unit ends (a unit carries one action: a
/// line, for example), and hands it to [`decode`](Codec::decode).
pub trait Codec: fmt::Debug + Send + Unpin + 'static {
    /// How many bytes of a unit are framing and do not count towards its length: its end, or its length in front.
    const FRAMING: usize;

    /// The encoder for events to the same connection.
    fn encoder(&self) -> &'static dyn Encode;

    /// Where the first unit of `bytes` ends. Its end is not in the first `searched` bytes: an earlier call saw only those,
    /// and asked for more.
    fn unit(&self, bytes: &[u8], searched: usize) -> UnitEnd;

    /// Whether a connection that begins with these bytes speaks something else. Asked before the first unit is decoded,
    /// with all that has come so far, until the answer is not [`Foreign::Unclear`].
    fn foreign(&self, start: &[u8]) -> Foreign;

    /// How many of these bytes, from the first on, are complete units that say nothing, such as blank lines, and have `most` bytes at the
    /// most.
    fn blank(&self, bytes: &[u8], most: usize) -> usize {
        let _ = (bytes, most);
        0
    }

    /// Decodes one complete unit, its end included. `None` for a unit that says nothing, such as a blank line.
    ///
    /// # Errors
    /// A [`Mistake`] concerns this unit only: the next one is decoded as if this one had not been.
    fn decode<'a>(&'a mut self, unit: &'a [u8], limits: &DecodeLimits) -> Result<Option<Action<'a>>, Mistake>;
}

/// Where a unit ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnitEnd {
    /// The unit is complete and takes this many bytes, its end included.
    Complete(usize),
    /// More bytes are needed; how many is unknown.
    Partial,
    /// More bytes are needed: the unit takes this many in all.
    Announced(usize),
}

/// Whether a connection speaks this protocol at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Foreign {
    /// Yes, or close enough to deserve an error line.
    Ours,
    /// These are too few bytes to tell.
    Unclear,
    /// No: what it is, and what would be right.
    Theirs(String),
}

/// The limits that a decoder enforces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodeLimits {
    /// The longest unit, in bytes, its framing not counted. Longer ones never reach [`Codec::decode`].
    pub line: usize,
    /// The longest stream name, in bytes of UTF-8.
    pub name: usize,
}
