//! All streams that the directory has, by their names, and what is to be heard of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use crate::cli::entry::Entry;
use crate::cli::streams::Heard;
use crate::cli::text::inline;

use super::row::Row;
use super::sorting::{Filter, STATES, Sort};

/// So many ended streams that nobody sees are asked at once how they ended.
const RIDDLES: usize = 200;

/// See the module.
#[derive(Debug, Clone, Default)]
pub(super) struct Table {
    rows: BTreeMap<Arc<str>, Row>,
}

/// How many streams stand how, and how many messages come each second.
#[derive(Debug, Clone, Default, PartialEq)]
pub(in crate::cli::top) struct Counts {
    /// By the words of their states.
    pub(in crate::cli::top) states: Vec<(&'static str, usize)>,
    pub(in crate::cli::top) speed: f64,
}

impl Table {
    /// The directory says so of a stream, or has said it before the connection was lost. True if the rows are to be arranged anew.
    pub(super) fn enter(&mut self, name: Arc<str>, entry: Entry, is_lost: bool, now: Timestamp) -> bool {
        let is_new = !self.rows.contains_key(&name);
        let row = self.rows.entry(Arc::clone(&name)).or_insert_with(|| Row::new(name, entry.clone(), now));
        let is_moved = row.enter(entry, now);
        if is_lost {
            row.lose(now);
        }
        is_new || is_moved
    }

    /// The broker has forgotten a stream.
    pub(super) fn forget(&mut self, name: &str) {
        self.rows.remove(name);
    }

    pub(super) fn hear(&mut self, name: &str, heard: &Heard, now: Timestamp) -> bool {
        self.rows.get_mut(name).is_some_and(|row| row.hear(heard, now))
    }

    pub(super) fn lose(&mut self, now: Timestamp) {
        self.rows.values_mut().for_each(|row| row.lose(now));
    }

    pub(super) fn row(&self, name: &str) -> Option<&Row> {
        self.rows.get(name)
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The names of those that are shown, in their order.
    pub(super) fn arranged(&self, (sort, is_reversed): (Sort, bool), filter: Filter, search: &str, now: Timestamp) -> Vec<Arc<str>> {
        let search = search.to_lowercase();
        let is_found = |row: &Row| {
            let has = |text: &str| text.to_lowercase().contains(&search);
            search.is_empty() || has(&inline(&row.name)) || row.job.title.as_deref().is_some_and(has)
        };
        let mut rows: Vec<&Row> = self.rows.values().filter(|row| filter.has(row) && is_found(row)).collect();
        sort.sort(&mut rows, is_reversed, now);
        rows.into_iter().map(|row| Arc::clone(&row.name)).collect()
    }

    /// Which streams are to be listened to while these are seen: those of them that are worth it, and some of whom only the directory has
    /// told that they have ended. The others are left, but for the one that is looked at.
    pub(super) fn wanted(&mut self, seen: &[Arc<str>], looked_at: Option<&Arc<str>>, now: Timestamp) -> Vec<Arc<str>> {
        let is_wanted = |name: &&Arc<str>| self.rows.get(*name).is_some_and(|row| row.is_wanted(now));
        let mut wanted: Vec<Arc<str>> = seen.iter().filter(is_wanted).cloned().collect();
        let riddles = self.rows.values().filter(|row| row.is_riddle() && !seen.contains(&row.name)).take(RIDDLES);
        wanted.extend(riddles.map(|row| Arc::clone(&row.name)));
        wanted.retain(|name| Some(name) != looked_at);
        for row in self.rows.values_mut().filter(|row| row.is_joined() && Some(&row.name) != looked_at && !wanted.contains(&row.name)) {
            row.leave();
        }
        wanted
    }

    pub(super) fn counts(&self, now: Timestamp) -> Counts {
        let mut states: Vec<(&'static str, usize)> = STATES.iter().map(|state| (*state, 0)).collect();
        let mut speed = 0.0;
        for row in self.rows.values() {
            speed += row.speed(now);
            if let Some((_, count)) = states.iter_mut().find(|(state, _)| *state == row.state()) {
                *count += 1;
            }
        }
        states.retain(|(_, count)| *count > 0);
        Counts { states, speed }
    }
}
