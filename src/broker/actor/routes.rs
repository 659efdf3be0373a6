//! From connection ids to outboxes: where the core's deliveries go.

use std::sync::Arc;

use tracing::{debug, warn};

use crate::broker::core::Deliver;
use crate::broker::outbox::{Outbox, Pushed, Relieved, Sink};
use crate::wire::ids::ConnectionId;
use crate::wire::units::ByteSize;
use crate::wire::{ErrorCode, Event, Frame};

use super::stats::Stats;

/// Sockets are tried after so many bytes at the latest.
const ROUND: usize = 512 << 10;

/// The outboxes of all connections, and what one round has done to them.
pub(super) struct Routes {
    /// Indexed by connection id.
    outboxes: Vec<Option<Arc<Outbox<dyn Sink>>>>,
    /// Who was queued something in this round.
    touched: Vec<ConnectionId>,
    /// About how many bytes were queued in this round, over all connections.
    queued: usize,
    /// Who was cut off in this round and is still in the core's lists.
    pub(super) cut: Vec<ConnectionId>,
    /// Whose actions are being taken now.
    pub(super) publisher: Option<ConnectionId>,
    /// The broker stops: whoever still comes is told at once.
    stopping: bool,
    stats: Arc<Stats>,
}

impl Routes {
    pub(super) fn new(stats: Arc<Stats>) -> Self {
        Self { outboxes: Vec::new(), touched: Vec::new(), queued: 0, cut: Vec::new(), publisher: None, stopping: false, stats }
    }

    pub(super) fn connect(&mut self, id: ConnectionId, outbox: Arc<Outbox<dyn Sink>>) {
        if self.outboxes.len() <= id.index() {
            self.outboxes.resize_with(id.index() + 1, || None);
        }
        if self.stopping {
            tell_shutdown(&outbox);
        }
        self.outboxes[id.index()] = Some(outbox);
    }

    /// Forgets a connection. False if it was never known.
    pub(super) fn disconnect(&mut self, id: ConnectionId) -> bool {
        self.outboxes.get_mut(id.index()).and_then(Option::take).is_some()
    }

    /// Whether so much was queued that sockets should be tried before more is.
    pub(super) fn is_full(&self) -> bool {
        self.queued > ROUND
    }

    /// Writes what the round has queued.
    pub(super) fn flush(&mut self) {
        self.queued = 0;
        while let Some(id) = self.touched.pop() {
            if let Some(outbox) = self.outbox(id) {
                outbox.flush();
            }
        }
    }

    /// Cuts the longest queues off until `queued` is within `total`.
    ///
    /// What waits for them is dropped rather than sent: it is the memory that has to come back, now. Sharers of the same
    /// frames have queues of like length, and go together. What a cut will give back in a moment counts as given back, so
    /// that the rest of a large frame that is on its way costs nobody else the connection.
    pub(super) fn relieve(&mut self, total: usize, queued: impl Fn() -> usize) {
        let mut longest: Vec<(usize, ConnectionId)> =
            self.connections().map(|(id, outbox)| (outbox.bytes(), id)).filter(|(bytes, _)| *bytes > 0).collect();
        longest.sort_unstable_by(|one, other| other.cmp(one));
        let mut promised = 0;
        for (bytes, id) in longest {
            if queued().saturating_sub(promised) <= total {
                break;
            }
            let Some(outbox) = self.outbox(id) else { continue };
            let reason = format!(
                "the queues of all connections together took more than {}, the most allowed (outbox.total), and this one, with {bytes} bytes, was among the longest; what waited in it was dropped; read faster, or listen to less",
                ByteSize(total)
            );
            match outbox.relieve(&reason) {
                Relieved::Nothing => {}
                Relieved::Ended => debug!(connection = id.0, bytes, "a connection that was cut off is ended for its memory"),
                Relieved::Cut { promised: rest } => {
                    promised += rest;
                    warn!(connection = id.0, peer = outbox.peer(), reason = "outbox_total", bytes, "listener cut off");
                    self.stats.cut_total.add(1);
                    self.cut.push(id);
                }
            }
        }
    }

    /// Asks every connection to take in what it has received; says, by id, who was asked.
    pub(super) fn quiesce(&self) -> Vec<bool> {
        for (_, outbox) in self.connections() {
            outbox.quiesce();
        }
        self.outboxes.iter().map(Option::is_some).collect()
    }

    /// Tells every connection that the broker stops.
    pub(super) fn shutdown(&mut self) {
        self.stopping = true;
        for (_, outbox) in self.connections() {
            tell_shutdown(outbox);
        }
    }

    /// Ends every connection at once.
    pub(super) fn abort(&self) {
        for (_, outbox) in self.connections() {
            outbox.kill();
        }
    }

    fn outbox(&self, id: ConnectionId) -> Option<&Arc<Outbox<dyn Sink>>> {
        self.outboxes.get(id.index()).and_then(Option::as_ref)
    }

    fn connections(&self) -> impl Iterator<Item = (ConnectionId, &Arc<Outbox<dyn Sink>>)> {
        // Ids are u32, so that the index of one fits.
        self.outboxes.iter().enumerate().filter_map(|(index, outbox)| Some((ConnectionId(index as u32), outbox.as_ref()?)))
    }
}

impl Drop for Routes {
    /// The actor ends, if need be by a panic: nobody is left waiting for it.
    fn drop(&mut self) {
        self.abort();
    }
}

fn tell_shutdown(outbox: &Outbox<dyn Sink>) {
    let why = Some((ErrorCode::Shutdown, "the broker stops; connect again when it is back, streams that were not closed may go on"));
    outbox.finish(Some(&outbox.encode(&Event::CloseConnection { why })));
    outbox.flush();
}

impl Deliver for Routes {
    fn frame(&mut self, to: ConnectionId, frame: &Frame) -> bool {
        let Some(outbox) = self.outboxes.get(to.index()).and_then(Option::as_ref) else { return false };
        self.queued += frame.bytes().len();
        match outbox.push(frame) {
            Pushed::First => self.touched.push(to),
            Pushed::Queued => {}
            Pushed::Full => {
                self.touched.push(to);
                if let Some(publisher) = self.publisher.and_then(|id| self.outbox(id)) {
                    outbox.hold(publisher);
                }
            }
            Pushed::Cut => {
                warn!(connection = to.0, peer = outbox.peer(), reason = "outbox_limit", bytes = outbox.bytes(), "listener cut off");
                self.stats.cut_limit.add(1);
                self.cut.push(to);
                return false;
            }
            Pushed::Refused => return false,
        }
        self.stats.delivered.add(u64::from(frame.messages()));
        true
    }

    fn event(&mut self, to: ConnectionId, event: &Event<'_>) {
        if let Some(outbox) = self.outbox(to) {
            let frame = outbox.encode(event);
            self.frame(to, &frame);
        }
    }

    fn finish(&mut self, to: ConnectionId, last: Option<&Frame>) {
        if let Some(outbox) = self.outbox(to) {
            outbox.finish(last);
            self.touched.push(to);
        }
    }
}
