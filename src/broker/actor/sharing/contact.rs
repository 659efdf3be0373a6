//! Whether a node hears the others, for whoever watches over it.
#![cfg_attr(not(feature = "http"), allow(dead_code, reason = "without HTTP nobody is told"))]

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::broker::actor::count::Count;

/// A node that has heard nothing of itself for this long is cut off.
const CUT_OFF: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
struct State {
    is_node: bool,
    /// Why there is no way to the log.
    why: Option<String>,
    /// Since when it is cut off.
    since: Option<Instant>,
    nodes: usize,
    name: String,
    /// Why it cannot go on.
    over: Option<String>,
}

/// Records of the log that were read.
#[derive(Debug, Default)]
pub(crate) struct Records {
    pub(crate) count: Count,
    pub(crate) bytes: Count,
}

/// How a node stands to the others. A broker on its own has none.
#[derive(Debug, Default)]
pub struct Contact {
    state: Mutex<State>,
    /// What this node has said, as it came back.
    pub(crate) own: Records,
    /// What other nodes have said.
    pub(crate) others: Records,
}

impl Contact {
    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The broker is a node, which has yet to hear the others.
    pub(crate) fn begin(&self, name: &str) {
        self.with(|state| {
            (state.is_node, state.name, state.since) = (true, name.to_owned(), Some(Instant::now()));
            state.why = Some("it has not read the log yet".to_owned());
        });
    }

    /// There is no way to the log, and why; or there is one again.
    pub(super) fn tell(&self, away: Option<String>) {
        self.with(|state| {
            if away.is_some() {
                state.since.get_or_insert_with(Instant::now);
            }
            state.why = away;
        });
    }

    /// When it said last what it has heard, and whether the others know it.
    pub(super) fn look(&self, heard: Option<Instant>, is_known: bool) {
        let is_fresh = is_known && heard.is_some_and(|heard| heard.elapsed() < CUT_OFF);
        self.with(|state| {
            if is_fresh && state.why.is_none() {
                state.since = None;
            } else {
                state.since.get_or_insert_with(|| heard.unwrap_or_else(Instant::now));
            }
        });
    }

    /// A record has come, of so many bytes.
    pub(super) fn read(&self, is_own: bool, bytes: usize) {
        let records = if is_own { &self.own } else { &self.others };
        records.count.add(1);
        records.bytes.add(bytes as u64);
    }

    /// The node cannot go on.
    pub(in crate::broker::actor) fn end(&self, why: String) {
        self.with(|state| state.over = Some(why));
    }

    /// Why it cannot go on, if it cannot.
    pub(crate) fn over(&self) -> Option<String> {
        self.with(|state| state.over.clone())
    }

    /// So many nodes are there.
    pub(super) fn count(&self, nodes: usize) {
        self.with(|state| state.nodes = nodes);
    }

    /// For how long it has been cut off, and why. None if it hears the others, or is on its own.
    pub(crate) fn cut_off(&self) -> Option<(Duration, String)> {
        self.with(|state| {
            let since = state.since.filter(|_| state.is_node)?;
            let why = state.why.clone().unwrap_or_else(|| "nothing that it says comes back from NATS".to_owned());
            Some((since.elapsed(), why))
        })
    }

    /// How many nodes there are, if it is one of several.
    pub(crate) fn nodes(&self) -> Option<usize> {
        self.with(|state| state.is_node.then_some(state.nodes))
    }

    /// The node's name, if it is one.
    pub(crate) fn name(&self) -> Option<String> {
        self.with(|state| state.is_node.then(|| state.name.clone()))
    }
}
