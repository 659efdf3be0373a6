//! How streams end whose publishers are lost.
//!
//! A will belongs to whoever has said it: to a session, which is lost if no connection comes back to it in time, or else to the
//! connection, which is lost if it ends without having said so. A stream has one will at most, the latest.

use std::collections::{BTreeMap, BTreeSet};

use crate::wire::ids::{ConnectionId, StreamName};
use crate::wire::{Frame, allocated_name};

use super::sessions::SessionKey;

/// What a will takes beside its frame and its name, in bytes of memory: its place by stream and by owner.
const WILL: usize = 160;

/// Who is lost if a will takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Owner {
    Connection(ConnectionId),
    Session(SessionKey),
}

#[derive(Debug)]
pub(super) struct Will {
    pub(super) owner: Owner,
    pub(super) last: Frame,
    /// Whether it was saved.
    pub(super) is_stored: bool,
}

/// All wills.
#[derive(Debug, Default)]
pub(super) struct Wills {
    by_stream: BTreeMap<StreamName, Will>,
    by_owner: BTreeMap<Owner, BTreeSet<StreamName>>,
}

impl Wills {
    /// A stream that the owner has a will for.
    pub(super) fn first_of(&self, owner: Owner) -> Option<&StreamName> {
        self.by_owner.get(&owner)?.first()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_stream.is_empty()
    }

    pub(super) fn get(&self, name: &StreamName) -> Option<&Will> {
        self.by_stream.get(name)
    }

    pub(super) fn get_mut(&mut self, name: &StreamName) -> Option<&mut Will> {
        self.by_stream.get_mut(name)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&StreamName, &Will)> {
        self.by_stream.iter()
    }

    /// Enters the will of a stream that has none.
    pub(super) fn insert(&mut self, name: &StreamName, will: Will) {
        self.by_owner.entry(will.owner).or_default().insert(name.clone());
        self.by_stream.insert(name.clone(), will);
    }

    pub(super) fn remove(&mut self, name: &StreamName) -> Option<Will> {
        let will = self.by_stream.remove(name)?;
        if let Some(names) = self.by_owner.get_mut(&will.owner) {
            names.remove(name);
            if names.is_empty() {
                self.by_owner.remove(&will.owner);
            }
        }
        Some(will)
    }

    #[cfg(any(test, debug_assertions))]
    pub(super) fn assert_invariants(&self) {
        let mut by_owner = BTreeMap::<Owner, BTreeSet<StreamName>>::new();
        for (name, will) in &self.by_stream {
            by_owner.entry(will.owner).or_default().insert(name.clone());
        }
        assert_eq!(by_owner, self.by_owner, "wills and owners disagree");
    }

    /// What wills take, in bytes of memory, with so much for each where its changes are noted.
    #[cfg(any(test, debug_assertions))]
    pub(super) fn stored(&self, noted: usize) -> usize {
        self.by_stream.iter().map(|(name, will)| place(name) + noted + will.last.cost()).sum()
    }
}

/// What a will takes beside its frame, in bytes of memory.
pub(super) fn place(name: &StreamName) -> usize {
    WILL + allocated_name(name)
}
