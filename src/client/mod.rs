//! A client of a broker in another process: [`RemoteStream`].
//!
//! One task owns the connection. Handles and listeners share a state with it, under one lock that is never held across an
//! await. Nothing is lost silently: every listener sees how its stream or its connection ended.

pub(crate) mod address;
mod confirmed;
mod connection;
#[cfg(feature = "cli")]
mod directory;
mod error;
mod exchange;
mod gathered;
mod inbox;
mod link;
mod listener;
mod listening;
mod options;
mod prefix_listener;
mod publish;
mod remote;
mod request;
mod resume;
mod shared;
mod state;
mod target;
mod task;
#[cfg(feature = "tls")]
mod tls;
mod waiting;

pub use crate::wire::subscriber::{Event, Joined, Reason, Receipt};
pub use crate::wire::{BadToken, DEFAULT_PORT, Epoch, Position, Positions, Start, Starts, StreamState, Token};
pub use address::{BadServerAddress, ServerAddress, ServerAddresses};
pub use confirmed::Confirmed;
pub use connection::Connection;
#[cfg(feature = "cli")]
pub(crate) use directory::{ENTRIES, Listed, list, nodes};
pub use error::ClientError;
pub use listener::Listener;
pub use options::{Backoff, Options};
pub use prefix_listener::PrefixListener;
pub use remote::RemoteStream;
#[cfg(feature = "tls")]
pub use tls::TlsOptions;
#[cfg(feature = "cli")]
pub(crate) use waiting::Waits;
