//! What is shown, and what keys do to it. Pure: it knows of no terminal and no connection, and time is an input.

mod row;
mod sorting;
mod table;
mod tail;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use jiff::Timestamp;

use crate::cli::entry::Entry;
use crate::cli::streams::Heard;

pub(super) use row::Row;
pub(super) use sorting::{Filter, Sort};
pub(super) use table::Counts;
use table::Table;
pub(super) use tail::Tail;

/// No more is typed to search for.
const LONGEST_SEARCH: usize = 100;

/// What stands still while it is looked at is put into its order again after so many seconds.
const ARRANGED_FOR: f64 = 1.0;

/// See the module.
#[derive(Debug)]
pub(super) struct Model {
    /// Where the broker is.
    pub(super) address: String,
    /// Only streams whose names begin so.
    pub(super) prefix: String,
    /// Why the broker cannot be reached, while that is so.
    pub(super) away: Option<String>,
    table: Table,
    /// What is shown while it is held, and since when.
    held: Option<(Table, Timestamp)>,
    pub(super) sort: Sort,
    pub(super) is_reversed: bool,
    pub(super) filter: Filter,
    pub(super) search: String,
    /// What is searched for is being typed.
    pub(super) is_typing: bool,
    pub(super) is_help: bool,
    /// The stream that is looked at.
    pub(super) tail: Option<Tail>,
    /// How many times one was opened.
    opened: u64,
    order: Vec<Arc<str>>,
    /// When the rows were put into their order; not yet if that cannot wait.
    arranged: Option<Timestamp>,
    /// Something was heard that may change their order, or how many stand how.
    has_news: bool,
    pub(super) counts: Counts,
    /// The stream that is marked, and its place; before a key was pressed, whichever stands first.
    cursor: Option<Arc<str>>,
    place: usize,
    /// The first row that is seen, and how many rows there is room for.
    first: usize,
    height: usize,
}

/// What a key asks for, as far as it is asked of the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    Up,
    Down,
    PageUp,
    PageDown,
    First,
    Last,
    Open,
    Back,
    Search,
    Type(char),
    Erase,
    Clear,
    Sort,
    Reverse,
    Filter,
    Hold,
    Help,
}

impl Model {
    pub(super) fn new(address: String, prefix: String) -> Self {
        Self {
            address,
            prefix,
            away: None,
            table: Table::default(),
            held: None,
            sort: Sort::State,
            is_reversed: false,
            filter: Filter::All,
            search: String::new(),
            is_typing: false,
            is_help: false,
            tail: None,
            opened: 0,
            order: Vec::new(),
            arranged: None,
            has_news: true,
            counts: Counts::default(),
            cursor: None,
            place: 0,
            first: 0,
            height: 1,
        }
    }

    /// The directory says so of a stream; nothing if the broker has forgotten it.
    pub(super) fn enter(&mut self, name: Arc<str>, entry: Option<Entry>, now: Timestamp) {
        let is_moved = match entry {
            // What comes while the broker is away is from before.
            Some(entry) => self.table.enter(name, entry, self.away.is_some(), now),
            None => {
                self.table.forget(&name);
                true
            }
        };
        self.has_news = true;
        if is_moved {
            self.arranged = None;
        }
    }

    /// Something was heard of a stream in the table.
    pub(super) fn hear(&mut self, name: &str, heard: &Heard, now: Timestamp) {
        self.has_news = true;
        if self.table.hear(name, heard, now) {
            self.arranged = None;
        }
    }

    /// Something was heard of the stream that is looked at.
    pub(super) fn hear_tail(&mut self, heard: &Heard, now: Timestamp) {
        let Some(tail) = &mut self.tail else { return };
        tail.hear(heard);
        let name = Arc::clone(&tail.name);
        self.hear(&name, heard, now);
    }

    /// The broker is away, for this reason: nothing is known to run any longer, in what is held neither.
    pub(super) fn lose(&mut self, said: String, now: Timestamp) {
        self.table.lose(now);
        if let Some((held, _)) = &mut self.held {
            held.lose(now);
        }
        if let Some(tail) = &mut self.tail {
            tail.lose(&said);
        }
        (self.away, self.arranged) = (Some(said), None);
    }

    /// The broker answers again. What it says of each stream comes next.
    pub(super) fn find(&mut self) {
        self.away = None;
    }

    pub(super) fn act(&mut self, act: Act, now: Timestamp) {
        match act {
            Act::Up => self.go(-1),
            Act::Down => self.go(1),
            Act::PageUp => self.go(-self.page()),
            Act::PageDown => self.go(self.page()),
            Act::First => self.go(isize::MIN),
            Act::Last => self.go(isize::MAX),
            Act::Open => self.open(),
            Act::Back => self.back(),
            Act::Search => (self.is_typing, self.is_help) = (self.tail.is_none(), false),
            Act::Type(letter) => {
                if self.search.len() < LONGEST_SEARCH && !letter.is_control() {
                    self.search.push(letter);
                }
            }
            Act::Erase => _ = self.search.pop(),
            Act::Clear => self.search.clear(),
            Act::Sort => self.sort = self.sort.next(),
            Act::Reverse => self.is_reversed = !self.is_reversed,
            Act::Filter => self.filter = self.filter.next(),
            Act::Hold => self.held = if self.held.is_some() { None } else { Some((self.table.clone(), now)) },
            Act::Help => self.is_help = !self.is_help,
        }
        self.arranged = None;
    }

    fn page(&self) -> isize {
        self.tail.as_ref().map_or_else(|| isize::try_from(self.height).unwrap_or(isize::MAX), Tail::page)
    }

    /// Moves down by this many rows, or up.
    fn go(&mut self, by: isize) {
        if let Some(tail) = &mut self.tail {
            return tail.scroll(by.saturating_neg());
        }
        let last = self.order.len().saturating_sub(1);
        self.place = self.place.saturating_add_signed(by).min(last);
        // Who stands at the top sees what comes to the top.
        self.cursor = if self.place == 0 { None } else { self.order.get(self.place).cloned() };
    }

    /// Takes back the last thing that was opened or set.
    fn back(&mut self) {
        if self.is_help {
            self.is_help = false;
        } else if self.tail.is_some() {
            self.tail = None;
        } else {
            (self.is_typing, self.search) = (false, String::new());
        }
    }

    /// Opens what is marked; while one types, that is what was searched for.
    fn open(&mut self) {
        if self.is_help || std::mem::take(&mut self.is_typing) {
            self.is_help = false;
        } else if self.tail.is_none() {
            self.opened += 1;
            self.tail = self.marked().map(|name| Tail::new(Arc::clone(name), self.opened));
        }
    }

    /// Puts the rows into their order and those that are seen into their places, where there is room for so many of the table, or of lines.
    pub(super) fn arrange(&mut self, height: usize, lines: usize, now: Timestamp) {
        // How fast messages come changes by time alone, until there are none.
        let is_moving = self.has_news || self.counts.speed > 0.0;
        if is_moving || self.arranged.is_none() {
            (self.counts, self.has_news) = (self.shown().counts(now), false);
        }
        let is_old = |then: Timestamp| is_moving && now.duration_since(then).as_secs_f64().abs() >= ARRANGED_FOR;
        if self.arranged.is_none_or(is_old) {
            self.order = self.shown().arranged((self.sort, self.is_reversed), self.filter, &self.search, now);
            self.arranged = Some(now);
            let last = self.order.len().saturating_sub(1);
            let found = self.cursor.as_ref().and_then(|cursor| self.order.iter().position(|name| name == cursor));
            self.place = found.unwrap_or(if self.cursor.is_some() { self.place.min(last) } else { 0 });
        }
        self.height = height.max(1);
        let most = self.order.len().saturating_sub(self.height);
        self.first = self.first.clamp((self.place + 1).saturating_sub(self.height), self.place).min(most);
        if let Some(tail) = &mut self.tail {
            tail.fit(lines);
        }
    }

    /// The streams that are to be listened to; nothing changes while the table is held.
    pub(super) fn wanted(&mut self, now: Timestamp) -> Option<Vec<Arc<str>>> {
        if self.held.is_some() {
            return None;
        }
        let seen = match &self.tail {
            Some(_) => &[],
            None => self.order.get(self.first..).map(|rest| rest.get(..self.height).unwrap_or(rest)).unwrap_or_default(),
        };
        Some(self.table.wanted(seen, self.tail.as_ref().map(|tail| &tail.name), now))
    }

    fn shown(&self) -> &Table {
        self.held.as_ref().map_or(&self.table, |(held, _)| held)
    }

    /// The rows that are seen, and whether each is marked.
    pub(super) fn rows(&self) -> impl Iterator<Item = (&Row, bool)> {
        let seen = self.order.iter().enumerate().skip(self.first).take(self.height);
        seen.filter_map(|(place, name)| Some((self.shown().row(name)?, place == self.place)))
    }

    /// How the stream that is looked at stands; none if the broker has forgotten it.
    pub(super) fn row(&self) -> Option<&Row> {
        self.table.row(&self.tail.as_ref()?.name)
    }

    fn marked(&self) -> Option<&Arc<str>> {
        self.order.get(self.place)
    }

    /// The places of the first and the last row that are seen, and how many there are: of those that were found, and in all.
    pub(super) fn span(&self) -> (usize, usize, usize, usize) {
        let last = (self.first + self.height).min(self.order.len());
        (self.first + 1, last, self.order.len(), self.shown().len())
    }

    /// Since when the table is held.
    pub(super) fn held(&self) -> Option<Timestamp> {
        self.held.as_ref().map(|(_, since)| *since)
    }

    /// Whether what is shown changes with time alone.
    pub(super) fn moves(&self) -> bool {
        self.held.is_none() && self.table.len() > 0
    }
}
