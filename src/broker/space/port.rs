//! The port to the log: what a node asks of whatever keeps the log of its space, and what it is told by it.
//!
//! The log is one sequence of records, which all nodes of a space read in the same order. Whoever keeps it knows nothing of what is in them.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

/// The way to whatever keeps the log. Nothing here may wait.
pub trait Log: Send {
    /// Has a record stored behind all that are, and read by all nodes. It is tried until it is, or until another takes its place: also while
    /// there is no way to the log. It may be stored twice if it is not known whether it was; whoever reads it knows by `id` that it has it.
    fn append(&mut self, id: RecordId, record: Vec<u8>);

    /// Has the state behind the record `cut` stored, from which others may begin, in place of the one before. Once it is, the log is asked to
    /// forget records at and before `forget`. Told by [`Told::Kept`].
    fn keep(&mut self, snapshot: Snapshot, forget: u64);

    /// Says that all records up to this one have been applied. While too much has been told that was not, nothing more of the log is read:
    /// so it must be said, if not for each record.
    fn taken(&mut self, sequence: u64);

    /// Waits until the record that was appended last is stored, for a few seconds at most.
    fn finish(self: Box<Self>) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}

/// Which record: the life of the node that it is of, and its number in that life.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordId {
    /// Names a life of a node, and is drawn at random.
    pub life: u64,
    /// Counts from 1.
    pub number: u64,
}

/// The state of a space behind a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The number of the record in the log.
    pub cut: u64,
    /// The state, in pieces of at most [`LARGEST`] bytes.
    pub pieces: Vec<Vec<u8>>,
}

/// What whatever keeps the log tells a node. The order is: [`Begins`](Told::Begins), then each [`Record`](Told::Record) behind its snapshot, none
/// missing and none twice, with the others between.
#[derive(Debug)]
pub enum Told {
    /// What there is to begin with.
    Begins {
        /// Names the log: the same as long as it is the same one, also for other nodes.
        log: u64,
        /// The last state that was kept, if any was. Without one, the records begin with the first.
        snapshot: Option<Snapshot>,
    },
    /// The next record.
    Record {
        /// Its number in the log. They grow, and may leave numbers out.
        sequence: u64,
        /// When it was stored, since 1970, by the clock of whoever stored it. It may go back when another does.
        at: Duration,
        /// The record.
        record: Vec<u8>,
    },
    /// All records that there were when reading began have been told.
    CaughtUp,
    /// Another server sends the log from here on. Copies of it may differ behind what all had agreed to when that one began, at about the record
    /// of this number.
    Led(u64),
    /// A snapshot has been kept, or has not and why.
    Kept(Result<u64, String>),
    /// There is no way to the log, and why; or there is one again.
    Away(Option<String>),
    /// The node cannot go on: records that it has not read are gone, or the log is another one. Nothing follows.
    Over(String),
}

/// The most bytes that a record or a piece of a snapshot may have.
pub const LARGEST: usize = 512 << 10;
