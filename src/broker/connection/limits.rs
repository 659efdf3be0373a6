//! What readers are held to.

use std::sync::Arc;

use crate::broker::actor::{Intake, Saves};
use crate::wire::DecodeLimits;

/// What readers are held to.
#[derive(Debug, Clone)]
pub struct ReaderLimits {
    /// What the codec checks.
    pub decode: DecodeLimits,
    /// The largest header and the largest last message, in bytes.
    pub header: usize,
    /// A run of several messages stays shorter than this, in bytes.
    pub run: usize,
    /// Mistakes in a row after which the connection is closed.
    pub errors_in_a_row: usize,
    /// What all connections have received and what has not taken effect.
    pub intake: Arc<Intake>,
    /// Whether what is done can be durable.
    pub saves: Arc<Saves>,
}
