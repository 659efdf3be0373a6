//! What waits to be done when a record of this node comes back from the log.

use tokio::time::Instant;

use crate::broker::core::{Input, Refusal};
use crate::broker::space::Op;
use crate::wire::ids::ConnectionId;

/// One thing that waits. Only steps are in the record itself.
pub(in crate::broker::actor) enum Entry {
    /// What all nodes do, and for which connection.
    Step(Option<ConnectionId>, Op),
    /// What has its place in a connection's order.
    Aside(ConnectionId, Input),
    /// What cannot be taken, and is to be refused in its place.
    Refused(ConnectionId, Input, Refusal),
    /// The work in this order may go on.
    Done(ConnectionId),
    /// When this was said.
    Tick(Instant),
}

impl Entry {
    /// Whose it is, if it is a connection's.
    pub(super) fn of(&self) -> Option<ConnectionId> {
        match self {
            Self::Step(of, _) => *of,
            Self::Aside(of, _) | Self::Refused(of, ..) => Some(*of),
            Self::Done(_) | Self::Tick(_) => None,
        }
    }
}
