//! What a run does, once its options are checked.

use std::time::Duration;

use crate::wire::Address;

use super::carried::By;
use super::content::LoadContent;
use super::encrypted::Encryption;
use super::topology::Topology;
use super::wire::{Dialect, Protocol};

/// What a run does, checked.
pub(crate) struct Plan {
    /// What is spoken.
    pub(crate) protocol: Protocol,
    /// How the broker is spoken to.
    pub(crate) wire: &'static dyn Dialect,
    /// Where it is.
    pub(crate) server: Address,
    /// What its messages travel in, for those who listen.
    pub(crate) by: By,
    /// How it is encrypted, if it is.
    pub(crate) encryption: Option<Encryption>,
    /// Who publishes and listens to what.
    pub(crate) topology: Topology,
    /// The content of a message, up to and including its id.
    pub(crate) content: LoadContent,
    /// Messages that a publisher may be ahead of a listener.
    pub(crate) window: u64,
    /// Messages written at once, when the rate is not set.
    pub(crate) batch: u64,
    /// How long nothing may move.
    pub(crate) timeout: Duration,
}
