//! One stream: its header, who listens, and how its run stands.

use std::time::Duration;

use crate::wire::ids::{ConnectionId, StreamName};
use crate::wire::{Epoch, Frame, Position, Start, StreamState, allocated_name};

use super::changes::Mark;
use super::common::Common;
use super::window::Window;

/// What the broker stores of one stream. With its name it fills one line of the processor's cache.
#[derive(Debug)]
pub(super) struct Stream {
    /// The status that a listener gets first, encoded as a `put`.
    pub(super) header: Option<Frame>,
    /// Who gets its messages: first those who get each, then those who get the latest. Unordered otherwise; each listener remembers its
    /// position, so that leaving costs no search.
    pub(super) listeners: Vec<ConnectionId>,
    pub(super) run: Box<Run>,
}

/// One run of a stream: from its first header or message to the next one after its end.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) epoch: Epoch,
    /// How many messages it has had.
    pub(super) sequence: u64,
    /// How many bytes they took on the wire.
    pub(super) bytes: u64,
    /// Since when it has been in its state, in milliseconds of the core's clock.
    pub(super) since: u64,
    /// Set when it has ended; then nobody listens.
    pub(super) ended: Option<Box<Ended>>,
    /// Its last messages, if any are kept.
    pub(super) window: Option<Box<Window>>,
    /// Under which second the stream stands among those with a past, if it does.
    pub(super) listed: Option<u32>,
    /// How many of the listeners, the last in their list, get the latest message only.
    pub(super) latest: u32,
    /// How many of the listeners have joined it by a prefix and not by its name: for their sake alone it does not stay.
    pub(super) by_prefix: u32,
    /// When the header was stored, in seconds of the core's clock.
    pub(super) header_at: u32,
    /// What has become of it since it was saved.
    pub(super) mark: Mark,
    /// Whether anything was saved of it.
    pub(super) is_stored: bool,
    /// Its header, or its end, is of another life of the broker, which may have had a newer header.
    pub(super) is_old: bool,
    /// What is known beside if it is one of those that all nodes have.
    pub(super) common: Option<Box<Common>>,
}

/// Where a listener begins.
pub(super) struct Beginning {
    /// Behind so many messages of the run.
    pub(super) before: u64,
    /// Where it was, if it was in this run.
    pub(super) here: Option<Position>,
    /// Whether nothing is missing behind that.
    pub(super) resumed: bool,
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
    /// A stream that has just come into being.
    pub(super) fn new(epoch: Epoch, now: Duration, mark: Mark) -> Self {
        let run = Run {
            epoch,
            sequence: 0,
            bytes: 0,
            since: millis(now),
            ended: None,
            window: None,
            listed: None,
            latest: 0,
            by_prefix: 0,
            header_at: 0,
            mark,
            is_stored: false,
            is_old: false,
            common: None,
        };
        Self { header: None, listeners: Vec::new(), run: Box::new(run) }
    }

    /// How it stands for a connection that begins to listen.
    pub(super) fn state(&self) -> StreamState {
        match (&self.run.ended, &self.header) {
            (Some(_), _) => StreamState::Ended,
            (None, Some(_)) => StreamState::Running,
            (None, None) => StreamState::Waiting,
        }
    }

    /// Those who get each message, and those who get the latest.
    #[inline]
    pub(super) fn audience(&self) -> (&[ConnectionId], &[ConnectionId]) {
        self.listeners.split_at(self.listeners.len().saturating_sub(self.run.latest as usize))
    }

    /// Whether the listener at this position gets the latest message only.
    pub(super) fn is_latest(&self, position: usize) -> bool {
        position >= self.audience().0.len()
    }

    /// Enters a listener. Returns its position, and who made room for it and stands where now.
    #[inline]
    pub(super) fn enter(&mut self, listener: ConnectionId, latest: bool) -> (usize, Option<(ConnectionId, usize)>) {
        let (each, last) = (self.audience().0.len(), self.listeners.len());
        self.listeners.push(listener);
        if latest {
            self.run.latest += 1;
            return (last, None);
        }
        if each == last {
            return (each, None);
        }
        self.listeners.swap(each, last);
        (each, Some((self.listeners[last], last)))
    }

    /// Takes a listener out of the list. Returns who stands elsewhere for it, and where.
    #[inline]
    pub(super) fn take_out(&mut self, position: usize) -> [Option<(ConnectionId, usize)>; 2] {
        let each = self.audience().0.len();
        // The hole moves to the end of its part, then to the end of the list.
        let hole = if position < each { each - 1 } else { position };
        self.listeners.swap(position, hole);
        self.listeners.swap_remove(hole);
        self.run.latest -= u32::from(position >= each);
        let now = |position: usize| self.listeners.get(position).map(|moved| (*moved, position));
        [now(position), if hole == position { None } else { now(hole) }]
    }

    /// Whether there is nothing in it, its past and those aside who would listen to any stream of a prefix.
    pub(super) fn is_empty(&self) -> bool {
        self.header.is_none() && self.run.ended.is_none() && self.listeners.len() == self.run.by_prefix as usize
    }
}

impl Run {
    pub(super) fn position(&self) -> Position {
        Position { epoch: self.epoch, sequence: self.sequence }
    }

    /// How many messages were before the first that is kept.
    pub(super) fn first(&self) -> u64 {
        self.sequence - self.window.as_ref().map_or(0, |window| window.messages())
    }

    /// Where a listener begins.
    pub(super) fn begin(&self, start: Start) -> Beginning {
        let here = start.after.filter(|after| after.epoch == self.epoch && after.sequence <= self.sequence);
        let resumed = here.is_some_and(|after| after.sequence >= self.first());
        let before = match here {
            Some(after) if resumed => after.sequence,
            _ => self.first().max(self.sequence.saturating_sub(start.last.unwrap_or(0))),
        };
        Beginning { before, here, resumed }
    }
}

/// A time on the core's clock in milliseconds, of which there are enough for ever.
pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// What a stream takes, its name aside: its place in a table that may be half empty, its run, and a place among those with a past.
const PLACE: usize = 128 + allocated_const(size_of::<Run>()) + 64;

/// What the end of a stream takes beside its last message: its own fields, and a place among the ends by time.
pub(crate) const ENDED: usize = 128;

/// What a listener takes: its place in the stream's list, and the stream's in its own.
pub(crate) const LISTENER: usize = 80;

/// As the allocator counts a small block.
pub(super) const fn allocated_const(size: usize) -> usize {
    size.next_multiple_of(16)
}

/// What a stream of this name takes without its header, end and listeners, in bytes of memory.
pub(crate) fn place(name: &StreamName) -> usize {
    PLACE + allocated_name(name)
}
