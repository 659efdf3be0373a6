//! The `[replay]` section of the configuration.

use serde::Deserialize;

use crate::wire::setters;
use crate::wire::units::{ByteSize, Span};

/// What is kept of the messages that streams have had, for listeners that come back after their connection was lost, or that ask for the
/// last messages.
///
/// ```
/// # use msgstream::broker::{ReplaySettings, Settings};
/// # use msgstream::units::{ByteSize, Span};
/// // A listener that was away for an hour misses nothing, if that fits into 4 MiB.
/// let replay = ReplaySettings::default().stream(ByteSize(4 << 20)).time(Span::from_secs(3600));
/// let settings = Settings::default().replay(replay);
/// assert_eq!(settings.replay.total, ByteSize(0), "what is not named has its default");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct ReplaySettings {
    /// How much is kept of the last messages of one stream, in bytes of memory; never more than half of `outbox.limit`. 0 keeps none.
    /// Default: 256 KiB.
    pub stream: ByteSize,
    /// How much is kept of all streams together, in bytes of memory. 0: an eighth of the machine's or cgroup's memory. Default: 0.
    pub total: ByteSize,
    /// How long a message is kept, and a stream of which nothing else is left. Default: 10 min.
    pub time: Span,
}

impl Default for ReplaySettings {
    fn default() -> Self {
        Self { stream: ByteSize(256 << 10), total: ByteSize(0), time: Span::from_secs(600) }
    }
}

setters! {
    "msgstream::{broker::*, units::*}";
    ReplaySettings {
        stream: ByteSize, "ByteSize(4 << 20)";
        total: ByteSize, "ByteSize(1 << 30)";
        time: Span, "Span::from_secs(3600)";
    }
}
