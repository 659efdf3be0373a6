//! The past of all streams: what their windows take together, and a list of the streams that have one.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::wire::ids::StreamName;
use crate::wire::{Frame, Gauge};

use super::stream::{Run, allocated_const};
use super::table::{Named, Table};
use super::window::Window;

/// What a window takes beside its messages, in bytes of memory.
pub(super) const WINDOW: usize = allocated_const(size_of::<Window>());

/// A window has room for so many pieces at least, so that little is given up at once.
const PIECES: usize = 8;

/// What is kept of the messages that streams have had.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReplayLimits {
    /// The most of one stream, in bytes of memory. 0: nothing is kept.
    pub stream: usize,
    /// The most of all streams together, in bytes of memory.
    pub total: usize,
    /// How long a message is kept.
    pub time: Duration,
}

/// What is kept of the past.
#[derive(Debug)]
pub(super) struct Past {
    pub(super) limits: ReplayLimits,
    /// What all windows take, in bytes of memory.
    pub(super) bytes: usize,
    /// The streams that have a past, by the second in which something last happened in them, or an earlier one.
    pub(super) listed: BTreeSet<(u32, StreamName)>,
    /// How many streams were looked at since this was asked last.
    looks: usize,
}

impl Past {
    pub(super) fn new(limits: ReplayLimits) -> Self {
        Self { limits, bytes: 0, listed: BTreeSet::new(), looks: 0 }
    }

    /// Whether anything is kept at all.
    pub(super) fn is_kept(&self) -> bool {
        self.limits.stream > 0 && self.limits.total > 0 && !self.limits.time.is_zero()
    }

    /// Keeps a run as the latest of its stream. What is too old or too much for one stream goes.
    pub(super) fn keep(&mut self, named: &mut Named, run: &Frame, now: Duration, queues: &Gauge) {
        let most = self.limits.stream.min(self.limits.total).saturating_sub(WINDOW);
        let window = named.stream.run.window.get_or_insert_with(|| {
            self.bytes += WINDOW;
            Box::default()
        });
        let before = window.bytes();
        window.push(run, now, most / PIECES, queues);
        window.trim(most, now.saturating_sub(self.limits.time), queues);
        self.bytes = self.bytes + window.bytes() - before;
        self.list(named, now);
    }

    /// Lists a stream, unless it is.
    pub(super) fn list(&mut self, named: &mut Named, at: Duration) {
        if named.stream.run.listed.is_none() {
            let at = seconds(at);
            named.stream.run.listed = Some(at);
            self.listed.insert((at, named.name.clone()));
        }
    }

    /// Takes a stream out of the list, if it is in it.
    pub(super) fn unlist(&mut self, named: &mut Named) {
        if let Some(at) = named.stream.run.listed.take() {
            self.listed.remove(&(at, named.name.clone()));
        }
    }

    /// Forgets the messages of a run.
    pub(super) fn clear(&mut self, run: &mut Run, queues: &Gauge) {
        if let Some(mut window) = run.window.take() {
            self.bytes -= WINDOW + window.bytes();
            window.clear(queues);
        }
    }

    /// Takes the stream in which nothing has happened for longest out of the list, with the second under which it stood.
    pub(super) fn take_first<'t>(&mut self, streams: &'t mut Table) -> Option<(u32, StreamName, Option<&'t mut Named>)> {
        let (listed, name) = self.listed.pop_first()?;
        self.looks += 1;
        let named = streams.get_named(&name).map(|named| {
            named.stream.run.listed = None;
            &mut *named
        });
        Some((listed, name, named))
    }

    /// How many streams were looked at since this was asked last: whoever needed room pays for that.
    pub(super) fn take_looks(&mut self) -> usize {
        std::mem::take(&mut self.looks)
    }

    /// Whether what happened in that second is too old.
    pub(super) fn is_over(&self, second: u32, now: Duration) -> bool {
        Duration::from_secs(second.into()) + self.limits.time <= now
    }
}

/// A time on the core's clock in seconds, of which there are enough for 136 years.
pub(super) fn seconds(time: Duration) -> u32 {
    u32::try_from(time.as_secs()).unwrap_or(u32::MAX)
}
