//! How things stand, for those who watch over the broker.

use std::time::Duration;

use crate::wire::ids::ConnectionId;

use super::listens::Listens;
use super::machine::{Core, CoreLimits};
use super::tally::Tally;

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
