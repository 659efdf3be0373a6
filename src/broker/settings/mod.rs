//! What a broker is held to: one home for its settings, with their defaults and reasons. `assemble` makes
//! running parts of them.

mod limits;
mod memory;
mod outbox;
mod sockets;

pub use limits::Limits;
pub(super) use memory::memory;
pub use outbox::{OutboxSettings, Policy};
pub use sockets::{RuntimeSettings, TcpSettings, UnixSettings};

/// What a server is held to.
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
    /// What a peer can make grow.
    pub limits: Limits,
    /// What waits for connections.
    pub outbox: OutboxSettings,
    /// Options of TCP connections.
    pub tcp: TcpSettings,
    /// Options of Unix sockets.
    pub unix: UnixSettings,
}
