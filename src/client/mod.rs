//! A client of a broker in another process: [`RemoteStream`].
//!
//! One task owns the connection; handles and listeners share a state with it, under one lock that is never held across a
//! wait. What may be lost is never lost in silence: every listener sees how its stream or its connection ended.

mod address;
mod confirmed;
mod event;
mod inbox;
mod listened;
mod listener;
mod options;
mod remote;
mod session;
mod state;
mod task;
mod wire;

pub use address::{BadServerAddress, ServerAddress};
pub use confirmed::Confirmed;
pub use event::{ClientError, Event};
pub use listener::Listener;
pub use options::{Backoff, Options};
pub use remote::RemoteStream;
pub use state::Receipt;
pub use wire::Reason;

pub use crate::wire::StreamState;

// A listener in this process sees what one of a connection sees.
#[cfg(feature = "broker")]
pub(crate) use listened::{Listened, Take};
#[cfg(feature = "broker")]
pub(crate) use wire::{Reply, read};
