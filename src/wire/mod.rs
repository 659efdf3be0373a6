//! What is said between a client and the broker: actions, events, mistakes, and the [`Codec`] that turns bytes into
//! the first and the others into bytes. Knows nothing of sockets, streams' state or tasks.

mod action;
mod codec;
mod endpoint;
mod error;
mod event;
mod frame;
pub mod ids;
pub mod json_lines;
mod listen;
mod members;
pub mod message_pack;
mod names;
mod reason;
pub(crate) mod refusal;
mod request;
pub(crate) mod subscriber;
pub mod units;

pub(crate) use action::{Repeated, Verb};
pub(crate) use endpoint::{Endpoint, Place};

pub use action::{Action, Message, Name, Receipt};
pub use codec::{Codec, DecodeLimits, Encode, Foreign, Unit};
pub use endpoint::Encoding;
pub use error::{ErrorCode, Mistake};
pub use event::{Event, StreamState};
pub use frame::{Frame, Gauge, Translations, allocated};
pub use listen::{Address, BadAddress, DEFAULT_PORT, Listen};
