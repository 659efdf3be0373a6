//! The store: one file, in which streams, wills and sessions stand beyond one life of the broker.
//!
//! A database of redb with tables of our own. What is committed is there after a crash of the program or of the machine, all of it or
//! nothing. What the core makes of it is not known here.
//!
//! - `tables`: what stands in the file, by name.
//! - `error`: what may be wrong, and its cure.
//! - `meter`, `aside`: files that count what is written, and files that are only looked at.
//! - `opening`: how a file is made, opened, and opened anew.
//! - `reading`, `writing`, `changing`: all that a file holds, one transaction, and what it changes of streams.
//! - `keeper`: what feeds the store of a broker that runs.
//! - `file`: the store. `looking`: a store that nobody runs with.

mod aside;
mod changing;
mod error;
mod file;
mod keeper;
mod looking;
mod meter;
mod opening;
mod reading;
mod tables;
mod writing;

pub use error::StoreError;
pub use file::Store;
pub(crate) use keeper::Keeper;
pub use looking::{Census, Look, compact};
pub use meter::Meter;
pub use reading::Loaded;
pub use writing::Transaction;
