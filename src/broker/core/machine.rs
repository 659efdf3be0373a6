//! The state machine itself: what each input does.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::wire::ids::{ConnectionId, StreamName};
use crate::wire::{Effect, Epoch, ErrorCode, Event, Frame, Gauge, Position, ReceiptId, Start};

use super::budget::{Budget, FORGET, HANG_UP, INPUT, PUSH};
use super::changes::Changes;
use super::common::Shared;
use super::directory::{self, Directory};
use super::epochs::Epochs;
use super::input::{Deliver, Extra, Input};
use super::listens::{Listens, Place};
use super::order::Order;
use super::past::{Past, ReplayLimits};
use super::prefixes::Prefixes;
use super::sessions::{SessionKey, Sessions};
use super::stream::LISTENER;
use super::table::Table;
use super::tally::Tally;
use super::wills::Wills;

/// The limits that the core enforces.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CoreLimits {
    /// The most streams at once.
    pub streams: usize,
    /// The most streams and prefixes that one connection listens to at once.
    pub listens: usize,
    /// What is queued for one that joins many streams before its queue is looked at again, in bytes: a part of what its queue may take.
    /// Never more than 64 KiB, and never less than one stream.
    pub piece: usize,
    /// All that is kept of streams, wills and sessions: headers, last messages, names and lists of listeners, in bytes of memory.
    pub stored: usize,
    /// How long an ended stream is remembered.
    pub ended_time: Duration,
    /// What is kept of the messages that streams have had.
    pub replay: ReplayLimits,
    /// The most sessions at once.
    pub sessions: usize,
    /// How long a session waits for a connection.
    pub session_time: Duration,
}

/// Every stream's header and listeners.
#[derive(Debug)]
pub struct Core {
    pub(super) limits: CoreLimits,
    pub(super) streams: Table,
    /// Indexed by connection id.
    pub(super) connections: Vec<Listens>,
    /// The ended streams by the time at which they are forgotten.
    pub(super) ended: BTreeSet<(Duration, StreamName)>,
    pub(super) past: Past,
    pub(super) sessions: Sessions,
    pub(super) wills: Wills,
    /// Names this life of the broker.
    pub(super) life: Epoch,
    /// Who listens to prefixes, ...
    pub(super) prefixes: Prefixes,
    /// ... and the names in their order for those.
    pub(super) order: Order,
    /// What is to be told of streams to those who listen to the directory.
    pub(super) directory: Directory,
    /// The time at the beginning of the core's clock, since 1970.
    pub(super) began: Duration,
    /// What was done in passing and has yet to be paid for.
    pub(super) owed: usize,
    pub(super) epochs: Epochs,
    /// What is to be saved.
    pub(super) changes: Changes,
    /// The session of those who had none in another life of the broker and had wills.
    pub(super) nameless: Option<SessionKey>,
    /// What is kept of all streams, their past aside, and of wills and sessions, in bytes of memory.
    pub(super) stored: usize,
    /// Counts what stands in queues. A frame that is stored counts in `stored` instead.
    pub(super) queues: Arc<Gauge>,
    /// What is counted for those who watch over the broker.
    pub(super) tally: Tally,
    /// The time now.
    pub(super) now: Duration,
    /// How much of it was time in which nobody could come back to a session.
    pub(super) late: Duration,
    /// The broker itself ends the connections.
    pub(super) is_stopping: bool,
    /// What is known beside, if this is one of several nodes.
    pub(super) shared: Option<Box<Shared>>,
}

/// Why an input was refused.
pub(super) struct Refused {
    pub(super) code: ErrorCode,
    pub(super) reason: String,
}

impl Refused {
    /// For a limit; the reason names it and its setting.
    pub(super) fn limit(reason: String) -> Self {
        Self { code: ErrorCode::Limit, reason }
    }
}

/// Whether one that leaves may come back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Comes {
    Perhaps,
    /// It has hung up.
    NoMore,
}

impl Core {
    /// A broker that has seen nothing yet. `queues` counts the memory of what stands in queues.
    pub fn new(limits: CoreLimits, queues: Arc<Gauge>, epochs: Epochs) -> Self {
        Self {
            past: Past::new(limits.replay.clone()),
            limits,
            streams: Table::default(),
            connections: Vec::new(),
            prefixes: Prefixes::default(),
            order: Order::default(),
            directory: Directory::default(),
            began: Duration::ZERO,
            owed: 0,
            ended: BTreeSet::new(),
            sessions: Sessions::default(),
            wills: Wills::default(),
            life: epochs.life(),
            epochs,
            changes: Changes::default(),
            nameless: None,
            stored: 0,
            queues,
            tally: Tally::default(),
            now: Duration::ZERO,
            late: Duration::ZERO,
            is_stopping: false,
            shared: None,
        }
    }

    /// Keeps to other limits from now on. What there is already stays, also if it is more; so does what is kept of streams' messages as it
    /// was set in the beginning.
    pub fn set_limits(&mut self, limits: CoreLimits) {
        let replay = std::mem::take(&mut self.limits.replay);
        self.limits = match &self.shared {
            None => CoreLimits { replay, ..limits },
            // The others are those of all nodes.
            Some(_) => CoreLimits { replay, listens: limits.listens, piece: limits.piece, stored: limits.stored, ..self.limits.clone() },
        };
    }

    /// How many streams there are.
    pub fn streams(&self) -> usize {
        self.streams.len()
    }

    /// What is kept of all streams, in bytes of memory.
    pub fn stored(&self) -> usize {
        self.stored + self.changes.gone()
    }

    /// Takes one step of one connection, delivering what follows from it. Returns what is left to do of it when the budget
    /// is spent: the same connection is to go on with that before anything else.
    pub fn handle(&mut self, from: ConnectionId, input: Input, budget: &mut Budget, deliver: &mut impl Deliver) -> Option<Input> {
        budget.spend(INPUT + FORGET * self.past.take_looks() + std::mem::take(&mut self.owed));
        match input {
            Input::Put { stream, run, of, extras } => {
                if of.is_some() {
                    let opens = extras.iter().any(|extra| extra.header.is_some());
                    if let Err(refused) = self.check_epoch(&stream, of, opens) {
                        budget.spend(INPUT * run.messages() as usize);
                        refuse_run(from, &refused, &stream, &run, &extras, deliver);
                        return None;
                    }
                }
                return self.put(from, &stream, &run, extras, budget, deliver);
            }
            Input::Header { stream, header, of, absent, receipt } => match self.header(&stream, header, of, absent, budget, deliver) {
                Ok(position) => answer(from, receipt.as_ref(), Effect { position, ..Effect::default() }, deliver),
                Err(refused) => refuse(from, &refused, Some(&stream), receipt.as_ref(), deliver),
            },
            Input::Listen { stream, start, receipt } => {
                budget.spend(2 * PUSH);
                let start = start.map_or(Start::default(), |start| *start);
                if let Err(refused) = self.listen(from, &stream, start, receipt.as_ref(), budget, deliver) {
                    refuse(from, &refused, Some(&stream), receipt.as_ref(), deliver);
                }
            }
            Input::ListenPrefix { prefix, start, receipt, begun } => {
                let latest = start.as_ref().is_some_and(|starts| starts.latest);
                if begun || self.begin_walk(from, &prefix, latest, receipt.as_ref(), deliver) {
                    return self.join_all(from, prefix, start, receipt, budget, deliver);
                }
            }
            Input::HangupPrefix { prefix, at, receipt } => {
                return self.hang_up_prefix(from, prefix, at, receipt, budget, deliver);
            }
            Input::Hangup { stream, receipt } => {
                match &stream {
                    Some(stream) => self.hang_up_name(from, stream, budget),
                    None if !self.hang_up_all(from, Comes::NoMore, budget) => return Some(Input::Hangup { stream, receipt }),
                    None => {}
                }
                answer(from, receipt.as_ref(), Effect::default(), deliver);
            }
            Input::Close { stream, last, of, receipt } => match self.close(&stream, last, of, budget, deliver) {
                Ok(reached) => answer(from, receipt.as_ref(), reaching(reached), deliver),
                Err(refused) => refuse(from, &refused, Some(&stream), receipt.as_ref(), deliver),
            },
            Input::Delete { stream, last, of, receipt } => match self.delete(&stream, &last, of, budget, deliver) {
                Ok(reached) => answer(from, receipt.as_ref(), reaching(reached), deliver),
                Err(refused) => refuse(from, &refused, Some(&stream), receipt.as_ref(), deliver),
            },
            Input::Answer(frame) => {
                deliver.frame(from, &frame);
            }
            Input::Will { stream, last, receipt } => match self.will(from, &stream, last) {
                Ok(()) => answer(from, receipt.as_ref(), Effect::default(), deliver),
                Err(refused) => refuse(from, &refused, Some(&stream), receipt.as_ref(), deliver),
            },
            Input::Session { session, former, receipt } => return self.session(from, session, former, receipt, budget, deliver),
            Input::Leave { orderly, last, receipt } => {
                let left = if orderly { self.retire(from, budget) } else { self.lose(from, budget, deliver) };
                if !left || !self.hang_up_all(from, Comes::Perhaps, budget) {
                    return Some(Input::Leave { orderly, last, receipt });
                }
                answer(from, receipt.as_ref(), Effect::default(), deliver);
                deliver.finish(from, last.as_ref());
            }
        }
        #[cfg(debug_assertions)]
        self.assert_connection(from);
        None
    }

    /// Who listens to a stream.
    pub fn listeners(&self, stream: &StreamName) -> &[ConnectionId] {
        self.streams.get(stream).map_or(&[], |stream| &stream.listeners)
    }

    /// Whether a connection listens to a stream.
    pub(super) fn listens(&self, connection: ConnectionId, stream: &StreamName) -> bool {
        self.connections.get(connection.index()).is_some_and(|listens| listens.get(stream).is_some())
    }

    /// Who would be given a frame of at least `length` bytes as it is, by the next input of a connection, and which. It changes nothing.
    pub fn deliveries<'a>(
        &'a self,
        from: ConnectionId,
        input: &'a Input,
        length: usize,
    ) -> impl Iterator<Item = (ConnectionId, &'a Frame)> {
        let is_long = move |frame: &&Frame| frame.bytes().len() >= length;
        let (to_all, to_one) = match input {
            Input::Put { stream, run: frame, .. }
            | Input::Close { stream, last: frame, .. }
            | Input::Delete { stream, last: frame, .. } => (Some(frame).filter(is_long).map(|frame| (stream, frame)), None),
            Input::Listen { stream, .. } => (None, self.streams.get(stream)),
            Input::ListenPrefix { .. } => (None, self.next_on_walk(from).and_then(|stream| self.streams.get(&stream))),
            Input::Header { .. }
            | Input::Hangup { .. }
            | Input::HangupPrefix { .. }
            | Input::Will { .. }
            | Input::Session { .. }
            | Input::Answer(_)
            | Input::Leave { .. } => (None, None),
        };
        // Many that are short take long together.
        let start = match input {
            Input::Listen { start: Some(start), .. } => Some(**start),
            Input::ListenPrefix { start: Some(starts), .. } => self.next_on_walk(from).map(|stream| starts.of(stream.as_str())),
            _ => None,
        };
        let past = start.zip(to_one).and_then(|(start, stream)| {
            let window = stream.run.window.as_ref().filter(|window| window.bytes() >= length)?;
            let behind = stream.run.sequence - stream.run.begin(start).before;
            Some(window.frames(if start.latest { behind.min(1) } else { behind }))
        });
        let past = past.into_iter().flatten();
        let born = self.born(input, length).into_iter().flat_map(|(joining, frames)| {
            frames.into_iter().flat_map(move |frame| joining.clone().into_iter().map(move |listener| (listener, frame)))
        });
        let to_all = to_all.and_then(|(name, frame)| {
            let stream = self.streams.get(name)?;
            // Of a run, those who get the latest message get the last.
            let is_run = matches!(input, Input::Put { .. }) && frame.messages() > 1;
            Some((if is_run { stream.audience().0 } else { &stream.listeners }, frame))
        });
        let to_all = to_all.into_iter().flat_map(|(listeners, frame)| listeners.iter().map(move |listener| (*listener, frame)));
        let to_one =
            to_one.into_iter().flat_map(|stream| [stream.header.as_ref(), stream.run.ended.as_ref().and_then(|end| end.last.as_ref())]);
        to_all
            .chain(to_one.flatten().filter(is_long).map(move |frame| (from, frame)))
            .chain(past.map(move |frame| (from, frame)))
            .chain(born)
    }

    /// Takes a connection out of all lists of listeners: it was cut off, or is gone. False if the budget was
    /// spent before that; then it is to be called again.
    pub fn forget_connection(&mut self, connection: ConnectionId, budget: &mut Budget) -> bool {
        self.hang_up_all(connection, Comes::Perhaps, budget)
    }

    pub(super) fn hang_up_all(&mut self, connection: ConnectionId, comes: Comes, budget: &mut Budget) -> bool {
        if !self.drop_prefixes(connection, budget) {
            return false;
        }
        while let Some(stream) = self.connections.get(connection.index()).and_then(Listens::first).cloned() {
            // At least one, so that each turn gets on.
            self.hang_up(connection, &stream, comes, budget);
            if budget.is_spent() {
                return self.connections.get(connection.index()).is_none_or(|listens| listens.len() == 0);
            }
        }
        true
    }

    /// Brings what the next inputs need into the processor's caches. It changes nothing.
    pub fn prefetch(&self, inputs: &[Input]) {
        if inputs.len() > 1 {
            self.streams
                .prefetch(inputs.iter().filter_map(|input| if let Input::Put { stream, .. } = input { Some(stream) } else { None }));
        }
    }

    fn header(
        &mut self,
        name: &StreamName,
        header: Frame,
        of: Option<Epoch>,
        absent: bool,
        budget: &mut Budget,
        deliver: &mut impl Deliver,
    ) -> Result<Option<Position>, Refused> {
        self.check_epoch(name, of, true)?;
        if absent {
            self.check_absent(name)?;
        }
        if self.store_header(name, header)? {
            self.announce(name, budget, deliver);
        }
        Ok(self.streams.get(name).map(|stream| stream.run.position()))
    }

    /// Takes a listener out of the stream's list. It is no error if there is no such stream or listener.
    pub(super) fn hang_up(&mut self, connection: ConnectionId, name: &StreamName, comes: Comes, budget: &mut Budget) {
        budget.spend(HANG_UP);
        let Some(place) = self.connections.get_mut(connection.index()).and_then(|listens| listens.remove(name)) else { return };
        let (position, Place { named, .. }) = (place.position(), place);
        self.stored -= LISTENER;
        self.tally.listeners -= 1;
        let Some(stream) = self.streams.get_mut(name) else { return };
        debug_assert_eq!(stream.listeners.get(position), Some(&connection), "a listener's position in {name:?} is wrong");
        let [one, other] = stream.take_out(position);
        self.directory.note(name);
        if let Some((moved, at)) = one {
            self.connections[moved.index()].moved(name, at);
        }
        if let Some((moved, at)) = other {
            self.connections[moved.index()].moved(name, at);
        }
        stream.run.by_prefix -= u32::from(!named);
        // After many listeners have left, their memory is given back.
        if stream.listeners.len() * 4 < stream.listeners.capacity() && stream.listeners.capacity() > 16 {
            stream.listeners.shrink_to(stream.listeners.len() * 2);
        }
        // Those who come back within the time find that nothing is missing, also if all others have hung up meanwhile. Of the directory
        // there is nothing that could be missing.
        if stream.run.is_over() && stream.is_empty() {
            // It was here for this listener alone.
            self.remove(name);
        } else if stream.run.common.is_some() {
            self.note_listeners(name);
        } else if named && comes == Comes::Perhaps && self.past.is_kept() && !directory::is_entry(name) {
            self.remember(name);
        } else if stream.is_empty() && stream.run.listed.is_none() {
            self.remove(name);
        }
        self.unwatch(usize::from(directory::is_entry(name)));
    }

    /// Something has happened in a stream that has nothing but its past: that is kept from now on.
    fn remember(&mut self, name: &StreamName) {
        if let Some(named) = self.streams.get_named(name) {
            self.past.unlist(named);
            self.past.list(named, self.now);
        }
    }
}

pub(super) fn answer(to: ConnectionId, receipt: Option<&ReceiptId>, effect: Effect, deliver: &mut impl Deliver) {
    if let Some(receipt) = receipt {
        deliver.event(to, &Event::Receipt { receipt, effect });
    }
}

pub(super) fn reaching(listeners: usize) -> Effect {
    Effect { listeners: Some(listeners), ..Effect::default() }
}

/// Refuses every message of a run.
fn refuse_run(to: ConnectionId, refused: &Refused, stream: &StreamName, run: &Frame, extras: &[Extra], deliver: &mut impl Deliver) {
    let mut extras = extras.iter().peekable();
    for index in 0..run.messages() {
        let receipt = extras.next_if(|extra| extra.index == index).and_then(|extra| extra.receipt.as_ref());
        refuse(to, refused, Some(stream), receipt, deliver);
    }
}

pub(super) fn refuse(
    to: ConnectionId,
    refused: &Refused,
    stream: Option<&StreamName>,
    receipt: Option<&ReceiptId>,
    deliver: &mut impl Deliver,
) {
    let error = Event::Error { code: refused.code, reason: &refused.reason, stream: stream.map(StreamName::as_str), receipt };
    deliver.event(to, &error);
}
