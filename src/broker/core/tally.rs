//! What the core counts for those who watch over the broker, kept as plain numbers: nothing here is on the way of a message.

use std::time::Duration;

use crate::wire::ids::ConnectionId;

use super::listens::Listens;
use super::machine::{Core, CoreLimits};

/// What has happened so far, and how many listen now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Listens in force: one for each connection and stream that it listens to.
    pub listeners: usize,
    /// Listeners that came back and were given all that they had missed.
    pub resumed: u64,
    /// Listeners that came back and were told that something may be missing.
    pub missed: u64,
    /// Streams that were ended by a will.
    pub wills: u64,
}

impl Core {
    /// What was counted.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// How many sessions there are.
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// The time on its clock.
    pub fn time(&self) -> Duration {
        self.now
    }

    /// The limits in force.
    pub fn limits(&self) -> &CoreLimits {
        &self.limits
    }

    /// How many streams and prefixes a connection listens to.
    pub fn listens_of(&self, connection: ConnectionId) -> usize {
        self.connections.get(connection.index()).map_or(0, Listens::len) + self.prefixes.count(connection)
    }
}
