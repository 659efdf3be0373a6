//! Lines that begin with the envelope of a name that the publisher has used before.

use std::ops::Range;

use super::super::members::Members;
use super::super::names::{Entry, Names};
use super::encode;

/// What stands before and after the name, as `json.dumps` of Python writes it.
const PYTHON_HEAD: &[u8] = br#"{"action": "put", "stream": ""#;
const PYTHON_TAIL: &[u8] = br#"", "message": "#;
/// Where the action stands in it.
const PYTHON_ACTION: Range<usize> = 11..16;

/// Where in a line the message of a put to a kept name begins.
pub(super) struct Hit {
    pub(super) index: usize,
    pub(super) message: usize,
    /// Whether the line so far is as a listener would get it.
    pub(super) verbatim: bool,
}

impl Hit {
    /// The members that the envelope holds.
    pub(super) fn members(&self, message: Range<usize>) -> Members {
        let (action, head, tail) = if self.verbatim {
            (encode::PUT_ACTION, encode::PUT_HEAD.len(), encode::PUT_TAIL.len())
        } else {
            (PYTHON_ACTION, PYTHON_HEAD.len(), PYTHON_TAIL.len())
        };
        // The name's quotes belong to the head and the tail.
        let stream = head - 1..self.message - tail + 1;
        Members { action: Some(action), stream: Some(stream), message: Some(message), ..Members::default() }
    }
}

/// Finds the name of a line that begins like one of the two usual envelopes.
#[inline]
pub(super) fn match_line(names: &mut Names, line: &[u8]) -> Option<Hit> {
    let (index, (message, verbatim)) = names.search(|entry| match_entry(entry, line))?;
    Some(Hit { index, message, verbatim })
}

#[inline]
fn match_entry(entry: &Entry, line: &[u8]) -> Option<(usize, bool)> {
    if line.starts_with(&entry.envelope) {
        return Some((entry.envelope.len(), true));
    }
    let rest = line.strip_prefix(PYTHON_HEAD)?;
    let name = entry.envelope.get(encode::PUT_HEAD.len()..entry.envelope.len() - encode::PUT_TAIL.len())?;
    let rest = rest.strip_prefix(name)?.strip_prefix(PYTHON_TAIL)?;
    Some((line.len() - rest.len(), false))
}
