//! One stream: its header, how it ended, and who listens.

use std::time::Duration;

use crate::wire::ids::{ConnectionId, StreamName};
use crate::wire::{Frame, StreamState, allocated_name};

/// What the broker stores of one stream. It exists as long as any of its fields holds something.
#[derive(Debug, Default)]
pub(super) struct Stream {
    /// The status that a listener gets first, encoded as a `put`.
    pub(super) header: Option<Frame>,
    /// Set when the stream has ended; then nobody listens. Boxed, so that a stream and its name fill one line of the cache.
    pub(super) ended: Option<Box<Ended>>,
    /// Who gets its messages. Unordered; each listener remembers its position, so that leaving costs no search.
    pub(super) listeners: Vec<ConnectionId>,
}

/// How a stream ended, for listeners that join later.
#[derive(Debug)]
pub(super) struct Ended {
    /// When it is forgotten, on the core's clock.
    pub(super) forget_at: Duration,
    /// The `close` that its listeners got. None if there was no room to keep it: then a bare `close` is sent.
    pub(super) last: Option<Frame>,
}

impl Stream {
    /// How it stands for a connection that begins to listen.
    pub(super) fn state(&self) -> StreamState {
        match (&self.ended, &self.header) {
            (Some(_), _) => StreamState::Ended,
            (None, Some(_)) => StreamState::Running,
            (None, None) => StreamState::Waiting,
        }
    }

    /// Whether there is nothing left in it, so that it can be forgotten.
    pub(super) fn is_empty(&self) -> bool {
        self.header.is_none() && self.ended.is_none() && self.listeners.is_empty()
    }
}

/// What a stream takes, its name aside: its place in a table that may be half empty.
const PLACE: usize = 128;

/// What the end of a stream takes beside its last message: its own fields, and a place among the ends by time.
pub(crate) const ENDED: usize = 128;

/// What a listener takes: its place in the stream's list, and the stream's in its own.
pub(crate) const LISTENER: usize = 80;

/// What a stream of this name takes without its header, end and listeners, in bytes of memory.
pub(crate) fn place(name: &StreamName) -> usize {
    PLACE + allocated_name(name)
}
