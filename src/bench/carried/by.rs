//! What listeners are connected by.

use clap::ValueEnum;

/// What a listener's messages travel in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum By {
    /// The protocol as it is
    #[default]
    Socket,
    /// A WebSocket
    Websocket,
    /// Server-sent events
    Events,
}
