//! The names of all streams in their order, as long as somebody listens to a prefix.
//!
//! It is made in pieces, from one part of the table after the other, and given up in pieces. Names that come meanwhile are entered at
//! once.

use std::collections::BTreeSet;
use std::ops::Bound;

use crate::wire::ids::{Prefix, StreamName};

use super::budget::{Budget, ORDER};
use super::prefixes;
use super::table::{PARTS, Table};

/// What the place of a name takes, in bytes of memory: its share of a node of the tree.
pub(super) const ORDERED: usize = 48;

#[derive(Debug, Default)]
pub(super) struct Order {
    names: BTreeSet<StreamName>,
    /// How many parts of the table have been taken. None: nobody needs the order.
    parts: Option<usize>,
    /// What has yet to be entered of the last part that was taken. Some of it may be gone by now.
    rest: Vec<StreamName>,
    /// What is not needed any more.
    waste: Vec<BTreeSet<StreamName>>,
}

impl Order {
    /// Whether somebody needs the order.
    pub(super) fn is_kept(&self) -> bool {
        self.parts.is_some()
    }

    /// What each stream takes in it, in bytes of memory.
    pub(super) fn place(&self) -> usize {
        if self.is_kept() { ORDERED } else { 0 }
    }

    /// From now on somebody needs it.
    pub(super) fn keep(&mut self) {
        self.parts.get_or_insert(0);
    }

    /// Nobody needs it any more.
    pub(super) fn give_up(&mut self) {
        let Self { names, waste, .. } = std::mem::take(self);
        self.waste = waste;
        self.waste(names);
    }

    /// Enters a name that there is from now on.
    pub(super) fn insert(&mut self, name: &StreamName) {
        if self.is_kept() {
            self.names.insert(name.clone());
        }
    }

    /// Takes out a name that there is no more.
    pub(super) fn remove(&mut self, name: &StreamName) {
        if self.is_kept() {
            self.names.remove(name);
        }
    }

    /// Goes on to make it, at least by one step. True if all names are there.
    pub(super) fn make(&mut self, streams: &Table, budget: &mut Budget) -> bool {
        loop {
            let is_made = self.parts == Some(PARTS) && self.rest.is_empty();
            if is_made {
                return true;
            }
            // What is no longer needed goes first, so that it cannot become more and more.
            if !self.drop_one() {
                self.make_one(streams, budget);
            }
            budget.spend(ORDER);
            if budget.is_spent() {
                return false;
            }
        }
    }

    fn make_one(&mut self, streams: &Table, budget: &mut Budget) {
        while let Some(name) = self.rest.pop() {
            if streams.get(&name).is_some() {
                self.names.insert(name);
                return;
            }
        }
        if let Some(part) = self.parts.as_mut().filter(|part| **part < PARTS) {
            self.rest = streams.names(*part);
            *part += 1;
            budget.spend(self.rest.len() * (ORDER / 16));
        }
    }

    /// Whether there is something that is not needed any more.
    pub(super) fn has_waste(&self) -> bool {
        !self.waste.is_empty()
    }

    /// Drops one name that is not needed any more. False if there is none.
    pub(super) fn drop_one(&mut self) -> bool {
        let Some(names) = self.waste.last_mut() else { return false };
        names.pop_first();
        if names.is_empty() {
            self.waste.pop();
        }
        true
    }

    /// The next name that a prefix matches, behind the one where one is.
    pub(super) fn next(&self, prefix: &Prefix, at: Option<&StreamName>) -> Option<&StreamName> {
        prefixes::next(prefix, at, |bound| self.names.range::<str, _>((bound, Bound::Unbounded)).next())
    }

    /// The first name from a text on.
    pub(super) fn from(&self, text: &str) -> Option<&StreamName> {
        self.names.range::<str, _>((Bound::Included(text), Bound::Unbounded)).next()
    }

    /// Gives up other names that are not needed any more.
    pub(super) fn waste(&mut self, names: BTreeSet<StreamName>) {
        if !names.is_empty() {
            self.waste.push(names);
        }
    }

    /// What must always hold.
    #[cfg(any(test, debug_assertions))]
    pub(super) fn assert_invariants(&self, streams: &Table) {
        if !self.is_kept() {
            assert!(self.names.is_empty() && self.rest.is_empty(), "names are kept for nobody");
        } else if self.parts == Some(PARTS) && self.rest.is_empty() {
            assert_eq!(self.names.len(), streams.len(), "the order has other names than the table");
        }
        assert!(self.names.iter().all(|name| streams.get(name).is_some()), "the order has a name that there is not");
    }
}
