//! The broker: [`Server`], with its sockets, and its [`Settings`].
//!
//! For readers of the source, lowest first:
//!
//! - `settings`: all settings of a broker.
//! - `access`: who is let in, and what they may do.
//! - `core`: every stream's header and listeners; a pure state machine.
//! - `outbox`: what waits to be sent to one connection.
//! - `rows`: what is kept, byte by byte.
//! - `space`: what several brokers have in common: the log of what is done, and what follows from it.
//! - `actor`: the one owner of the core.
//! - `store`: the file of what is kept beyond one life of the broker.
//! - `nats`: the log of a space, on NATS JetStream.
//! - `connection`: the life of one connection.
//! - `metrics`: what whoever watches over the broker is told.
//! - `http`: requests, events and WebSockets.
//! - `assemble`: from settings to the running parts.
//! - `server`: binds, accepts, drains.

pub(crate) mod access;
pub(crate) mod actor;
pub(crate) mod assemble;
pub(crate) mod connection;
pub(crate) mod core;
#[cfg(feature = "http")]
pub(crate) mod http;
#[cfg(feature = "http")]
pub(crate) mod metrics;
#[cfg(feature = "nodes")]
pub(crate) mod nats;
pub(crate) mod outbox;
pub(crate) mod rows;
pub(crate) mod server;
pub(crate) mod settings;
pub(crate) mod space;
#[cfg(feature = "store")]
pub(crate) mod store;

pub use access::{Reloaded, TokensError};
pub use actor::{Stats, StatsSnapshot};
#[cfg(feature = "http")]
pub use metrics::{Metrics, MetricsFormat};
#[cfg(feature = "tls")]
pub use server::Certificates;
pub use server::{BadSocket, BindError, Control, HandedIn, Pulse, Server, ServerError, Tokens};
pub use settings::AuthSettings;
#[cfg(feature = "http")]
pub use settings::HttpSettings;
#[cfg(feature = "nodes")]
pub use settings::NodesSettings;
#[cfg(feature = "store")]
pub use settings::StoreSettings;
#[cfg(feature = "tls")]
pub use settings::{ClientCertificates, TlsSettings};
pub use settings::{Limits, OutboxSettings, Policy, ReplaySettings, RuntimeSettings, Settings, TcpSettings, UnixSettings};

#[cfg(feature = "store")]
pub use store::StoreError;

#[cfg(feature = "tls")]
pub use crate::tls::TlsError;
pub use crate::wire::{Address, BadAddress, DEFAULT_PORT, Encoding, Listen};
