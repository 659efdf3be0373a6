//! The handle of an outbox, shared by the actor, which fills it, and the connection's task, which empties it.
//!
//! The actor writes straight to the socket as long as the socket takes it; once it does not, the outbox is *blocked* and
//! the task writes when the socket is ready again. Exactly one of the two writes at any time: `blocked` says which, and
//! changes under the lock only.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};

use tokio::time::Instant;

use crate::broker::settings::Policy;
use crate::wire::units::ByteSize;
use crate::wire::{Encode, ErrorCode, Event, Frame, Gauge, Translations};

use super::outcome::{Flushed, Pushed, Relieved, Standing, Written};
use super::queue::{Queue, SLICES};
use super::sink::Sink;
use super::turns::{Turn, Turns};

/// One write carries about so much: beyond it a call's cost no longer counts, and others wait longer.
const WRITE: usize = 64 << 10;

/// What one side writes in one turn before others get theirs.
const TURN: usize = 256 << 10;

/// How many frames of an ended connection are dropped before others get their turn.
const DROPPED: usize = 4096;

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
    /// Whose turn it is to write.
    pub turns: Arc<Turns>,
}

/// The outbox of one connection.
pub struct Outbox<S: ?Sized> {
    pub(super) limits: Arc<OutboxLimits>,
    state: Mutex<State>,
    sink: S,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) queue: Queue,
    /// The connection's task.
    pub(super) waker: Option<Waker>,
    pub(super) phase: Phase,
    /// Something was queued since the actor last flushed.
    touched: bool,
    /// The socket takes no more: the task writes, once it is ready.
    blocked: bool,
    /// The broker drains: the task is to take in what has been received.
    quiesce: bool,
    /// How many full outboxes hold this connection's reading back.
    pub(super) holds: u32,
    /// Whom this outbox holds back because it is full. Boxed, since few ever do.
    pub(super) held: Option<Box<Held>>,
    /// It was cut off for the memory of all, and is to be ended if that was not enough.
    relieved: bool,
    /// How many batches of this connection are on their way to the actor or in its hands.
    unapplied: u32,
    /// The task waits until the actor has applied one.
    awaits_applied: bool,
    /// The actor waits until there is room for more of what this connection asked for.
    awaits_room: bool,
    /// There is room again, and the actor has yet to hear of it.
    has_room: bool,
    /// The task may write once.
    turn: Option<Turn>,
    /// It waits for that.
    awaits_turn: bool,
}

impl State {
    /// The task, and whom the outbox holds back.
    fn told(&mut self) -> Told {
        Told { waker: self.waker.take(), held: self.held.take(), turn: self.turn.take() }
    }
}

/// Whom a change concerns: told once the lock is released, since they take locks of their own.
#[derive(Default)]
#[must_use]
struct Told {
    waker: Option<Waker>,
    held: Option<Box<Held>>,
    /// Not used: it goes to the next one.
    turn: Option<Turn>,
}

impl Told {
    fn tell(self) {
        release(self.held);
        wake(self.waker);
        drop(self.turn);
    }
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Phase {
    /// Takes frames.
    #[default]
    Open,
    /// Takes no more; the connection ends when the queue is sent.
    Finishing,
    /// The peer is gone, or its time is up: what waits is of no use.
    Dead,
}

/// Whom a full outbox holds back.
pub(super) struct Held {
    pub(super) since: Instant,
    pub(super) publishers: Vec<Arc<Outbox<dyn Sink>>>,
}

thread_local! {
    /// Small frames on their way into one write.
    static GATHERED: RefCell<Vec<u8>> = RefCell::new(Vec::with_capacity(WRITE));
}

impl<S: Sink> Outbox<S> {
    /// An empty outbox.
    pub fn new(sink: S, limits: Arc<OutboxLimits>) -> Self {
        Self { limits, state: Mutex::default(), sink }
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
        if self.lock().phase != Phase::Open {
            return Pushed::Refused;
        }
        self.push_own(&frame.translated(self.limits.encoder, &self.limits.translations))
    }

    fn push_own(&self, frame: &Frame) -> Pushed {
        let mut state = self.lock();
        if state.phase != Phase::Open {
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
            // Nobody is cut off whose socket was not tried: much may come within one round.
            told = self.write_now(&mut state);
        }
        // A run may be longer than the limit by itself, so that one always has room.
        if !state.queue.is_empty() && state.queue.bytes() + more > cut_at {
            let twice = if cut_at == limit { "" } else { "twice " };
            let reason = format!(
                "more than {twice}{} waited for this listener, the most allowed (outbox.limit); read faster, or listen to less",
                ByteSize(limit)
            );
            let cut = self.cut_off(&mut state, &reason);
            drop(state);
            told.tell();
            cut.tell();
            return Pushed::Cut;
        }
        if state.phase == Phase::Dead {
            drop(state);
            told.tell();
            return Pushed::Refused;
        }
        state.queue.push(frame.clone(), &self.limits.gauge);
        let first = !std::mem::replace(&mut state.touched, true);
        let full = state.queue.bytes() > limit && self.limits.policy == Policy::Throttle;
        drop(state);
        told.tell();
        match (full, first) {
            (true, _) => Pushed::Full,
            (false, true) => Pushed::First,
            (false, false) => Pushed::Queued,
        }
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

    /// The actor's turn: writes what was queued straight to the socket, unless the task is waiting for it.
    pub fn flush(&self) -> Flushed {
        let mut state = self.lock();
        state.touched = false;
        let before = state.queue.bytes();
        let told = self.write_now(&mut state);
        let flushed = Flushed { bytes: before - state.queue.bytes(), has_room: std::mem::take(&mut state.has_room) };
        drop(state);
        told.tell();
        flushed
    }

    /// The task's turn: writes what waits, once the socket is ready.
    pub fn write_turn(&self) -> Written {
        let mut state = self.lock();
        let written = self.write(&mut state);
        let held = self.after_writing(&mut state, written);
        let turn = state.turn.take();
        drop(state);
        release(held);
        // Only now it is the next one's.
        drop(turn);
        written
    }

    /// Whether the task may write now. If not, it is woken when it may.
    pub fn may_write(&self, this: impl FnOnce() -> Arc<Outbox<dyn Sink>>) -> bool {
        let mut state = self.lock();
        if state.turn.is_some() {
            return true;
        }
        if !state.awaits_turn {
            state.turn = self.limits.turns.take(this);
            state.awaits_turn = state.turn.is_none();
        }
        state.turn.is_some()
    }

    /// The task does not write after all.
    pub fn pass_turn(&self) {
        let turn = self.lock().turn.take();
        drop(turn);
    }

    /// The task may write now. False if it has no use for that.
    pub(super) fn grant(&self, turns: &Arc<Turns>) -> bool {
        let mut state = self.lock();
        state.awaits_turn = false;
        if state.phase == Phase::Dead || !state.blocked {
            return false;
        }
        state.turn = Some(Turn::of(turns));
        let waker = state.waker.take();
        drop(state);
        wake(waker);
        true
    }

    /// How the outbox stands; the task is woken when that changes.
    pub fn standing(&self, cx: &Context<'_>) -> Standing {
        let mut state = self.lock();
        if !state.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            state.waker = Some(cx.waker().clone());
        }
        Standing {
            blocked: state.blocked,
            finishing: state.phase == Phase::Finishing,
            empty: state.queue.is_empty(),
            dead: state.phase == Phase::Dead,
            quiesce: state.quiesce,
            held: state.holds > 0,
            holding_since: state.held.as_ref().map(|held| held.since),
            unapplied: state.unapplied,
            has_room: std::mem::take(&mut state.has_room),
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
        state.awaits_room = state.phase == Phase::Open && state.queue.bytes() > self.limits.limit / 2;
        state.awaits_room
    }

    /// Queues the last frame, if there is one, and takes no more. The caller flushes.
    pub fn finish(&self, last: Option<&Frame>) {
        let mut state = self.lock();
        if state.phase != Phase::Open {
            return;
        }
        if let Some(last) = last {
            debug_assert!(last.is_in(self.limits.encoder), "a last frame is one connection's own");
            state.queue.push(last.clone(), &self.limits.gauge);
        }
        state.phase = Phase::Finishing;
        // The drain time begins, which the task keeps, also if it waits for a socket that is never ready again.
        let told = state.told();
        drop(state);
        told.tell();
    }

    /// Cuts the connection off as a slow listener: takes no more, and says why behind what already waits. False if it
    /// was ending anyway.
    pub fn cut(&self, reason: &str) -> bool {
        let mut state = self.lock();
        if state.phase != Phase::Open {
            return false;
        }
        let told = self.cut_off(&mut state, reason);
        drop(state);
        told.tell();
        true
    }

    /// Cuts the connection off and gives back the memory of what waits: only the rest of a frame that was sent in part
    /// and the reason are still sent. One that was cut off so before, and is still in the way, is ended at once.
    pub fn relieve(&self, reason: &str) -> Relieved {
        let mut state = self.lock();
        if state.phase == Phase::Dead {
            return Relieved::Ending { promised: state.queue.gain() };
        }
        if state.queue.is_empty() {
            return Relieved::Nothing;
        }
        if std::mem::replace(&mut state.relieved, true) {
            drop(state);
            self.kill();
            return Relieved::Ended;
        }
        // One that is about to end has its last word in the queue already: it is not told the end twice.
        if state.phase == Phase::Finishing && state.queue.len() == 1 {
            return Relieved::Nothing;
        }
        let promised = state.queue.truncate(&self.limits.gauge);
        let told = self.cut_off(&mut state, reason);
        drop(state);
        told.tell();
        Relieved::Cut { promised }
    }

    /// About how much memory cutting this connection off would give back, in bytes.
    pub fn gain(&self) -> usize {
        self.lock().queue.gain()
    }

    /// Ends the connection at once: what waits is dropped.
    pub fn kill(&self) {
        let mut state = self.lock();
        state.phase = Phase::Dead;
        state.queue.clear(&self.limits.gauge);
        let told = state.told();
        drop(state);
        told.tell();
    }

    /// Ends the connection as [`kill`](Self::kill) does, and drops some of what waits; there may be a million of frames. True once all
    /// of it is dropped. The task calls this until then.
    pub fn wind_up(&self) -> bool {
        let mut state = self.lock();
        state.phase = Phase::Dead;
        let done = state.queue.drop_some(DROPPED, &self.limits.gauge);
        let told = state.told();
        drop(state);
        told.tell();
        done
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

    /// Queues the reason and takes no more. Returns whom to tell, without the lock.
    fn cut_off(&self, state: &mut State, reason: &str) -> Told {
        let last = self.encode(&Event::CloseConnection { why: Some((ErrorCode::SlowListener, reason)) });
        state.queue.push(last, &self.limits.gauge);
        state.phase = Phase::Finishing;
        // The task takes over, and with it the drain time begins.
        state.blocked = true;
        state.queue.count(&self.limits.gauge);
        state.told()
    }

    /// Writes what waits, unless the task waits to do so. Returns whom to tell, without the lock.
    fn write_now(&self, state: &mut State) -> Told {
        if state.blocked || state.phase == Phase::Dead {
            return Told::default();
        }
        let written = self.write(state);
        let held = self.after_writing(state, written);
        let wake = match written {
            Written::All => state.phase == Phase::Finishing,
            Written::More | Written::Blocked { .. } | Written::Gone => true,
        };
        Told { waker: if wake { state.waker.take() } else { None }, held, turn: None }
    }

    /// What follows from a turn of writing, whoever wrote. Returns whom to release, without the lock.
    fn after_writing(&self, state: &mut State, written: Written) -> Option<Box<Held>> {
        match written {
            Written::All => state.blocked = false,
            Written::More | Written::Blocked { .. } => {
                state.blocked = true;
                state.queue.count(&self.limits.gauge);
            }
            // What waits is dropped by the task.
            Written::Gone => state.phase = Phase::Dead,
        }
        if state.awaits_room && (state.phase != Phase::Open || state.queue.bytes() <= self.limits.limit / 4) {
            (state.awaits_room, state.has_room) = (false, true);
        }
        let enough = state.phase == Phase::Dead || state.queue.bytes() <= self.limits.limit / 2;
        if enough { state.held.take() } else { None }
    }

    fn write(&self, state: &mut State) -> Written {
        let mut total = 0;
        while !state.queue.is_empty() {
            if total >= TURN {
                return Written::More;
            }
            let (asked, written) = self.write_once(&state.queue);
            match written {
                Ok(0) => return Written::Gone,
                Ok(written) => {
                    state.queue.advance(written, &self.limits.gauge);
                    total += written;
                    if written < asked {
                        return Written::Blocked { progress: true };
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Written::Blocked { progress: total > 0 },
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Written::Gone,
            }
        }
        Written::All
    }

    /// One write from the front of the queue: how much it was to carry, and how much it did.
    fn write_once(&self, queue: &Queue) -> (usize, io::Result<usize>) {
        GATHERED.with_borrow_mut(|gathered| {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let count = queue.front(gathered, &mut slices, WRITE);
            if count == 0 {
                return (gathered.len(), self.sink.try_write(&[IoSlice::new(gathered)]));
            }
            let slices = &slices[..count];
            (slices.iter().map(|slice| slice.len()).sum(), self.sink.try_write(slices))
        })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // A panic under the lock is a panic of the actor, which ends the broker, or of this connection, which then ends:
        // nobody goes on with a state that is half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: ?Sized> Drop for Outbox<S> {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        state.queue.clear(&self.limits.gauge);
    }
}

/// Wakes the task, if it waits.
pub(super) fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// Lets go of those who were held back.
fn release(held: Option<Box<Held>>) {
    if let Some(held) = held {
        for publisher in held.publishers {
            publisher.release_one();
        }
    }
}
