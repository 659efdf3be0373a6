//! What the broker counts.

use std::sync::Arc;

use crate::broker::outbox::TransportKind;
use crate::broker::space::Status;
use crate::wire::{Encode, Encoding, ErrorCode};

use super::contact::Contact;
use super::count::Count;
use super::saves::Saves;

/// The limits that are in force, as whoever keeps to them says.
#[derive(Debug, Default)]
pub(crate) struct Most {
    /// Connections.
    pub(crate) connections: Count,
    /// Streams.
    pub(crate) streams: Count,
    /// Sessions.
    pub(crate) sessions: Count,
    /// What may wait in all queues together, in bytes.
    pub(crate) queued: Count,
    /// What windows may take together, in bytes.
    pub(crate) windows: Count,
    /// What may be kept of all streams, in bytes.
    pub(crate) stored: Count,
}

/// The connections of one kind and encoding.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    pub(crate) opened: Count,
    pub(crate) closed: Count,
}

impl Stats {
    /// Somebody is told so: an error, or why a connection ends.
    pub(crate) fn tell(&self, code: ErrorCode) {
        self.tell_often(code, 1);
    }

    /// The same for several times.
    pub(crate) fn tell_often(&self, code: ErrorCode, times: u64) {
        self.told[code.index()].add(times);
    }

    /// How often somebody was told so.
    #[cfg(feature = "http")]
    pub(crate) fn told(&self, code: ErrorCode) -> u64 {
        self.told[code.index()].value()
    }

    /// A connection has begun.
    pub(super) fn opened(&self, kind: TransportKind, encoder: &dyn Encode) {
        self.connections_opened.add(1);
        self.connections[kind as usize][encoding(encoder)].opened.add(1);
    }

    /// A connection has ended.
    pub(super) fn closed(&self, kind: TransportKind, encoder: &dyn Encode) {
        self.connections_closed.add(1);
        self.connections[kind as usize][encoding(encoder)].closed.add(1);
    }

    /// The connections of one kind and encoding.
    #[cfg(feature = "http")]
    pub(crate) fn connections(&self, kind: TransportKind, encoding: Encoding) -> &Connections {
        &self.connections[kind as usize][encoding as usize]
    }
}

/// The place of an encoder's encoding. One that is none of ours, as a test may have, counts as the first.
fn encoding(encoder: &dyn Encode) -> usize {
    Encoding::ALL.iter().position(|encoding| encoding.name() == encoder.name()).unwrap_or(0)
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
        pub struct Stats {
            $($(#[$doc])* pub(crate) $name: Count,)*
            /// What clients were told, by code.
            told: [Count; ErrorCode::ALL.len()],
            /// The connections that began and that ended, by kind and encoding.
            connections: [[Connections; Encoding::ALL.len()]; TransportKind::ALL.len()],
            /// The limits in force.
            pub(crate) most: Most,
            /// What is kept beyond this life of the broker.
            pub(crate) saves: Arc<Saves>,
            /// How it stands to the other nodes, if there are any.
            pub(crate) contact: Arc<Contact>,
        }

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
            /// Why the broker cannot go on as one of several nodes, if it cannot.
            ///
            /// ```
            /// # use msgstream::broker::{Server, Settings};
            /// # #[tokio::main(flavor = "current_thread")]
            /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
            /// let server = Server::bind(&["127.0.0.1:0".parse()?], &Settings::default())?;
            /// assert_eq!(server.stats().why_over(), None);
            /// # Ok(()) }
            /// ```
            pub fn why_over(&self) -> Option<String> {
                self.contact.over()
            }

            /// What the other nodes are told of this one.
            pub(crate) fn of_node(&self) -> Status {
                Status {
                    addresses: Vec::new(),
                    version: env!("CARGO_PKG_VERSION").to_owned(),
                    connections: self.connections_opened.value().saturating_sub(self.connections_closed.value()),
                    listeners: self.listeners.value(),
                    messages: self.messages.value(),
                }
            }

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
    /// Listens in force now: one for each connection and stream that it listens to.
    listeners,
    /// Sessions that are known now.
    sessions,
    /// What the windows of all streams take now, in bytes of memory.
    window_bytes,
    /// What is kept now of streams, wills and sessions beside that, in bytes of memory.
    stored_bytes,
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
    /// Messages that were put, those that were refused included.
    messages,
    /// Listeners that came back and were given all that they had missed.
    resumed,
    /// Listeners that came back and were told that something may be missing.
    resume_missed,
    /// Streams that were ended by a will.
    wills,
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
    /// Those of them that held publishers back for too long.
    cut_throttle,
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
    /// 1 if the file of the tokens has changed and cannot be used, so that what it said before counts.
    tokens_unusable,
    /// 1 if the certificates have changed and cannot be used, so that those before are shown.
    certificates_unusable,
}
