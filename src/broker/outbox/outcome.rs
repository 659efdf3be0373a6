//! What an outbox answers: to the actor that fills it, and to the task that empties it.

use tokio::time::Instant;

/// What became of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// It waits, and is the first since the last flush.
    First,
    /// It waits.
    Queued,
    /// It waits for a socket that takes no more now: the connection's task will write it.
    Blocked,
    /// It waits, but the outbox is full: the publisher is to be held back.
    Full,
    /// The outbox was over its limit: the frame was not queued, and the connection has been cut off.
    Cut,
    /// The outbox takes no more.
    Refused,
}

/// What [`Outbox::relieve`](super::Outbox::relieve) did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relieved {
    /// Nothing waited.
    Nothing,
    /// The connection was cut off.
    Cut {
        /// The memory that is given back once the rest is sent and dropped, in bytes.
        promised: usize,
    },
    /// It had been cut off before, took nothing of its last words, and was ended.
    Ended,
    /// It is ending already, and gives so many bytes back soon.
    Ending {
        /// The bytes.
        promised: usize,
    },
}

/// How an outbox stands, as its task sees it.
#[derive(Debug, Clone, Copy)]
pub struct Standing {
    /// The task is to write when the socket is ready.
    pub blocked: bool,
    /// No more will come; the connection ends when the queue is empty.
    pub finishing: bool,
    /// Nothing waits.
    pub empty: bool,
    /// What waits is of no use: the connection ends now.
    pub dead: bool,
    /// The task is to take in what has been received, and say so.
    pub quiesce: bool,
    /// The task is not to read: a listener of its streams is full.
    pub held: bool,
    /// Since when this outbox holds publishers back.
    pub holding_since: Option<Instant>,
    /// How many batches of this connection the actor has yet to apply.
    pub unapplied: u32,
    /// The task is to tell the actor that there is room again.
    pub has_room: bool,
    /// The task is to drop what is not sent any more.
    pub doomed: bool,
}

/// What the actor's turn of writing did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flushed {
    /// How many bytes were sent.
    pub bytes: usize,
    /// The actor waited for room, and there is some.
    pub has_room: bool,
}

/// How far a turn of writing got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// Everything was sent.
    All,
    /// The turn is over, and more waits.
    More,
    /// The socket takes no more now; whether it took anything in this turn.
    Blocked {
        /// Something was sent.
        progress: bool,
    },
    /// The peer is gone.
    Gone,
}

impl Written {
    /// The same where the sink has also sent so many bytes that it held before.
    pub(super) fn after_flushing(self, went: usize) -> Self {
        match self {
            Self::Blocked { progress } => Self::Blocked { progress: progress || went > 0 },
            Self::All | Self::More | Self::Gone => self,
        }
    }
}
