//! What is kept beyond one life of the broker, in values. Who keeps it, and where, is not known here.

use std::time::Duration;

use crate::wire::ids::{ConnectionId, StreamName};
use crate::wire::{Frame, Position, SessionName};

/// How a stream stands, without its messages.
#[derive(Debug, Clone)]
pub struct SavedStream {
    /// Which run it is in, and how many messages that has had.
    pub position: Position,
    /// How many bytes those took.
    pub bytes: u64,
    /// Since when it has been in its state, in milliseconds of the core's clock.
    pub since: u64,
    /// When its header was stored, in seconds of the core's clock.
    pub header_at: u32,
    /// Its header, as those who join get it.
    pub header: Option<Frame>,
    /// The header, or the end, is from before a crash, and a newer header may have been lost.
    pub is_old: bool,
    /// How it ended, if it has.
    pub ended: Option<SavedEnd>,
}

/// How a stream ended.
#[derive(Debug, Clone)]
pub struct SavedEnd {
    /// When it is forgotten, on the core's clock.
    pub forget_at: Duration,
    /// The `close` that its listeners got, if it is kept.
    pub last: Option<Frame>,
}

/// How a stream is to end if its publisher is lost.
#[derive(Debug, Clone)]
pub struct SavedWill {
    /// The session of the publisher, if it has one.
    pub session: Option<SessionName>,
    /// The `close` that listeners get then.
    pub last: Frame,
}

/// Some of the last messages of a stream: a frame, and when the last of them was delivered, in seconds of the core's clock.
pub type SavedRun = (Frame, u32);

/// What has changed in a stream.
#[derive(Debug, Clone)]
pub enum StreamChange {
    /// Nothing is to be kept of it.
    Forgotten,
    /// It has had messages.
    Moved {
        /// Where it stands.
        position: Position,
        /// How many bytes they took.
        bytes: u64,
    },
    /// It stands so.
    Stands(SavedStream),
}

/// What is to be kept under one name.
#[derive(Debug, Clone)]
pub struct Change {
    /// The stream.
    pub name: StreamName,
    /// What has become of it.
    pub stream: StreamChange,
    /// Its will, if there is one.
    pub will: Option<SavedWill>,
}

impl Change {
    /// How many bytes of it were sent by clients, about.
    pub fn bytes(&self) -> usize {
        let length = |frame: &Option<Frame>| frame.as_ref().map_or(0, |frame| frame.bytes().len());
        let stream = match &self.stream {
            StreamChange::Forgotten | StreamChange::Moved { .. } => 0,
            StreamChange::Stands(stream) => length(&stream.header) + stream.ended.as_ref().map_or(0, |end| length(&end.last)),
        };
        self.name.as_str().len() + stream + self.will.as_ref().map_or(0, |will| will.last.bytes().len())
    }
}

/// The messages that are kept of a stream. With them the broker can vouch, in its next life, that nothing is missing.
#[derive(Debug, Clone)]
pub struct SavedWindow {
    /// The stream.
    pub name: StreamName,
    /// How it stands, if that is not what was saved of it before.
    pub stream: Option<SavedStream>,
    /// The messages, the oldest first.
    pub runs: Vec<SavedRun>,
}

impl SavedWindow {
    /// How many bytes of it were sent by clients, about.
    pub fn bytes(&self) -> usize {
        self.name.as_str().len() + self.runs.iter().map(|(run, _)| run.bytes().len()).sum::<usize>()
    }
}

/// What a broker begins with.
#[derive(Debug, Clone)]
pub enum Restored {
    /// A stream.
    Stream {
        /// Its name.
        name: StreamName,
        /// How it stands.
        stream: SavedStream,
        /// Its last messages, if nothing is missing behind them.
        runs: Option<Vec<SavedRun>>,
    },
    /// A session, and how many of its lines were taken. It may come behind its wills.
    Session {
        /// Its name.
        name: SessionName,
        /// So many lines have taken effect or been refused.
        taken: u64,
    },
    /// A will. It comes behind its stream.
    Will {
        /// The stream.
        name: StreamName,
        /// How it ends.
        will: SavedWill,
    },
}

/// A stream that all nodes have.
#[derive(Debug, Clone)]
pub struct SavedCommon {
    /// Its name.
    pub name: StreamName,
    /// How it stands.
    pub stream: SavedStream,
    /// In which second of the core's clock something was last done to it.
    pub touched: u32,
    /// Its last messages, the oldest first.
    pub runs: Vec<SavedRun>,
}

/// A session, as all nodes have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedSession {
    /// Its name; none for those who had none.
    pub name: Option<SessionName>,
    /// How many of its lines have taken effect or been refused, if that is known.
    pub taken: Option<u64>,
    /// Who holds it, or since when nobody does, on the core's clock without the time in which nobody could come back.
    pub holder: Result<ConnectionId, Duration>,
}

/// Whose will it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SavedOwner {
    /// That of a connection.
    Connection(ConnectionId),
    /// That of a session, by its place among all.
    Session(usize),
}

/// What there is beside streams.
#[derive(Debug, Clone, Default)]
pub struct SavedShared {
    /// The time on the core's clock, ...
    pub now: Duration,
    /// ... how long after 1970 that began, ...
    pub began: Duration,
    /// ... and how much of it was time in which nobody could come back to a session.
    pub late: Duration,
    /// The sessions, in their order.
    pub sessions: Vec<SavedSession>,
    /// The wills: of which stream, whose, and how it ends.
    pub wills: Vec<(StreamName, SavedOwner, Frame)>,
    /// Who has no name and a place among the sessions.
    pub fenced: Vec<ConnectionId>,
}

/// The settings that have to be the same on all nodes. Those of the node that came last count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedLimits {
    /// The most streams at once.
    pub streams: u64,
    /// The most sessions at once.
    pub sessions: u64,
    /// How long an ended stream is remembered.
    pub ended_time: Duration,
    /// How long a session waits for a connection.
    pub session_time: Duration,
    /// How long a stream is remembered that has neither a header nor an end, after its last message.
    pub remember_time: Duration,
}
