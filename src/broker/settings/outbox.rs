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
    /// What may wait for one connection, in bytes. 64 MiB.
    pub limit: ByteSize,
    /// What may wait for all connections together, in bytes of memory. 0: a quarter of the machine's or cgroup's memory.
    pub total: ByteSize,
    /// What happens at the limit.
    pub policy: Policy,
    /// With [`Policy::Throttle`]: how long publishers are held back before the listener is cut off. 30 s.
    pub throttle_time: Span,
    /// A connection that takes nothing for this long, although something waits, is cut off. 10 s.
    pub write_time: Span,
    /// How long a connection that ends may take nothing of what is queued for it. 5 s.
    pub drain_time: Span,
    /// The longest time a connection that ends has to receive what is queued for it, while it goes on taking some. If it is less
    /// than `drain_time`, that counts. 15 s.
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
    /// The listener is cut off, and told.
    #[default]
    Disconnect,
    /// The publishers of its streams are slowed down to its pace, for a time; then it is cut off, and told.
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
