//! The listeners of prefixes: what they join, and what they are told.

use std::collections::BTreeSet;

use msgstream::internal::wire::{Starts, allocated};

use super::Model;
use super::directory::{entry, is_entry};
use super::lines::close_bare;
use super::listening::Told;

/// The first are those of clients' names, the others of the broker's.
pub(crate) const PREFIXES: [&str; OF_CLIENTS + 4] = ["", "s", "s0", "s3", "$", "$streams/", "$streams/s0", "$streams/$"];
pub(crate) const OF_CLIENTS: usize = 4;

/// Whether a stream is one of those that a prefix means.
pub(super) fn matches(prefix: &str, stream: &str) -> bool {
    stream.starts_with(prefix) && stream.starts_with('$') == prefix.starts_with('$')
}

/// What each stream takes in the order of names, which is kept as long as somebody listens to a prefix.
pub(super) const ORDERED: usize = 48;

/// What the listener of a prefix takes.
pub(super) fn listened(prefix: &str) -> usize {
    240 + allocated(prefix.len())
}

/// The way of one listener through the streams that there are.
#[derive(Debug)]
pub(super) struct Walk {
    prefix: String,
    at: Option<String>,
    starts: Starts,
    joined: usize,
    receipt: bool,
}

impl Walk {
    fn is_ahead(&self, stream: &str) -> bool {
        self.at.as_deref().is_none_or(|at| at < stream)
    }
}

impl Model {
    pub(super) fn prefixes_of(&self, connection: u32) -> Vec<String> {
        self.prefixes.keys().filter(|(listener, _)| *listener == connection).map(|(_, prefix)| prefix.clone()).collect()
    }

    /// Enters the listener of a prefix. False if there is no room.
    pub(crate) fn begin_walk(&mut self, from: u32, prefix: &str, starts: Option<Starts>, receipt: bool) -> bool {
        let listener = (from, prefix.to_owned());
        if !self.prefixes.contains_key(&listener) {
            let order = if self.prefixes.is_empty() { ORDERED * self.streams.len() } else { 0 };
            let has_room = self.stored() + order + listened(prefix) <= self.limits.stored;
            if self.listens(from) >= self.limits.listens || !has_room {
                let receipt = if receipt { ",\"receipt\":7" } else { "" };
                self.delivered.deliver(from, format!("{{\"action\":\"error\",\"message\":{{\"code\":\"limit\"}}{receipt}}}\n"));
                return false;
            }
        }
        self.prefixes.insert(listener, starts.as_ref().is_some_and(|starts| starts.latest));
        self.walks.insert(from, Walk { prefix: prefix.to_owned(), at: None, starts: starts.unwrap_or_default(), joined: 0, receipt });
        true
    }

    /// Joins the next stream on the way of a connection. True if that was the last.
    pub(crate) fn walk_on(&mut self, from: u32) -> bool {
        if let Some(stream) = self.next_on_walk(from) {
            let starts = self.walks[&from].starts.clone();
            let joined = self.join(from, &stream, starts);
            let walk = self.walks.get_mut(&from).unwrap();
            walk.joined += usize::from(joined);
            walk.at = Some(stream);
        }
        if self.next_on_walk(from).is_some() {
            return false;
        }
        let walk = self.walks.remove(&from).unwrap();
        self.answer(from, walk.receipt, &format!(",\"streams\":{}", walk.joined), None);
        true
    }

    fn next_on_walk(&self, from: u32) -> Option<String> {
        let walk = &self.walks[&from];
        // Whoever waits for a stream of the directory makes none.
        let (of_clients, of_broker): (Vec<&String>, Vec<&String>) =
            self.streams.keys().filter(|stream| !is_entry(stream)).partition(|stream| !stream.starts_with('$'));
        let entries = of_clients.iter().map(|stream| entry(stream));
        let all: BTreeSet<String> = of_clients.iter().chain(&of_broker).map(|stream| (*stream).clone()).chain(entries).collect();
        all.into_iter().find(|stream| matches(&walk.prefix, stream) && walk.is_ahead(stream))
    }

    /// A stream has come into being: all who listen to a prefix join it, but for those who come to it on their way.
    pub(super) fn announce(&mut self, stream: &str) {
        // Those of the directory come when they are told of.
        if is_entry(stream) {
            return;
        }
        let mut connections: Vec<u32> = (0..super::CONNECTIONS).collect();
        // Where not all have room, the first to join is the one with the lowest id.
        connections.sort_by_key(|connection| self.ids.get(connection));
        for connection in connections {
            if self.hears_of(connection, stream) {
                let latest = self.wants_latest(connection, stream);
                self.join(connection, stream, Starts { latest, ..Starts::default() });
            }
        }
    }

    /// Whether one of a connection's prefixes means the stream, which it does not come to on its way.
    pub(super) fn hears_of(&self, connection: u32, stream: &str) -> bool {
        let comes = |prefix: &String| {
            let walk = self.walks.get(&connection).filter(|walk| walk.prefix == *prefix);
            walk.is_some_and(|walk| walk.is_ahead(stream))
        };
        self.prefixes_of(connection).iter().any(|prefix| matches(prefix, stream) && !comes(prefix))
    }

    /// Whether a connection wants the newest message only, by each of its prefixes that mean the stream.
    pub(super) fn wants_latest(&self, connection: u32, stream: &str) -> bool {
        let mut own = self.prefixes.iter().filter(|((listener, prefix), _)| *listener == connection && matches(prefix, stream));
        own.all(|(_, latest)| *latest)
    }

    /// False if there is no room, which is told.
    fn join(&mut self, to: u32, stream: &str, starts: Starts) -> bool {
        let start = starts.of(stream);
        if is_entry(stream) {
            self.tell_if_new(stream);
            self.join_entry(to, stream, start);
            return true;
        }
        let ended = self.streams[stream].ended.clone();
        if ended.is_none() && !self.enter(to, stream, false, start.latest) {
            self.refuse(to, "limit", stream, false);
            return false;
        }
        self.begin(to, stream, start, Some(Told::Joined));
        if let Some(ended) = ended {
            let last = ended.last.unwrap_or_else(|| close_bare(stream));
            self.delivered.deliver(to, last);
        }
        true
    }

    pub(super) fn hang_up_prefix(&mut self, from: u32, prefix: &str) {
        if self.prefixes.remove(&(from, prefix.to_owned())).is_none() {
            return;
        }
        let others = self.prefixes_of(from);
        for (name, state) in &mut self.streams {
            let stays = others.iter().any(|other| matches(other, name));
            if !stays && state.listeners.get(&from) == Some(&false) {
                state.listeners.remove(&from);
                state.latest.remove(&from);
            }
        }
        self.drop_empty();
    }
}
