//! What the broker counts.

use std::sync::atomic::{AtomicU64, Ordering};

/// A count that many tasks add to.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    /// Adds to the count.
    pub(crate) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// Sets what is a level rather than a count.
    pub(super) fn set(&self, level: u64) {
        self.0.store(level, Ordering::Relaxed);
    }

    /// The count now.
    fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

macro_rules! stats {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Counts since the broker began; they go on while it runs.
        ///
        /// ```
        /// # use msgstream::broker::{Server, Settings};
        /// # #[tokio::main(flavor = "current_thread")]
        /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
        /// let server = Server::bind(&["127.0.0.1:0".parse()?], &Settings::default())?;
        /// let stats = server.stats();
        /// assert_eq!(stats.snapshot().connections_opened, 0);
        /// # Ok(()) }
        /// ```
        #[derive(Debug, Default)]
        pub struct Stats { $($(#[$doc])* pub(crate) $name: Count,)* }

        /// The counts at one moment.
        ///
        /// ```
        /// # use msgstream::broker::{Server, Settings, StatsSnapshot};
        /// fn lost(before: &StatsSnapshot, now: &StatsSnapshot) -> u64 {
        ///     now.cut_limit + now.cut_total + now.cut_time - before.cut_limit - before.cut_total - before.cut_time
        /// }
        ///
        /// # #[tokio::main(flavor = "current_thread")]
        /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
        /// let stats = Server::bind(&["127.0.0.1:0".parse()?], &Settings::default())?.stats();
        /// assert_eq!(lost(&stats.snapshot(), &stats.snapshot()), 0);
        /// # Ok(()) }
        /// ```
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct StatsSnapshot { $($(#[$doc])* pub $name: u64,)* }

        impl Stats {
            /// The counts now.
            pub fn snapshot(&self) -> StatsSnapshot {
                StatsSnapshot { $($name: self.$name.value(),)* }
            }
        }
    };
}

stats! {
    /// Streams that exist now.
    streams,
    /// Connections that began.
    connections_opened,
    /// Connections that ended.
    connections_closed,
    /// Connections turned away because there were too many.
    connections_refused,
    /// TLS handshakes that failed or took too long.
    handshakes_failed,
    /// Steps taken; consecutive messages of one publisher to one stream are one step.
    actions,
    /// Messages and answers queued, once for each connection that they were queued for.
    delivered,
    /// Messages translated for listeners of another encoding, once each however many there were.
    translated,
    /// Lines that were refused.
    mistakes,
    /// Listeners cut off over their own limit.
    cut_limit,
    /// Listeners cut off over the limit for all.
    cut_total,
    /// Listeners cut off because they took nothing for too long, or held publishers back for too long.
    cut_time,
    /// Connections that were ended because their client did not say who it is.
    auth_required,
    /// Tokens that were refused.
    auth_failed,
    /// Attempts that were refused without a look at the token, since too many from there had failed.
    auth_paused,
    /// Accepts that failed for lack of descriptors or memory.
    accept_failed,
    /// Connections that ended by a panic.
    panics,
}
