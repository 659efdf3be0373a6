//! What several brokers, the nodes of a space, have in common: the log of all that is done, and what follows from it.
//!
//! - `port`: the way to whatever keeps the log.
//! - `status`, `fields`, `op`: what is said in it, byte by byte.
//! - `envelope`: who says it.
//! - `members`: the nodes, and the time of the log.
//! - `state`: all that follows from the log up to a record, for a node that comes later.

mod envelope;
mod fields;
mod members;
mod op;
mod port;
mod state;
mod status;

pub use envelope::Envelope;
pub use members::{Clock, Member, Members, Standing};
pub use op::{Join, Op};
pub use port::{LARGEST, Log, RecordId, Snapshot, Told};
pub use state::{Beside, State, StateWriter};
pub use status::Status;
