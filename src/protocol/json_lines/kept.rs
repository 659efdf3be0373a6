//! The names that one publisher uses, each with its envelope ready to compare.

use std::ops::Range;

use super::encode;
use super::object::Members;
use crate::ids::StreamName;

/// The most names kept. A publisher of more streams pays an allocation for a message, as one that changes names does.
const MOST: usize = 8;

/// The longest name kept, in bytes, so that a connection's cache stays within a few KiB whatever the limit on names is.
const LONGEST: usize = 256;

/// What stands before and after the name, as `json.dumps` of Python writes it.
const PYTHON_HEAD: &[u8] = br#"{"action": "put", "stream": ""#;
const PYTHON_TAIL: &[u8] = br#"", "message": "#;
/// Where the action stands in it.
const PYTHON_ACTION: Range<usize> = 11..16;

/// A name and the beginning of the lines that put to it.
#[derive(Debug)]
struct Entry {
    name: StreamName,
    /// What every output line of this stream begins with, up to its message.
    envelope: Box<[u8]>,
}

/// A few names, the latest first to be compared. A listener never puts, so its cache is one null pointer.
#[derive(Debug, Default)]
pub(super) struct Kept(Option<Box<Ring>>);

#[derive(Debug)]
struct Ring {
    entries: Vec<Entry>,
    latest: usize,
}

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

impl Kept {
    /// Finds the name of a line that begins like one of the two usual envelopes.
    #[inline]
    pub(super) fn match_line(&mut self, line: &[u8]) -> Option<Hit> {
        let ring = self.0.as_deref_mut()?;
        let count = ring.entries.len();
        // A publisher names either the stream that it named last, or one in turn.
        let mut index = ring.latest;
        for _ in 0..count {
            let entry = ring.entries.get(index)?;
            if let Some((message, verbatim)) = entry.match_line(line) {
                ring.latest = index;
                return Some(Hit { index, message, verbatim });
            }
            index = if index + 1 == count { 0 } else { index + 1 };
        }
        None
    }

    /// The name at an index that another method gave.
    #[inline]
    pub(super) fn name(&self, index: usize) -> Option<&StreamName> {
        self.0.as_deref()?.entries.get(index).map(|entry| &entry.name)
    }

    /// The index of a name that is kept.
    pub(super) fn find(&self, name: &str) -> Option<usize> {
        self.0.as_deref()?.entries.iter().position(|entry| entry.name.as_str() == name)
    }

    /// The index of a name, which is kept from now on if it was not; none for one too long to keep.
    pub(super) fn keep(&mut self, name: &str) -> Option<usize> {
        if name.len() > LONGEST {
            return None;
        }
        if let Some(index) = self.find(name) {
            return Some(index);
        }
        let entry = Entry { envelope: encode::put_envelope(name).into(), name: StreamName::new(name).ok()? };
        let ring = self.0.get_or_insert_with(|| Box::new(Ring { entries: Vec::with_capacity(1), latest: 0 }));
        if ring.entries.len() < MOST {
            ring.latest = ring.entries.len();
            ring.entries.push(entry);
        } else {
            // In turn, not the oldest: with more names than places no choice is much better.
            ring.latest = (ring.latest + 1) % MOST;
            if let Some(place) = ring.entries.get_mut(ring.latest) {
                *place = entry;
            }
        }
        Some(ring.latest)
    }
}

impl Entry {
    #[inline]
    fn match_line(&self, line: &[u8]) -> Option<(usize, bool)> {
        if line.starts_with(&self.envelope) {
            return Some((self.envelope.len(), true));
        }
        let rest = line.strip_prefix(PYTHON_HEAD)?;
        let name = self.envelope.get(encode::PUT_HEAD.len()..self.envelope.len() - encode::PUT_TAIL.len())?;
        let rest = rest.strip_prefix(name)?.strip_prefix(PYTHON_TAIL)?;
        Some((line.len() - rest.len(), false))
    }
}
