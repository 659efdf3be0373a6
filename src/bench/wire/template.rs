//! Messages as they are published and delivered, with fixed places for what differs between them.

use super::super::content::{ID, LoadContent, id, write_digits};

/// A whole message on the wire.
#[derive(Debug, Clone)]
pub(crate) struct Template {
    /// All up to and including the id.
    pub(crate) head: Vec<u8>,
    /// All after it.
    pub(crate) tail: Vec<u8>,
    /// Where the stream's digits are.
    pub(crate) stream_at: usize,
}

/// How many digits a stream's name ends with.
pub(crate) const STREAM_DIGITS: usize = 6;
/// What it begins with.
pub(super) const NAME: &str = "bench.";

impl Template {
    /// Puts content between what the protocol wants around it.
    pub(super) fn new(before: &str, content: &LoadContent, after: &str) -> Self {
        Self::from_bytes(before.as_bytes(), content, after.as_bytes())
    }

    pub(super) fn from_bytes(before: &[u8], content: &LoadContent, after: &[u8]) -> Self {
        let stream_at = before.windows(NAME.len()).position(|window| window == NAME.as_bytes()).unwrap_or(0) + NAME.len();
        let head = [before, &content.before, &id(0, 0)].concat();
        Self { head, tail: [&content.after, after].concat(), stream_at }
    }

    /// The bytes of the whole message.
    pub(crate) fn len(&self) -> usize {
        self.head.len() + self.tail.len()
    }

    /// Where the id is.
    pub(crate) fn id_at(&self) -> usize {
        self.head.len() - ID
    }

    /// The whole message.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        [&self.head[..], &self.tail].concat()
    }
}

/// The name of a stream.
pub(super) fn name(stream: usize) -> String {
    let mut digits = [b'0'; STREAM_DIGITS];
    write_digits(&mut digits, stream as u64);
    NAME.chars().chain(digits.map(char::from)).collect()
}
