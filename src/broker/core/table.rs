//! All streams by name.

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use crate::wire::ids::StreamName;

use super::stream::Stream;

/// How many parts the table has. A part that grows or shrinks moves all of its streams in one step; a hundredth of a million
/// streams is moved within a fraction of a millisecond.
pub(super) const PARTS: usize = 256;

/// With fewer streams than this the processor's caches hold them anyway.
const CACHED: usize = 4096;

/// How many names are looked up at once: more than the processor can wait for at a time.
const LOOKUPS: usize = 32;

/// The streams and their names.
#[derive(Debug)]
pub(super) struct Table {
    /// Names are hostile input, so this is the standard library's keyed hasher.
    hasher: RandomState,
    parts: Box<[HashTable<Named>]>,
    len: usize,
}

/// A stream and its name, which fill one line of the processor's cache together.
#[derive(Debug)]
pub(super) struct Named {
    pub(super) name: StreamName,
    pub(super) stream: Stream,
}

impl Default for Table {
    fn default() -> Self {
        Self { hasher: RandomState::new(), parts: (0..PARTS).map(|_| HashTable::new()).collect(), len: 0 }
    }
}

/// The part that a hash belongs to. The table within a part uses the highest seven bits and the lowest ones.
fn part_of(hash: u64) -> usize {
    (hash >> 32) as usize % PARTS
}

impl Table {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn get(&self, name: &StreamName) -> Option<&Stream> {
        let hash = self.hasher.hash_one(name);
        self.parts[part_of(hash)].find(hash, |named| named.name == *name).map(|named| &named.stream)
    }

    /// A stream with the table's own copy of its name.
    pub(super) fn get_named(&mut self, name: &StreamName) -> Option<&mut Named> {
        let hash = self.hasher.hash_one(name);
        self.parts[part_of(hash)].find_mut(hash, |named| named.name == *name)
    }

    pub(super) fn get_mut(&mut self, name: &StreamName) -> Option<&mut Stream> {
        self.get_named(name).map(|named| &mut named.stream)
    }

    /// The stream of a name, made if there is none, and whether it was. Its name is the table's own copy, which others are to share.
    pub(super) fn get_or_insert(&mut self, name: &StreamName, make: impl FnOnce() -> Stream) -> (&mut Named, bool) {
        let Self { hasher, parts, len } = self;
        let hash = hasher.hash_one(name);
        let rehash = |named: &Named| hasher.hash_one(&named.name);
        match parts[part_of(hash)].entry(hash, |named| named.name == *name, rehash) {
            Entry::Occupied(there) => (there.into_mut(), false),
            Entry::Vacant(place) => {
                *len += 1;
                (place.insert(Named { name: name.clone(), stream: make() }).into_mut(), true)
            }
        }
    }

    /// Takes a stream out. A part that was much larger gives its memory back.
    pub(super) fn remove(&mut self, name: &StreamName) -> Option<Stream> {
        let Self { hasher, parts, len } = self;
        let hash = hasher.hash_one(name);
        let part = &mut parts[part_of(hash)];
        let (named, _) = part.find_entry(hash, |named| named.name == *name).ok()?.remove();
        *len -= 1;
        if part.capacity() > 64 && part.len() * 4 < part.capacity() {
            part.shrink_to(part.len() * 2, |named| hasher.hash_one(&named.name));
        }
        Some(named.stream)
    }

    /// The names in one of the parts, in no order.
    pub(super) fn names(&self, part: usize) -> Vec<StreamName> {
        self.parts.get(part).map_or(Vec::new(), |part| part.iter().map(|named| named.name.clone()).collect())
    }

    /// Brings the streams of these names into the processor's caches. It changes nothing.
    ///
    /// With many streams the memory of each is a wait of its own when inputs are handled one after the other; looked at in
    /// a loop that does nothing else, several are waited for at once.
    pub(super) fn prefetch<'a>(&self, mut names: impl Iterator<Item = &'a StreamName>) {
        if self.len < CACHED {
            return;
        }
        let (mut hashes, mut found) = ([0; LOOKUPS], [None; LOOKUPS]);
        loop {
            let mut count = 0;
            for (hash, name) in hashes.iter_mut().zip(&mut names) {
                *hash = self.hasher.hash_one(name);
                count += 1;
            }
            // Each loop begins where the one before has led to, and none waits for a single stream.
            for (stream, hash) in found.iter_mut().zip(hashes.iter().take(count)) {
                *stream = self.parts[part_of(*hash)].find(*hash, |_| true).map(|named| &named.stream);
            }
            let mut seen = 0;
            for stream in found.iter().take(count).flatten() {
                seen ^= stream.run.sequence;
                seen ^= stream.listeners.first().map_or(0, |listener| listener.0.into());
            }
            for window in found.iter().take(count).flatten().filter_map(|stream| stream.run.window.as_ref()) {
                seen ^= window.prefetch();
            }
            // Without a use the compiler would leave the loop out.
            std::hint::black_box(seen);
            if count < LOOKUPS {
                return;
            }
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Named> {
        self.parts.iter().flat_map(HashTable::iter)
    }
}
