//! What connections share.

use std::sync::Arc;
use std::time::Duration;

use crate::broker::actor::{CutLog, Ids, Mailbox, Stats};
use crate::broker::outbox::OutboxLimits;
use crate::wire::Encode;

use super::limits::ReaderLimits;
use super::mistake_log::MistakeLog;

/// What all connections of a broker share that speak one encoding.
#[derive(Clone)]
pub struct ConnectionContext {
    /// Reaches the actor.
    pub mailbox: Mailbox,
    /// What readers are held to.
    pub reader: ReaderLimits,
    /// What outboxes are held to.
    pub outbox: Arc<OutboxLimits>,
    /// How long things may take.
    pub times: Times,
    /// Connection ids.
    pub ids: Arc<Ids>,
    /// What is counted.
    pub stats: Arc<Stats>,
    /// Logs cut listeners.
    pub cut_log: Arc<CutLog>,
    /// Logs mistakes of clients.
    pub mistake_log: Arc<MistakeLog>,
}

impl ConnectionContext {
    /// The same for connections that speak another encoding. They meet the others in the same streams, within the same limits.
    pub fn speaking(&self, encoder: &'static dyn Encode) -> Arc<Self> {
        Arc::new(Self { outbox: Arc::new(OutboxLimits { encoder, ..(*self.outbox).clone() }), ..self.clone() })
    }
}

/// How long things may take.
#[derive(Debug, Clone)]
pub struct Times {
    /// From the first byte to the end of the first unit.
    pub first_line: Duration,
    /// Without any progress while something waits.
    pub write: Duration,
    /// Holding publishers back.
    pub throttle: Duration,
    /// Without any progress in sending what is queued when the connection ends.
    pub drain: Duration,
    /// All of it, whatever the progress.
    pub longest_drain: Duration,
}
