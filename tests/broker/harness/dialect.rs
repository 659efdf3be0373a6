//! The encodings that a client of the tests can speak.
//!
//! Transcripts and expectations are written as JSON lines, which people can read. A dialect carries them in its own
//! bytes: JSON lines as they stand, another encoding by conversion both ways.

use std::fmt;

use super::node::Node;

/// What a broker of the tests speaks, each on addresses of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    JsonLines,
    MessagePack,
}

impl Encoding {
    pub(crate) fn dialect(self) -> &'static dyn Dialect {
        match self {
            Self::JsonLines => &JSON_LINES,
            Self::MessagePack => &MESSAGE_PACK,
        }
    }
}

/// One encoding, as a client speaks it.
pub(crate) trait Dialect: fmt::Debug + Sync {
    /// The bytes that carry one action, given as a JSON line without its end.
    fn encode(&self, line: &str) -> Vec<u8>;

    /// The first complete unit of `bytes`: how many bytes it takes, and its event as a JSON line. The first `searched`
    /// bytes are known not to hold its end.
    fn take(&self, bytes: &[u8], searched: usize) -> Option<(usize, String)>;

    /// The bytes that carry several lines, each with its end, and perhaps the beginning of another. For what is said of
    /// lines and not of their characters.
    fn encode_lines(&self, lines: &[u8]) -> Vec<u8>;

    /// How a line reads that was carried in this dialect.
    fn as_heard(&self, line: &str) -> String;
}

/// JSON lines, the default encoding.
#[derive(Debug)]
pub(crate) struct JsonLines;

/// The dialect of a connection unless a test asks for another.
pub(crate) static JSON_LINES: JsonLines = JsonLines;

impl Dialect for JsonLines {
    fn encode(&self, line: &str) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(line.len() + 1);
        bytes.extend_from_slice(line.as_bytes());
        bytes.push(b'\n');
        bytes
    }

    fn take(&self, bytes: &[u8], searched: usize) -> Option<(usize, String)> {
        let end = searched + memchr::memchr(b'\n', &bytes[searched..])?;
        // Output is compact: were there a CR before the LF, it would show in every comparison.
        let line = String::from_utf8(bytes[..end].to_vec()).expect("the broker sends UTF-8");
        Some((end + 1, line))
    }

    fn encode_lines(&self, lines: &[u8]) -> Vec<u8> {
        lines.to_vec()
    }

    fn as_heard(&self, line: &str) -> String {
        line.to_owned()
    }
}

/// MessagePack behind its length. What is said is converted by `rmp-serde` and `serde_json`, and by nothing of the broker's.
#[derive(Debug)]
pub(crate) struct MessagePack;

static MESSAGE_PACK: MessagePack = MessagePack;

impl Dialect for MessagePack {
    fn encode(&self, line: &str) -> Vec<u8> {
        // What is no JSON is no map here either, but a well-formed text.
        let node = serde_json::from_str(line).unwrap_or_else(|_| Node::Text(line.to_owned()));
        let body = rmp_serde::to_vec(&node).unwrap();
        [&u32::try_from(body.len()).unwrap().to_be_bytes(), &body[..]].concat()
    }

    fn take(&self, bytes: &[u8], _searched: usize) -> Option<(usize, String)> {
        let (prefix, rest) = bytes.split_first_chunk()?;
        let body = rest.get(..u32::from_be_bytes(*prefix) as usize)?;
        let node: Node = rmp_serde::from_slice(body).expect("the broker sends MessagePack");
        Some((4 + body.len(), serde_json::to_string(&node).unwrap()))
    }

    fn encode_lines(&self, lines: &[u8]) -> Vec<u8> {
        let text = std::str::from_utf8(lines).expect("lines of text");
        let (whole, rest) = text.rsplit_once('\n').unwrap_or(("", text));
        let mut bytes: Vec<u8> =
            whole.lines().flat_map(|line| if line.trim().is_empty() { vec![0; 4] } else { self.encode(line) }).collect();
        if !rest.is_empty() {
            // Half of a message that says it is longer.
            bytes.extend_from_slice(&(2 * rest.len() as u32).to_be_bytes());
            bytes.extend_from_slice(rest.as_bytes());
        }
        bytes
    }

    fn as_heard(&self, line: &str) -> String {
        let (_, heard) = self.take(&self.encode(line), 0).expect("a whole unit");
        heard
    }
}
