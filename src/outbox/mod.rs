//! What waits to be sent to one connection.

mod settings;

pub use settings::{OutboxSettings, Policy};
