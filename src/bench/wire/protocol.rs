//! The protocols by name.

use clap::ValueEnum;

/// A protocol that the generator speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Protocol {
    /// JSON lines, this program's own
    Msgstream,
    /// MessagePack, this program's own as well
    Msgpack,
    /// Redis publish and subscribe (RESP)
    Redis,
    /// NATS core
    Nats,
    /// MQTT 3.1.1, quality of service 0
    Mqtt,
    /// nginx with nchan: publishing by HTTP, listening by WebSocket or server-sent events
    Nchan,
    /// The bare relay of benches/compare, which copies bytes and parses nothing
    Relay,
}
