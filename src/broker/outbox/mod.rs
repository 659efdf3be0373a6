//! What waits to be sent to one connection: a queue counted in bytes, its limits, and the handle that the actor and the
//! connection's task share.

mod outcome;
mod queue;
mod shared;

pub use outcome::{Pushed, Relieved, Standing, Written};
pub use queue::{Queue, SLICES};
pub use shared::{Outbox, OutboxLimits, Sink};
