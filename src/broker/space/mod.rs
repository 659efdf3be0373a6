//! What several brokers, the nodes of a space, have in common: the log of all that is done, and what follows from it.

mod port;

pub use port::{LARGEST, Log, RecordId, Snapshot, Told};
