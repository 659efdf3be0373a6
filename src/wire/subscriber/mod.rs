//! The subscriber's side of the wire: lines become replies, and replies become events of streams. Used by the client of another
//! process and by the broker within a program; no I/O.

mod event;
mod listened;
mod reply;

pub use event::{Event, Joined, Reason, Receipt};

pub(crate) use listened::{Back, From, Listened, Seat, Take};
pub(crate) use reply::{Reply, read};
