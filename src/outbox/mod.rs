//! What waits to be sent to one connection: a queue counted in bytes, its limits, and the handle that the actor and the
//! connection's task share.

mod queue;
mod settings;
mod shared;

pub use queue::{Queue, SLICES};
pub use settings::{OutboxSettings, Policy};
pub use shared::{Outbox, OutboxLimits, Pushed, Relieved, Sink, Standing, Written};
