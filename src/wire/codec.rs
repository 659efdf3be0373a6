//! The seam for encodings: a codec turns bytes into actions and events into bytes.
//!
//! Each encoding implements [`Codec`] and [`Encode`]; the broker's core sees neither. Where clients of two encodings meet in
//! one stream, content goes from the one to the other by way of JSON text, so that no encoding knows another.

use std::fmt;

use super::action::Action;
use super::error::Mistake;
use super::event::Event;

/// Turns events into bytes. One static value per encoding: frames and connections remember it.
///
/// Two encoders are told apart by their addresses, which is one comparison on the way of every message. So the type of an
/// encoder must have a size: statics without one may share an address.
///
/// ```
/// use msgstream::wire::ids::StreamName;
/// use msgstream::wire::{Encode, Event, json_lines, message_pack};
///
/// let stream = StreamName::new("job-1")?;
/// let mut packed = Vec::new();
/// message_pack::ENCODER.encode_json(&Event::Put { stream: &stream, message: b"[1, 2]" }, &mut packed);
/// assert_eq!(message_pack::ENCODER.name(), "MessagePack");
///
/// // What one encoding wrote goes into another by way of JSON text.
/// let mut line = Vec::new();
/// message_pack::ENCODER.read_back(&packed, &mut |event| json_lines::ENCODER.encode_json(event, &mut line));
/// assert_eq!(line, b"{\"action\":\"put\",\"stream\":\"job-1\",\"message\":[1,2]}\n");
///
/// // Content that is in the encoding already stands there byte for byte.
/// line.clear();
/// json_lines::ENCODER.encode(&Event::Put { stream: &stream, message: b"[1, 2]" }, &mut line);
/// assert_eq!(line, b"{\"action\":\"put\",\"stream\":\"job-1\",\"message\":[1, 2]}\n");
/// # Ok::<(), msgstream::wire::ids::EmptyName>(())
/// ```
pub trait Encode: fmt::Debug + Send + Sync + 'static {
    /// The encoding's name, for people.
    fn name(&self) -> &'static str;

    /// Appends the event to `out` as one complete unit. Content is in this encoding.
    fn encode(&self, event: &Event<'_>, out: &mut Vec<u8>);

    /// Appends the event to `out` as one complete unit. Content is JSON text, and is put into this encoding. What the
    /// encoding has no value for is put in a way that its users can look up.
    fn encode_json(&self, event: &Event<'_>, out: &mut Vec<u8>);

    /// Calls `each` with the events of complete units that this encoder wrote, or that its codec passes on as they stand.
    /// Content is JSON text. Only messages and ends of streams are ever read back: all else is for one client.
    fn read_back(&self, units: &[u8], each: &mut dyn FnMut(&Event<'_>));
}

/// The decoder of one connection.
///
/// The connection gathers bytes, asks [`unit`](Codec::unit) where the first complete unit ends (a unit is a line, or
/// whatever carries one action), and hands it to [`decode`](Codec::decode).
///
/// ```
/// use msgstream::wire::json_lines::JsonLines;
/// use msgstream::wire::{Action, Codec, DecodeLimits, Foreign, Unit};
///
/// let limits = DecodeLimits { line: 1 << 20, name: 1024 };
/// let mut codec = JsonLines::default();
/// let received = b"{\"action\":\"ping\"}\n{\"action\":";
/// assert_eq!(codec.foreign(received), Foreign::Ours);
/// let Unit::Complete(end) = codec.unit(received, 0) else { panic!() };
/// assert_eq!(codec.decode(&received[..end], &limits), Ok(Some(Action::Ping { receipt: None })));
/// assert_eq!(codec.unit(&received[end..], 0), Unit::Partial);
/// assert_eq!(codec.encoder().name(), "JSON lines");
/// assert_eq!(JsonLines::FRAMING, 1, "the end of a line is not counted");
/// ```
pub trait Codec: fmt::Debug + Send + Unpin + 'static {
    /// How many bytes of a unit do not count as its length: those that end it, or say how long it is.
    const FRAMING: usize;

    /// The encoder for events to the same connection.
    fn encoder(&self) -> &'static dyn Encode;

    /// Where the first unit of `bytes` ends. The first `searched` bytes are known not to hold its end: an earlier call
    /// on a shorter part of the same bytes asked for more.
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
///
/// ```
/// # use msgstream::wire::json_lines::JsonLines;
/// # use msgstream::wire::message_pack::MessagePack;
/// # use msgstream::wire::{Codec, Unit};
/// assert_eq!(JsonLines::default().unit(b"{}\n{", 0), Unit::Complete(3));
/// assert_eq!(JsonLines::default().unit(b"{}", 0), Unit::Partial);
/// // Its length, in four bytes, comes first.
/// assert_eq!(MessagePack::default().unit(&[0, 0, 0, 9, 0x81], 0), Unit::Announced(13));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// The unit is complete and takes this many bytes, its end included.
    Complete(usize),
    /// More bytes are needed, nobody knows how many.
    Partial,
    /// More bytes are needed: the unit takes this many in all.
    Announced(usize),
}

/// Whether a connection speaks this protocol at all.
///
/// ```
/// # use msgstream::wire::json_lines::JsonLines;
/// # use msgstream::wire::{Codec, Foreign};
/// assert_eq!(JsonLines::default().foreign(b"{\"action\""), Foreign::Ours);
/// assert!(matches!(JsonLines::default().foreign(b"GET / HTTP/1.1\r\n"), Foreign::Theirs(_)));
/// ```
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
///
/// ```
/// # use msgstream::wire::json_lines::JsonLines;
/// # use msgstream::wire::{Codec, DecodeLimits, ErrorCode};
/// let limits = DecodeLimits { line: 1 << 20, name: 4 };
/// let line = b"{\"action\":\"listen\",\"stream\":\"job-1\"}\n";
/// assert_eq!(JsonLines::default().decode(line, &limits).unwrap_err().code, ErrorCode::BadStream);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodeLimits {
    /// The longest unit, in bytes, its framing not counted. Longer ones never reach [`Codec::decode`].
    pub line: usize,
    /// The longest stream name, in bytes of UTF-8.
    pub name: usize,
}
