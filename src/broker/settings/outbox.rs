//! The `[outbox]` section of the configuration.

use serde::Deserialize;

use crate::wire::setters;
use crate::wire::units::{ByteSize, Span};

/// How much may wait for a connection, and what happens to a connection that does not read it.
///
/// ```
/// # use msgstream::broker::{OutboxSettings, Policy};
/// # use msgstream::units::{ByteSize, Span};
/// let patient = OutboxSettings::default().policy(Policy::Throttle).throttle_time(Span::from_secs(5));
/// assert_eq!(patient.limit, ByteSize(64 << 20));
/// assert_eq!(Policy::default(), Policy::Disconnect);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct OutboxSettings {
    /// How much may be queued for one connection, in bytes. Default: 64 MiB.
    pub limit: ByteSize,
    /// How much may be queued for all connections together, in bytes of memory. 0: a quarter of the machine's or cgroup's memory.
    /// Default: 0.
    pub total: ByteSize,
    /// What happens at the limit.
    pub policy: Policy,
    /// With [`Policy::Throttle`]: how long publishers are held back before the listener is cut off. Default: 30 s.
    pub throttle_time: Span,
    /// A connection is cut off if something is queued for it and it takes nothing for this long. Default: 10 s.
    pub write_time: Span,
    /// The broker gives up sending what is queued for an ending connection if the client takes nothing for this long. Default: 5 s.
    pub drain_time: Span,
    /// The longest time in all for sending what is queued for an ending connection. If it is less than `drain_time`, that counts.
    /// Default: 15 s.
    pub drain_limit: Span,
}

/// What happens when an outbox is full.
///
/// ```
/// # use msgstream::broker::{OutboxSettings, Policy};
/// // As the configuration says it.
/// let settings: OutboxSettings = serde_json::from_str(r#"{"policy":"throttle"}"#)?;
/// assert_eq!(settings.policy, Policy::Throttle);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Policy {
    /// The listener is cut off and told why.
    #[default]
    Disconnect,
    /// The publishers of its streams wait for it, for a limited time; then it is cut off and told why.
    Throttle,
}

impl OutboxSettings {
    /// How long a drain may take in all: never less than `drain_time`.
    pub(in crate::broker) fn longest_drain(&self) -> std::time::Duration {
        self.drain_limit.0.max(self.drain_time.0)
    }
}

impl Default for OutboxSettings {
    fn default() -> Self {
        Self {
            limit: ByteSize(64 << 20),
            total: ByteSize(0),
            policy: Policy::default(),
            throttle_time: Span::from_secs(30),
            write_time: Span::from_secs(10),
            drain_time: Span::from_secs(5),
            drain_limit: Span::from_secs(15),
        }
    }
}

setters! {
    "msgstream::{broker::*, units::*}";
    OutboxSettings {
        limit: ByteSize, "ByteSize(1 << 20)";
        total: ByteSize, "ByteSize(1 << 30)";
        policy: Policy, "Policy::Throttle";
        throttle_time: Span, "Span::from_secs(5)";
        write_time: Span, "Span::from_secs(60)";
        drain_time: Span, "Span::from_secs(60)";
        drain_limit: Span, "Span::from_secs(60)";
    }
}
