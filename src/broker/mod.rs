//! All that serves: the core, what waits, the actor, connections, the server, and their settings.
//!
//! - [`settings`]: what a broker is held to.
//! - [`core`]: every stream's header and listeners; a pure state machine.
//! - [`outbox`]: what waits to be sent to one connection.
//! - [`actor`]: the one owner of the core.
//! - [`connection`]: the life of one connection.
//! - [`server`]: binds, accepts, drains.

pub mod actor;
mod assemble;
pub mod connection;
pub mod core;
pub mod outbox;
pub mod server;
pub mod settings;

pub use assemble::assemble;
