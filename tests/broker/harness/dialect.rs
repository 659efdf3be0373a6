//! The encodings that a client of the tests can speak.
//!
//! Transcripts and expectations are written as JSON lines, which people can read. A dialect carries them in its own
//! bytes: JSON lines as they stand, another encoding by conversion both ways. A second codec adds its dialect here and
//! runs the same transcripts.

use std::fmt;

/// One encoding, as a client speaks it.
pub(crate) trait Dialect: fmt::Debug + Sync {
    /// The bytes that carry one action, given as a JSON line without its end.
    fn encode(&self, line: &str) -> Vec<u8>;

    /// The first complete unit of `bytes`: how many bytes it takes, and its event as a JSON line. The first `searched`
    /// bytes are known not to hold its end.
    fn take(&self, bytes: &[u8], searched: usize) -> Option<(usize, String)>;
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
}
