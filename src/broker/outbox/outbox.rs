//! The handle of an outbox, shared by the actor, which fills it, and the connection's task, which empties it.
//!
//! The actor writes straight to the socket as long as the socket takes it; once it does not, the outbox is *blocked* and
//! the task writes when the socket is ready again. Exactly one of the two writes at any time: `blocked` says which, and
//! changes under the lock only.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use std::time::Duration;

use tokio::time::Instant;

use crate::broker::settings::Policy;
use crate::wire::units::ByteSize;
use crate::wire::{Encode, Event, Frame, Gauge, Translations};

use super::latest::Latest;
use super::outcome::{Pushed, Standing};
use super::permits::{WritePermit, WritePermits};
use super::queue::Queue;
use super::sink::{Sink, TransportKind};

/// What all outboxes of one codec share: one pointer in each, since there are many.
#[derive(Debug, Clone)]
pub struct OutboxLimits {
    /// The codec's encoder.
    pub encoder: &'static dyn Encode,
    /// What may wait for one connection, in bytes.
    pub limit: usize,
    /// What happens at the limit.
    pub policy: Policy,
    /// Counts the memory of all frames and queues.
    pub gauge: Arc<Gauge>,
    /// Counts what is translated for listeners of another encoding.
    pub translations: Arc<Translations>,
    /// Which tasks may write.
    pub permits: Arc<WritePermits>,
    /// Counts the bytes that sinks took.
    pub sent: Arc<AtomicU64>,
}

#[cfg(test)]
impl OutboxLimits {
    /// Whoever has more waiting than this is cut off.
    pub(crate) fn disconnecting(limit: usize) -> Self {
        Self {
            encoder: &crate::wire::json_lines::ENCODER,
            limit,
            policy: Policy::Disconnect,
            gauge: Arc::default(),
            translations: Arc::default(),
            permits: Arc::default(),
            sent: Arc::default(),
        }
    }
}

/// The outbox of one connection.
pub struct Outbox<S: ?Sized> {
    pub(super) limits: Arc<OutboxLimits>,
    state: Mutex<Inner>,
    pub(super) sink: S,
}

#[derive(Default)]
pub(super) struct Inner {
    pub(super) queue: Queue,
    /// Of streams of which only the newest message is wanted. Boxed, since few connections listen so.
    pub(super) latest: Option<Box<Latest>>,
    /// How many bytes of them have come into the queue since the actor last flushed.
    pub(super) filled: usize,
    /// The connection's task.
    pub(super) waker: Option<Waker>,
    pub(super) openness: Openness,
    /// Something was queued since the actor last flushed.
    pub(super) touched: bool,
    /// The socket takes no more: the task writes, once it is ready.
    pub(super) blocked: bool,
    /// The broker drains: the task is to take in what has been received.
    quiesce: bool,
    /// How many full outboxes hold this connection's reading back.
    pub(super) holds: u32,
    /// The publishers that this outbox holds back because it is full. Boxed, since few outboxes ever do.
    pub(super) held: Option<Box<Held>>,
    /// It was cut off for the memory of all, and is to be ended if it does not get on with its last words.
    pub(super) relief: Option<Box<Relief>>,
    /// How many batches of this connection are on their way to the actor or in its hands.
    unapplied: u32,
    /// The task waits until the actor has applied one.
    awaits_applied: bool,
    /// The actor waits until there is room for more of what this connection asked for.
    pub(super) awaits_room: bool,
    /// There is room again, and the actor has yet to hear of it.
    pub(super) has_room: bool,
    /// Whether the sink is one that may hold what it took.
    pub(super) may_hold: bool,
    /// The task may write once.
    pub(super) permit: Option<WritePermit>,
    /// It waits for that.
    pub(super) awaits_permit: bool,
}

impl Inner {
    /// Takes the task's waker and the publishers that are held back.
    pub(super) fn told(&mut self) -> Told {
        Told { waker: self.waker.take(), held: self.held.take(), permit: self.permit.take() }
    }
}

/// Those that a change concerns. They take locks of their own, so they are told once the lock is released.
#[derive(Default)]
#[must_use]
pub(super) struct Told {
    pub(super) waker: Option<Waker>,
    pub(super) held: Option<Box<Held>>,
    /// Not used: it goes to the next one.
    pub(super) permit: Option<WritePermit>,
}

impl Told {
    pub(super) fn tell(self) {
        release(self.held);
        wake(self.waker);
        drop(self.permit);
    }
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Openness {
    /// Takes frames.
    #[default]
    Open,
    /// Takes no more; the connection ends when the queue is sent.
    Finishing,
    /// The peer is gone, or its time is up: what waits is of no use.
    Dead,
}

/// How a connection that was cut off for the memory of all gets on with its last words.
pub(super) struct Relief {
    /// What was left to send and to drop at the last look.
    pub(super) left: usize,
    /// How long it may yet take nothing of that.
    pub(super) grace: Duration,
    pub(super) looked: Instant,
}

/// The publishers that a full outbox holds back.
pub(super) struct Held {
    pub(super) since: Instant,
    pub(super) publishers: Vec<Arc<Outbox<dyn Sink>>>,
}

impl<S: Sink> Outbox<S> {
    /// An empty outbox.
    pub fn new(sink: S, limits: Arc<OutboxLimits>) -> Self {
        let state = Mutex::new(Inner { may_hold: sink.may_hold(), ..Inner::default() });
        Self { limits, state, sink }
    }

    /// The socket.
    pub fn sink(&self) -> &S {
        &self.sink
    }
}

impl<S: Sink + ?Sized> Outbox<S> {
    /// Queues a frame, translated if it is in another encoding.
    pub fn push(&self, frame: &Frame) -> Pushed {
        if frame.is_in(self.limits.encoder) {
            return self.push_own(frame);
        }
        // Nothing is translated for a connection that takes no more; and not under the lock, since it may take a while.
        if self.lock().openness != Openness::Open {
            return Pushed::Refused;
        }
        self.push_own(&frame.translated(self.limits.encoder, &self.limits.translations))
    }

    fn push_own(&self, frame: &Frame) -> Pushed {
        let mut state = self.lock();
        if state.openness != Openness::Open {
            return Pushed::Refused;
        }
        let (more, limit) = (frame.bytes().len(), self.limits.limit);
        // Twice the limit: publishers are held back only once the actor has seen the first frame too many, and each may
        // have sent some more by then.
        let cut_at = match self.limits.policy {
            Policy::Disconnect => limit,
            Policy::Throttle => limit.saturating_mul(2),
        };
        let mut told = Told::default();
        if state.queue.bytes() + more > cut_at {
            // Before a connection is cut off its socket is tried: much may come within one round.
            told = self.write_now(&mut state);
        }
        if state.openness == Openness::Dead {
            drop(state);
            told.tell();
            return Pushed::Refused;
        }
        // A run may be longer than the limit by itself, so that one always has room.
        if state.queue.bytes() + more > cut_at && state.queued() > 0 && state.queued() + more > cut_at {
            let cut = self.cut_off(&mut state, &too_much(limit, cut_at != limit));
            drop(state);
            told.tell();
            cut.tell();
            return Pushed::Cut;
        }
        state.queue.push(frame.clone(), &self.limits.gauge);
        let pushed = if state.queue.bytes() > limit && self.limits.policy == Policy::Throttle && state.queued() > limit {
            state.touched = true;
            self.count_blocked(&mut state);
            Pushed::Full
        } else if state.blocked {
            self.count_blocked(&mut state);
            Pushed::Blocked
        } else if std::mem::replace(&mut state.touched, true) {
            Pushed::Queued
        } else {
            Pushed::First
        };
        drop(state);
        told.tell();
        pushed
    }

    /// Has what waits for a socket counted. The queue may have been empty when the sink took no more: what it held was the last.
    fn count_blocked(&self, state: &mut Inner) {
        if state.blocked {
            state.queue.count(&self.limits.gauge);
        }
    }

    /// Why its connection is cut off at the limit.
    pub fn too_much(&self) -> String {
        too_much(self.limits.limit, self.limits.policy == Policy::Throttle)
    }

    /// What may wait, in bytes.
    pub fn limit(&self) -> usize {
        self.limits.limit
    }

    /// What kind of way to the peer there is.
    pub fn kind(&self) -> TransportKind {
        self.sink.kind()
    }

    /// The encoder for events to this connection.
    pub fn encoder(&self) -> &'static dyn Encode {
        self.limits.encoder
    }

    /// Encodes an event for this connection.
    pub fn encode(&self, event: &Event<'_>) -> Frame {
        let mut bytes = Vec::with_capacity(128);
        let encoder = self.limits.encoder;
        encoder.encode(event, &mut bytes);
        Frame::new(bytes.into_boxed_slice(), 1, encoder)
    }

    /// How the outbox stands; the task is woken when that changes.
    pub fn standing(&self, cx: &Context<'_>) -> Standing {
        let mut state = self.lock();
        if !state.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            state.waker = Some(cx.waker().clone());
        }
        Standing {
            blocked: state.blocked,
            finishing: state.openness == Openness::Finishing,
            empty: state.queue.is_empty() && !(state.blocked && self.holds(&state)),
            dead: state.openness == Openness::Dead,
            quiesce: state.quiesce,
            held: state.holds > 0,
            holding_since: state.held.as_ref().map(|held| held.since),
            unapplied: state.unapplied,
            has_room: std::mem::take(&mut state.has_room),
            doomed: state.queue.doomed() > 0,
        }
    }

    /// A batch of this connection is on its way to the actor. False, and nothing happens, if there are `most` already: then the
    /// task is woken when one of them has been applied.
    pub fn begin_batch(&self, most: u32) -> bool {
        let mut state = self.lock();
        let begins = state.unapplied < most;
        state.unapplied += u32::from(begins);
        state.awaits_applied |= !begins;
        begins
    }

    /// Whether the task is to wait until the actor has applied some of what it was sent, of which there may be `most`; then
    /// it is woken.
    pub fn awaits_applied(&self, most: u32) -> bool {
        let mut state = self.lock();
        state.awaits_applied = state.unapplied >= most;
        state.awaits_applied
    }

    /// The actor has applied a batch.
    pub fn applied(&self) {
        let mut state = self.lock();
        state.unapplied = state.unapplied.saturating_sub(1);
        let waker = if std::mem::take(&mut state.awaits_applied) { state.waker.take() } else { None };
        drop(state);
        wake(waker);
    }

    /// Whether half of the queue is taken, so that the connection is to take some of it before it is given more of what it
    /// asked for itself. Then either side's next writes tell when there is room again.
    pub fn awaits_room(&self) -> bool {
        let mut state = self.lock();
        state.awaits_room = state.openness == Openness::Open && state.queue.bytes() > self.limits.limit / 2;
        state.awaits_room
    }

    /// Whether the actor is to be told that there is room again; it counts as told then.
    pub fn take_room(&self) -> bool {
        std::mem::take(&mut self.lock().has_room)
    }

    /// Whether it takes frames.
    pub fn is_open(&self) -> bool {
        self.lock().openness == Openness::Open
    }

    /// Whether so many bytes more are beyond the limit.
    pub fn is_full_with(&self, more: usize) -> bool {
        let state = self.lock();
        state.queued() > 0 && state.queued() + more > self.limits.limit
    }

    /// Queues the last frame, if there is one, and takes no more. The caller flushes. False if it took no more before.
    pub fn finish(&self, last: Option<&Frame>) -> bool {
        let mut state = self.lock();
        if state.openness != Openness::Open {
            return false;
        }
        if let Some(last) = last {
            debug_assert!(last.is_in(self.limits.encoder), "a last frame is one connection's own");
            state.queue.push(last.clone(), &self.limits.gauge);
        }
        state.openness = Openness::Finishing;
        // The drain time begins, which the task keeps, also if it waits for a socket that is never ready again.
        let told = state.told();
        drop(state);
        told.tell();
        true
    }

    /// Asks the task to take in what has been received.
    pub fn quiesce(&self) {
        let mut state = self.lock();
        state.quiesce = true;
        let waker = state.waker.take();
        drop(state);
        wake(waker);
    }

    /// The task has done what [`quiesce`](Self::quiesce) asked for.
    pub fn quiesced(&self) {
        self.lock().quiesce = false;
    }

    /// What waits, in bytes.
    pub fn bytes(&self) -> usize {
        self.lock().queue.bytes()
    }

    /// Who is at the other end, for logs.
    pub fn peer(&self) -> String {
        self.sink.peer()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic under the lock is a panic of the actor, which ends the broker, or of this connection, which then ends:
        // nobody goes on with a state that is half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: ?Sized> Drop for Outbox<S> {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        state.queue.clear(&self.limits.gauge);
        state.drop_latest(&self.limits.gauge);
    }
}

/// Why a connection is cut off for which more waited than the limit, or twice the limit.
pub(super) fn too_much(limit: usize, is_twice: bool) -> String {
    let twice = if is_twice { "twice " } else { "" };
    format!(
        "more than {twice}{} waited for this listener, the most allowed (outbox.limit); read faster, or listen to less",
        ByteSize(limit)
    )
}

/// Wakes the task, if it waits.
pub(super) fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// Releases publishers that were held back.
pub(super) fn release(held: Option<Box<Held>>) {
    if let Some(held) = held {
        for publisher in held.publishers {
            publisher.release_one();
        }
    }
}
