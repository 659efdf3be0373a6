//! All settings of a broker, with their defaults and reasons. `assemble` makes the running parts from them.

mod limits;
mod memory;
mod outbox;
mod sockets;

pub use limits::Limits;
pub(super) use memory::memory;
pub use outbox::{OutboxSettings, Policy};
pub use sockets::{RuntimeSettings, TcpSettings, UnixSettings};

/// The settings of a server.
///
/// ```
/// # use msgstream::broker::{Limits, OutboxSettings, Policy, Settings};
/// let settings = Settings {
///     limits: Limits { streams: 1000, ..Limits::default() },
///     outbox: OutboxSettings { policy: Policy::Throttle, ..OutboxSettings::default() },
///     ..Settings::default()
/// };
/// assert_eq!(settings.limits.listens, 10_000, "what is not named has its default");
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// Limits on what a peer can make grow.
    pub limits: Limits,
    /// Limits on what waits to be sent.
    pub outbox: OutboxSettings,
    /// Options of TCP connections.
    pub tcp: TcpSettings,
    /// Options of Unix sockets.
    pub unix: UnixSettings,
}
