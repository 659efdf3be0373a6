//! How the actor of a node does what all nodes of its space do: what clients want goes into the log, and is done when it comes back from there,
//! between what comes from other nodes.
//!
//! - `entry`: what waits to be done when a record comes back.
//! - `outgoing`: what goes into the log, one record after the other.
//! - `asking`: from a client's batch into the log.
//! - `reading`: from the log into the core.
//! - `nodes`: the nodes as streams, for whoever wants to see them.
//! - `starting`: how a node begins.
//! - `keeping`, `writing`: what it keeps for those that come later.
//! - `node`: what a node has beside the streams.

mod asking;
mod entry;
mod keeping;
mod node;
mod nodes;
mod outgoing;
mod reading;
mod starting;
#[cfg(test)]
mod tests;
mod writing;

pub(super) use asking::Asked;
pub use keeping::KEEP_AFTER;
pub(super) use keeping::StateWork;
pub use node::NodeSettings;
pub(super) use node::Sharing;
pub(super) use reading::{Reading, Replay};
pub(super) use starting::Next;
