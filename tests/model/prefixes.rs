//! The listeners of prefixes: what they join, and what they are told.

use msgstream::internal::wire::{Starts, allocated};

use super::Model;
use super::listening::Told;

pub(crate) const PREFIXES: [&str; 4] = ["", "s", "s0", "s3"];

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
        self.prefixes.iter().filter(|(listener, _)| *listener == connection).map(|(_, prefix)| prefix.clone()).collect()
    }

    /// Enters the listener of a prefix. False if there is no room.
    pub(crate) fn begin_walk(&mut self, from: u32, prefix: &str, starts: Option<Starts>, receipt: bool) -> bool {
        let listener = (from, prefix.to_owned());
        if !self.prefixes.contains(&listener) {
            let order = if self.prefixes.is_empty() { ORDERED * self.streams.len() } else { 0 };
            let has_room = self.stored() + order + listened(prefix) <= self.limits.stored;
            if self.listens(from) >= self.limits.listens || !has_room {
                let receipt = if receipt { ",\"receipt\":7" } else { "" };
                self.delivered.deliver(from, format!("{{\"action\":\"error\",\"message\":{{\"code\":\"limit\"}}{receipt}}}\n"));
                return false;
            }
            self.prefixes.insert(listener);
        }
        self.walks.insert(from, Walk { prefix: prefix.to_owned(), at: None, starts: starts.unwrap_or_default(), joined: 0, receipt });
        true
    }

    /// Joins the next stream on the way of a connection. True if that was the last.
    pub(crate) fn walk_on(&mut self, from: u32) -> bool {
        if let Some(stream) = self.next_on_walk(from) {
            let walk = self.walks.get_mut(&from).unwrap();
            walk.at = Some(stream.clone());
            let starts = walk.starts.clone();
            let joined = self.join(from, &stream, starts);
            self.walks.get_mut(&from).unwrap().joined += usize::from(joined);
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
        self.streams.keys().find(|stream| stream.starts_with(&walk.prefix) && walk.is_ahead(stream)).cloned()
    }

    /// A stream has come into being: all who listen to a prefix join it, but for those who come to it on their way.
    pub(super) fn announce(&mut self, stream: &str) {
        let mut connections: Vec<u32> = (0..super::CONNECTIONS).collect();
        // Where not all have room, the first to join is the one with the lowest id.
        connections.sort_by_key(|connection| self.ids.get(connection));
        for connection in connections {
            let comes = |prefix: &String| {
                let walk = self.walks.get(&connection).filter(|walk| walk.prefix == *prefix);
                walk.is_some_and(|walk| walk.is_ahead(stream))
            };
            if self.prefixes_of(connection).iter().any(|prefix| stream.starts_with(prefix) && !comes(prefix)) {
                self.join(connection, stream, Starts::default());
            }
        }
    }

    /// False if there is no room, which is told.
    fn join(&mut self, to: u32, stream: &str, starts: Starts) -> bool {
        let start = starts.of(&msgstream::internal::wire::ids::StreamName::new(stream).unwrap());
        let ended = self.streams[stream].ended.clone();
        if ended.is_none() && !self.enter(to, stream, false) {
            self.refuse(to, "limit", stream, false);
            return false;
        }
        self.begin(to, stream, start, Some(Told::Joined));
        if let Some(ended) = ended {
            let last = ended.last.unwrap_or_else(|| format!("{{\"action\":\"close\",\"stream\":\"{stream}\"}}\n"));
            self.delivered.deliver(to, last);
        }
        true
    }

    pub(super) fn hang_up_prefix(&mut self, from: u32, prefix: &str) {
        if !self.prefixes.remove(&(from, prefix.to_owned())) {
            return;
        }
        let others = self.prefixes_of(from);
        for (name, state) in &mut self.streams {
            let stays = others.iter().any(|other| name.starts_with(other));
            if !stays && state.listeners.get(&from) == Some(&false) {
                state.listeners.remove(&from);
            }
        }
        self.drop_empty();
    }
}
