//! The broker's core: who listens to what, and what every stream's header is.
//!
//! A pure state machine. Inputs and deliveries are values; it knows no socket, channel, clock or task, which
//! `clippy.toml` enforces. One owner drives it: the actor, a test, or a program that embeds it. Its answers to one
//! history of inputs are always the same.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod birth;
mod budget;
mod changes;
mod common;
mod directory;
mod ending;
mod epochs;
mod input;
#[cfg(any(test, debug_assertions))]
mod invariants;
mod joining;
mod keeping;
mod leaving;
mod levels;
mod listens;
mod lost;
mod machine;
mod order;
mod parts;
mod past;
mod prefixes;
mod publishing;
mod putting;
mod replay;
mod restoring;
mod saved;
mod saving;
mod sessions;
mod shared;
mod stream;
mod table;
mod tally;
#[cfg(test)]
mod tests;
mod walking;
mod wills;
mod window;

pub use budget::Budget;
pub(super) use budget::{INPUT, sending};
pub use common::Elsewhere;
pub use epochs::Epochs;
pub use input::{Deliver, Extra, Input};
pub use machine::{Core, CoreLimits};
pub use past::ReplayLimits;
pub use saved::{Change, Restored, SavedEnd, SavedRun, SavedStream, SavedWill, SavedWindow, StreamChange};
pub use saved::{SavedCommon, SavedOwner, SavedSession, SavedShared, SharedLimits};
pub use shared::Refusal;
pub use tally::Tally;
