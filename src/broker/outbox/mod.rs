//! What waits to be sent to one connection: a queue counted in bytes, its limits, and the handle that the actor and the
//! connection's task share.

mod cutting;
mod hold;
mod latest;
#[cfg(test)]
mod narrow;
#[expect(clippy::module_inception, reason = "the room is named for what it holds")]
mod outbox;
mod outcome;
mod permits;
mod queue;
mod replacing;
mod sink;
mod writing;

pub use outbox::{Outbox, OutboxLimits};
pub use outcome::{Flushed, Pushed, Relieved, Standing, Written};
pub use permits::{AwaitsPermit, WritePermits};
pub use queue::{Queue, SLICES};
pub use sink::{Sink, TransportKind, Unsent};
