//! What the core counts for those who watch over the broker, kept as plain numbers: nothing here is on the way of a message.

/// What has happened so far, and how many listen now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Listens in force: one for each connection and stream that it listens to.
    pub listeners: usize,
    /// Listeners that came back and were given all that they had missed.
    pub resumed: u64,
    /// Listeners that came back and were told that something may be missing.
    pub missed: u64,
    /// Streams that were ended by a will.
    pub wills: u64,
}
