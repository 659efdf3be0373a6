//! The seam for encodings: a codec turns bytes into actions and events into bytes.
//!
//! JSON lines is the first. Another implements [`Codec`] and [`Encode`]; the broker's core sees neither.

use std::fmt;

use super::action::Action;
use super::error::Mistake;
use super::event::Event;

/// Turns events into bytes. One static value per encoding: frames and connections remember it.
pub trait Encode: fmt::Debug + Send + Sync + 'static {
    /// Appends the event to `out` as one complete unit.
    fn encode(&self, event: &Event<'_>, out: &mut Vec<u8>);
}

/// The decoder of one connection.
///
/// The connection gathers bytes, asks [`unit`](Codec::unit) where the first complete unit ends (a unit is a line, or
/// whatever carries one action), and hands it to [`decode`](Codec::decode).
pub trait Codec: fmt::Debug + Send + Unpin + 'static {
    /// The encoder for events to the same connection.
    fn encoder(&self) -> &'static dyn Encode;

    /// Where the first unit of `bytes` ends. The first `searched` bytes are known not to hold its end: an earlier call
    /// on a shorter part of the same bytes answered [`Unit::Partial`].
    fn unit(&self, bytes: &[u8], searched: usize) -> Unit;

    /// Whether a connection that begins with these bytes speaks something else. Asked before the first unit is decoded,
    /// with all that has come so far, until the answer is not [`Foreign::Unclear`].
    fn foreign(&self, start: &[u8]) -> Foreign;

    /// Decodes one complete unit, its end included. `None` for a unit that says nothing, such as a blank line.
    ///
    /// # Errors
    /// A [`Mistake`] concerns this unit only: the next one is decoded as if this one had not been.
    fn decode<'a>(&'a mut self, unit: &'a [u8], limits: &DecodeLimits) -> Result<Option<Action<'a>>, Mistake>;
}

/// Where a unit ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// The unit is complete and takes this many bytes, its end included.
    Complete(usize),
    /// More bytes are needed.
    Partial,
}

/// Whether a connection speaks this protocol at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Foreign {
    /// Yes, or at least something that deserves an error line.
    Ours,
    /// Cannot be told from so few bytes.
    Unclear,
    /// No: what it is, and what would be right.
    Theirs(String),
}

/// What a decoder holds every unit to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodeLimits {
    /// The longest unit, in bytes, its end not counted. Longer ones never reach [`Codec::decode`].
    pub line: usize,
    /// The longest stream name, in bytes of UTF-8.
    pub name: usize,
}
