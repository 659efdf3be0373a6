//! What is said between a client and the broker: actions, events, mistakes, and the [`Codec`] that turns bytes into
//! actions, and events into bytes. Knows nothing of sockets, tasks or the state of streams.
//!
//! Encodings and frames belong to the broker: a client lets `serde_json` read and write its lines.

mod action;
mod endpoint;
mod error;
mod event;
pub mod ids;
mod position;
mod secret;
mod session;
mod settable;
pub mod units;

pub(crate) mod subscriber;

#[cfg(feature = "broker")]
mod codec;
#[cfg(feature = "broker")]
mod frame;
#[cfg(feature = "broker")]
pub mod json_lines;
#[cfg(feature = "broker")]
mod listen;
#[cfg(feature = "broker")]
mod members;
#[cfg(feature = "broker")]
pub mod message_pack;
#[cfg(feature = "broker")]
mod names;
#[cfg(feature = "broker")]
mod reason;
#[cfg(feature = "broker")]
pub(crate) mod refusal;
#[cfg(feature = "broker")]
mod request;

#[cfg(all(test, feature = "broker"))]
mod tests;

pub(crate) use action::{Repeated, Verb};
pub(crate) use endpoint::{Endpoint, Place};
pub(crate) use settable::setters;

pub use action::{Action, Name, Payload, ReceiptId};
pub use endpoint::{DEFAULT_PORT, Encoding};
pub use error::{ErrorCode, Mistake};
pub use event::{Effect, Event, StreamState};
pub use position::{Epoch, Position, Positions, Start, Starts};
#[cfg(feature = "nodes")]
pub(crate) use secret::without_passwords;
pub use secret::{BadToken, TOKEN_START, Token};
pub(crate) use secret::{holds_secret, showable};
pub use session::SessionName;

#[cfg(feature = "broker")]
pub use codec::{Codec, DecodeLimits, Encode, Foreign, UnitEnd};
#[cfg(feature = "broker")]
pub use frame::{Frame, Gauge, Translations, allocated, allocated_name};
#[cfg(feature = "broker")]
pub use listen::{Address, BadAddress, Listen};
