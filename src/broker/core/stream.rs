//! One stream: its header, how it ended, and who listens.

use std::time::Duration;

use crate::wire::ids::ConnectionId;
use crate::wire::{Frame, StreamState};

/// What the broker keeps of one stream. It exists as long as any of its fields says something.
#[derive(Debug, Default)]
pub(super) struct Stream {
    /// The status that whoever joins gets first, encoded as a `put`.
    pub(super) header: Option<Frame>,
    /// Set when the stream has ended; then nobody listens. Boxed, so that a stream and its name fill one line of the cache.
    pub(super) ended: Option<Box<Ended>>,
    /// Who gets its messages. Unordered; each listener remembers its position, so that leaving costs no search.
    pub(super) listeners: Vec<ConnectionId>,
}

/// How a stream ended, for those who come later.
#[derive(Debug)]
pub(super) struct Ended {
    /// When it is forgotten, on the core's clock.
    pub(super) forget_at: Duration,
    /// The `close` that its listeners got. None if there was no room to keep it: then a bare `close` is sent.
    pub(super) last: Option<Frame>,
}

impl Stream {
    /// How it stands for whoever begins to listen.
    pub(super) fn state(&self) -> StreamState {
        match (&self.ended, &self.header) {
            (Some(_), _) => StreamState::Ended,
            (None, Some(_)) => StreamState::Running,
            (None, None) => StreamState::Waiting,
        }
    }

    /// Whether it says nothing any more and can be forgotten.
    pub(super) fn is_empty(&self) -> bool {
        self.header.is_none() && self.ended.is_none() && self.listeners.is_empty()
    }

    /// What it keeps for those who join, in bytes of memory.
    pub(super) fn stored(&self) -> usize {
        let last = self.ended.as_ref().and_then(|ended| ended.last.as_ref());
        self.header.as_ref().map_or(0, Frame::cost) + last.map_or(0, Frame::cost)
    }
}
