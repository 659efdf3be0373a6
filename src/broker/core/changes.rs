//! Which streams and wills have changed since they were last saved, as long as somebody saves them.
//!
//! Each stream knows whether it is noted, so that a change costs one test. The names that are noted are no more than there are streams,
//! wills, and saved ones that are gone. While the disk is full, ever more may be gone: their names count as what is stored.

use std::collections::{BTreeMap, BTreeSet};

use crate::wire::allocated_name;
use crate::wire::ids::StreamName;

/// What the name of one stream takes among those that have changed, in bytes of memory: its share of a node of a tree.
const NOTED: usize = 64;

/// What has become of a stream since it was saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    /// Nothing.
    Saved,
    /// It has had messages, and no other change.
    Moved,
    /// It has changed, and is noted; or nobody saves anything.
    Changed,
}

/// What is known of a name that has changed.
#[derive(Debug, Clone, Copy, Default)]
struct Noted {
    /// Something was saved under the name before.
    is_stored: bool,
    /// Neither a stream nor a will has it any more.
    is_gone: bool,
}

/// The names of what is to be saved.
#[derive(Debug, Default)]
pub(super) struct Changes {
    is_kept: bool,
    /// What has changed.
    changed: BTreeMap<StreamName, Noted>,
    /// What the names of those that are gone take, in bytes of memory.
    gone: usize,
    /// The streams that have had messages, and no other change.
    moved: BTreeSet<StreamName>,
    /// What is being saved.
    saving: (BTreeMap<StreamName, Noted>, BTreeSet<StreamName>),
    /// There is something to save, and whoever saves has not been told.
    is_news: bool,
}

impl Changes {
    /// From now on somebody saves what changes.
    pub(super) fn keep(&mut self) {
        self.is_kept = true;
    }

    pub(super) fn is_kept(&self) -> bool {
        self.is_kept
    }

    /// What each stream and will takes in it, in bytes of memory.
    pub(super) fn place(&self) -> usize {
        if self.is_kept { NOTED } else { 0 }
    }

    /// How a stream that has just come into being stands.
    pub(super) fn at_birth(&self) -> Mark {
        if self.is_kept { Mark::Saved } else { Mark::Changed }
    }

    /// A stream or a will has changed. `is_stored` if something was saved under its name.
    pub(super) fn note(&mut self, name: &StreamName, is_stored: bool) {
        if self.is_kept && !name.is_reserved() {
            self.moved.remove(name);
            self.is_news |= self.changed.is_empty();
            let noted = self.changed.entry(name.clone()).or_default();
            noted.is_stored |= is_stored;
            if std::mem::take(&mut noted.is_gone) {
                self.gone -= cost(name);
            }
        }
    }

    /// A stream has had messages.
    #[cold]
    pub(super) fn note_moved(&mut self, name: &StreamName) {
        if !name.is_reserved() {
            self.is_news |= self.moved.is_empty();
            self.moved.insert(name.clone());
        }
    }

    /// A stream or a will is gone, and nothing else has its name. What was never saved needs not be taken back.
    pub(super) fn note_gone(&mut self, name: &StreamName, is_stored: bool) {
        self.note(name, is_stored);
        match self.changed.get_mut(name) {
            Some(noted) if noted.is_stored => {
                noted.is_gone = true;
                self.gone += cost(name);
            }
            Some(_) => drop(self.changed.remove(name)),
            None => {}
        }
    }

    /// What the names of those take that are gone and have yet to be taken back, in bytes of memory.
    pub(super) fn gone(&self) -> usize {
        self.gone
    }

    /// Whether there is something to save that nobody has been told of. Asked once.
    pub(super) fn take_news(&mut self) -> bool {
        std::mem::take(&mut self.is_news)
    }

    /// Begins to save what has changed, and, if `moved`, the positions of streams of which nothing else has. False if the last save was given
    /// up: then its rest is saved first, and all that has changed since waits for another save.
    pub(super) fn begin(&mut self, moved: bool) -> bool {
        if !self.saving.0.is_empty() || !self.saving.1.is_empty() {
            return false;
        }
        self.saving.0 = std::mem::take(&mut self.changed);
        if moved {
            self.saving.1 = std::mem::take(&mut self.moved);
        }
        self.is_news = false;
        true
    }

    /// Whether there is more to save than what is being saved.
    pub(super) fn has_more(&self) -> bool {
        !self.changed.is_empty() || !self.moved.is_empty()
    }

    /// The next name to be saved.
    pub(super) fn next(&mut self) -> Option<StreamName> {
        let Some((name, noted)) = self.saving.0.pop_first() else { return self.saving.1.pop_first() };
        if noted.is_gone {
            self.gone -= cost(&name);
        }
        Some(name)
    }

    #[cfg(any(test, debug_assertions))]
    pub(super) fn assert_invariants(&self) {
        let gone = self.changed.iter().chain(&self.saving.0).filter(|(_, noted)| noted.is_gone);
        assert_eq!(gone.map(|(name, _)| cost(name)).sum::<usize>(), self.gone, "the names of those that are gone are miscounted");
    }

    /// Whether it is noted.
    #[cfg(any(test, debug_assertions))]
    pub(super) fn is_noted(&self, name: &StreamName) -> bool {
        let Self { changed, moved, saving: (one, other), .. } = self;
        changed.contains_key(name) || moved.contains(name) || one.contains_key(name) || other.contains(name)
    }
}

/// What the name of one that is gone takes, in bytes of memory.
fn cost(name: &StreamName) -> usize {
    NOTED + allocated_name(name)
}
