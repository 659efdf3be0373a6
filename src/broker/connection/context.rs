//! What connections share.

use std::sync::Arc;
use std::time::Duration;

use crate::broker::access::Access;
use crate::broker::actor::{Connections, Cut, CutLog, Ids, Mailbox, Stats};
use crate::broker::outbox::{Outbox, OutboxLimits, Sink};
use crate::wire::ids::ConnectionId;
use crate::wire::units::Span;
use crate::wire::{Encode, ErrorCode};

use super::limits::ReaderLimits;
use super::mistake_log::MistakeLog;

/// What all connections of a broker share that speak one encoding.
#[derive(Clone)]
pub struct ConnectionContext {
    /// Reaches the actor.
    pub mailbox: Mailbox,
    /// What readers are held to.
    pub reader: ReaderLimits,
    /// What outboxes are held to.
    pub outbox: Arc<OutboxLimits>,
    /// How long things may take.
    pub times: Times,
    /// Who may do what; none if everybody may do everything.
    pub access: Option<Arc<Access>>,
    /// Connection ids.
    pub ids: Arc<Ids>,
    /// What is counted.
    pub stats: Arc<Stats>,
    /// Logs cut listeners.
    pub cut_log: Arc<CutLog>,
    /// Logs mistakes of clients.
    pub mistake_log: Arc<MistakeLog>,
}

impl ConnectionContext {
    /// A way to the list of all connections.
    pub fn connections(&self) -> Connections {
        Connections::new(&self.mailbox, self.access.clone())
    }

    /// The same for connections that speak another encoding. They meet the others in the same streams, within the same limits.
    pub fn speaking(&self, encoder: &'static dyn Encode) -> Arc<Self> {
        Arc::new(Self { outbox: Arc::new(OutboxLimits { encoder, ..(*self.outbox).clone() }), ..self.clone() })
    }

    /// Cuts a listener off that has taken nothing for too long.
    pub(super) fn cut_silent<S: Sink + ?Sized>(&self, id: ConnectionId, outbox: &Outbox<S>) {
        self.cut_late(id, outbox, Cut::Write, &format!("this listener took nothing for {} (outbox.write_time)", Span(self.times.write)));
    }

    /// Cuts a listener off that has held its publishers back for too long.
    pub fn cut_holding<S: Sink + ?Sized>(&self, id: ConnectionId, outbox: &Outbox<S>) {
        let time = Span(self.times.throttle);
        self.cut_late(id, outbox, Cut::Throttle, &format!("this listener held its publishers back for {time} (outbox.throttle_time)"));
    }

    fn cut_late<S: Sink + ?Sized>(&self, id: ConnectionId, outbox: &Outbox<S>, why: Cut, reason: &str) {
        if outbox.cut(reason) {
            self.stats.cut_time.add(1);
            if why == Cut::Throttle {
                self.stats.cut_throttle.add(1);
            }
            self.stats.tell(ErrorCode::SlowListener);
            self.cut_log.cut(id, || outbox.peer(), why, || reason.to_owned(), outbox.bytes());
        }
    }
}

/// How long things may take.
#[derive(Debug, Clone)]
pub struct Times {
    /// From the first byte to the end of the first unit.
    pub first_line: Duration,
    /// Until a client has said who it is, where it has to.
    pub auth: Duration,
    /// Without any progress while something waits.
    pub write: Duration,
    /// Holding publishers back.
    pub throttle: Duration,
    /// Without any progress in sending what is queued when the connection ends.
    pub drain: Duration,
    /// All of it, whatever the progress.
    pub longest_drain: Duration,
}
