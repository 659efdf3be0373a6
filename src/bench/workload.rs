//! What keeps a broker busy while a bystander pings, by name.

use anyhow::{Result, bail};
use clap::ValueEnum;

use super::wire::Protocol;

/// What others do while the bystander pings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Workload {
    /// Nothing: the listeners are idle
    Nothing,
    /// Small messages
    Puts,
    /// Messages with receipts. Redis answers each anyway, NATS is asked to by `verbose`
    Receipts,
    /// Messages with headers. Redis: SET and PUBLISH; NATS stores none, and gets a message to another subject instead
    Headers,
    /// Messages that alternate between two streams, with every listener on both
    Alternating,
    /// Lines that are not actions, with a ping after every 63. NATS closes such connections
    Errors,
    /// Messages of 1 MiB
    Big,
    /// Messages for listeners of the other encoding, at --listeners-at. Other brokers: the same messages as they are
    Translation,
}

impl Workload {
    /// Whether it can be done in a protocol.
    ///
    /// # Errors
    /// If it cannot.
    pub(crate) fn check(self, protocol: Protocol, translates: bool) -> Result<()> {
        match (protocol, self) {
            (Protocol::Msgpack | Protocol::Mqtt | Protocol::Nchan | Protocol::Relay, _) => {
                bail!("--beside needs --protocol msgstream, redis or nats")
            }
            (Protocol::Nats, Self::Errors) => bail!("NATS closes a connection after one error: there is no --beside errors"),
            (Protocol::Msgstream, Self::Translation) if !translates => {
                bail!("--beside translation needs --listeners-at with an address that begins with \"msgpack+\"")
            }
            _ => Ok(()),
        }
    }

    /// The streams that every listener listens to.
    pub(crate) fn streams(self) -> &'static [&'static str] {
        if self == Self::Alternating { &["a", "b"] } else { &["a"] }
    }
}
