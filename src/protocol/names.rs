//! The names that one publisher uses, each with its envelope ready to compare.

use crate::ids::{EmptyName, StreamName};

use super::action::Name;

/// The most names kept. A publisher of more streams pays an allocation for a message, as one that changes names does.
const MOST: usize = 8;

/// The longest name kept, in bytes, so that a connection's cache stays within a few KiB whatever the limit on names is.
const LONGEST: usize = 256;

/// A name and the beginning of the units that put to it.
#[derive(Debug)]
pub(super) struct Entry {
    name: StreamName,
    /// What every output unit of this stream begins with, up to its message.
    pub(super) envelope: Box<[u8]>,
}

/// A few names, the latest first to be compared. A listener never puts, so its cache is one null pointer.
#[derive(Debug, Default)]
pub(super) struct Names(Option<Box<Ring>>);

#[derive(Debug)]
struct Ring {
    entries: Vec<Entry>,
    latest: usize,
}

impl Names {
    /// The first entry that fits: its index, and what `fits` made of it.
    #[inline]
    pub(super) fn search<T>(&mut self, fits: impl Fn(&Entry) -> Option<T>) -> Option<(usize, T)> {
        let ring = self.0.as_deref_mut()?;
        let count = ring.entries.len();
        // A publisher names either the stream that it named last, or one in turn.
        let mut index = ring.latest;
        for _ in 0..count {
            let entry = ring.entries.get(index)?;
            if let Some(fit) = fits(entry) {
                ring.latest = index;
                return Some((index, fit));
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

    /// The name to hand out: the kept one, or else one of its own.
    pub(super) fn of(&self, text: &str) -> Result<Name<'_>, EmptyName> {
        match self.find(text).and_then(|index| self.name(index)) {
            Some(name) => Ok(Name::Kept(name)),
            None => StreamName::new(text).map(Name::New),
        }
    }

    /// Keeps a name from now on, unless it is too long to keep. `envelope` writes what its units begin with.
    pub(super) fn keep(&mut self, name: &str, envelope: fn(&str) -> Vec<u8>) {
        if name.len() > LONGEST || self.find(name).is_some() {
            return;
        }
        let Ok(stream) = StreamName::new(name) else { return };
        let entry = Entry { envelope: envelope(name).into(), name: stream };
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
    }

    fn find(&self, name: &str) -> Option<usize> {
        self.0.as_deref()?.entries.iter().position(|entry| entry.name.as_str() == name)
    }
}
