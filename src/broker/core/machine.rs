//! The state machine itself: what each input does.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::wire::ids::{ConnectionId, StreamName};
use crate::wire::{ErrorCode, Event, Frame, Gauge, ReceiptId, StreamState};

use super::budget::{Budget, HANG_UP, INPUT, PUSH};
use super::input::{Deliver, Extra, Input};
use super::listens::Listens;
use super::parts::Parts;
use super::stream::{ENDED, Ended, LISTENER};
use super::table::{Named, Table};

/// The limits that the core enforces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoreLimits {
    /// The most streams at once.
    pub streams: usize,
    /// The most streams that one connection listens to at once.
    pub listens: usize,
    /// All that is kept of streams: headers, last messages, names and lists of listeners, in bytes of memory.
    pub stored: usize,
    /// How long an ended stream is remembered.
    pub ended_time: Duration,
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
    /// What is kept of all streams, in bytes of memory.
    pub(super) stored: usize,
    /// Counts what stands in queues. A frame that is stored counts in `stored` instead.
    pub(super) queues: Arc<Gauge>,
    /// The time now.
    pub(super) now: Duration,
}

/// Why an input was refused: the reason, naming the limit and its setting.
pub(super) struct Refused(pub(super) String);

impl Core {
    /// A broker that has seen nothing yet. `queues` counts the memory of what stands in queues.
    pub fn new(limits: CoreLimits, queues: Arc<Gauge>) -> Self {
        Self { limits, streams: Table::default(), connections: Vec::new(), ended: BTreeSet::new(), stored: 0, queues, now: Duration::ZERO }
    }

    /// How many streams there are.
    pub fn streams(&self) -> usize {
        self.streams.len()
    }

    /// What is kept of all streams, in bytes of memory.
    pub fn stored(&self) -> usize {
        self.stored
    }

    /// Takes one step of one connection, delivering what follows from it. Returns what is left to do of it when the budget
    /// is spent: the same connection is to go on with that before anything else.
    pub fn handle(&mut self, from: ConnectionId, input: Input, budget: &mut Budget, deliver: &mut impl Deliver) -> Option<Input> {
        budget.spend(INPUT);
        match input {
            Input::Put { stream, run, extras } => return self.put(from, &stream, &run, extras, budget, deliver),
            Input::Header { stream, header, receipt } => match self.store_header(&stream, header) {
                Ok(()) => answer(from, receipt.as_ref(), None, None, deliver),
                Err(refused) => refuse(from, &refused, &stream, receipt.as_ref(), deliver),
            },
            Input::Listen { stream, receipt } => {
                budget.spend(2 * PUSH);
                if let Err(refused) = self.listen(from, &stream, receipt.as_ref(), deliver) {
                    refuse(from, &refused, &stream, receipt.as_ref(), deliver);
                }
            }
            Input::Hangup { stream, receipt } => {
                match &stream {
                    Some(stream) => self.hang_up(from, stream, budget),
                    None if !self.hang_up_all(from, budget) => return Some(Input::Hangup { stream, receipt }),
                    None => {}
                }
                answer(from, receipt.as_ref(), None, None, deliver);
            }
            Input::Close { stream, last, receipt } => match self.close(&stream, last, budget, deliver) {
                Ok(reached) => answer(from, receipt.as_ref(), Some(reached), None, deliver),
                Err(refused) => refuse(from, &refused, &stream, receipt.as_ref(), deliver),
            },
            Input::Delete { stream, last, receipt } => {
                let reached = self.delete(&stream, &last, budget, deliver);
                answer(from, receipt.as_ref(), Some(reached), None, deliver);
            }
            Input::Answer(frame) => {
                deliver.frame(from, &frame);
            }
            Input::Leave { last, receipt } => {
                if !self.hang_up_all(from, budget) {
                    return Some(Input::Leave { last, receipt });
                }
                answer(from, receipt.as_ref(), None, None, deliver);
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
    fn listens(&self, connection: ConnectionId, stream: &StreamName) -> bool {
        self.connections.get(connection.index()).is_some_and(|listens| listens.position(stream).is_some())
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
            Input::Header { .. } | Input::Hangup { .. } | Input::Answer(_) | Input::Leave { .. } => (None, None),
        };
        let to_all = to_all.and_then(|(name, frame)| Some((&self.streams.get(name)?.listeners, frame)));
        let to_all = to_all.into_iter().flat_map(|(listeners, frame)| listeners.iter().map(move |listener| (*listener, frame)));
        let to_one =
            to_one.into_iter().flat_map(|stream| [stream.header.as_ref(), stream.ended.as_ref().and_then(|end| end.last.as_ref())]);
        to_all.chain(to_one.flatten().filter(is_long).map(move |frame| (from, frame)))
    }

    /// Takes a connection out of all lists of listeners: it asked for that, was cut off, or is gone. False if the budget was
    /// spent before that; then it is to be called again.
    pub fn hang_up_all(&mut self, connection: ConnectionId, budget: &mut Budget) -> bool {
        while let Some(stream) = self.connections.get(connection.index()).and_then(Listens::first).cloned() {
            // At least one, so that each turn gets on.
            self.hang_up(connection, &stream, budget);
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

    /// Returns what is left of it when the budget is spent.
    fn put(
        &mut self,
        from: ConnectionId,
        name: &StreamName,
        run: &Frame,
        extras: Vec<Extra>,
        budget: &mut Budget,
        deliver: &mut impl Deliver,
    ) -> Option<Input> {
        if extras.is_empty() {
            self.deliver_run(name, run, budget, deliver);
            return None;
        }
        // A publisher that listens to its own messages gets each receipt behind its message.
        let hears_itself = self.listens(from, name);
        if run.messages() > 1 && (hears_itself || !self.has_room_for(name, &extras)) {
            let mut parts = Parts::new(name, run, extras);
            while let Some(part) = parts.next() {
                self.handle(from, part, budget, deliver);
                if budget.is_spent() {
                    return parts.rest();
                }
            }
            return None;
        }
        let (mut headers, mut receipts) = (Vec::new(), Vec::new());
        for Extra { header, receipt, .. } in extras {
            headers.extend(header);
            receipts.extend(receipt);
        }
        // Nobody can join between the messages of a run, so only the last header is ever seen.
        if let Some(header) = headers.pop()
            && let Err(refused) = self.store_header(name, header)
        {
            refuse(from, &refused, name, receipts.first(), deliver);
            return None;
        }
        budget.spend(PUSH * receipts.len());
        let reached = self.deliver_run(name, run, budget, deliver);
        for receipt in &receipts {
            answer(from, Some(receipt), Some(reached), None, deliver);
        }
        None
    }

    /// Gives a run to every listener. Returns how many were reached.
    fn deliver_run(&self, name: &StreamName, run: &Frame, budget: &mut Budget, deliver: &mut impl Deliver) -> usize {
        let Some(stream) = self.streams.get(name) else { return 0 };
        budget.spend(PUSH * stream.listeners.len());
        stream.listeners.iter().filter(|listener| deliver.frame(**listener, run)).count()
    }

    /// Delivers the header, if there is one, then the receipt, and enters the listener, all in one step: no message comes
    /// between. If the stream has ended, its end follows instead.
    fn listen(
        &mut self,
        from: ConnectionId,
        name: &StreamName,
        receipt: Option<&ReceiptId>,
        deliver: &mut impl Deliver,
    ) -> Result<(), Refused> {
        self.forget_if_over(name);
        let stream = self.streams.get(name);
        let is_known = stream.is_some();
        if let Some(stream) = stream
            && let Some(ended) = &stream.ended
        {
            if let Some(header) = &stream.header {
                deliver.frame(from, header);
            }
            answer(from, receipt, None, Some(StreamState::Ended), deliver);
            match &ended.last {
                Some(last) => {
                    deliver.frame(from, last);
                }
                None => deliver.event(from, &Event::Close { stream: name, message: None }),
            }
            return Ok(());
        }
        if self.connections.len() <= from.index() {
            self.connections.resize_with(from.index() + 1, Listens::default);
        }
        let known = self.connections[from.index()].position(name).is_some();
        if !known {
            if self.connections[from.index()].len() >= self.limits.listens {
                let most = self.limits.listens;
                return Err(Refused(format!(
                    "this connection listens to {most} streams, the most allowed (limits.listens); hang up on some, or listen on another connection"
                )));
            }
            self.room_for_stream(is_known)?;
            self.room_to_keep(name, is_known, LISTENER)?;
        }
        let Named { name, stream } = self.stream(name);
        // The table's copy of the name, so that a thousand listeners do not keep a thousand copies.
        let (name, header, state, position) = (name.clone(), stream.header.clone(), stream.state(), stream.listeners.len());
        if !known {
            stream.listeners.push(from);
            self.connections[from.index()].insert(&name, position);
            self.stored += LISTENER;
        }
        if let Some(header) = &header {
            deliver.frame(from, header);
        }
        answer(from, receipt, None, Some(state), deliver);
        Ok(())
    }

    /// Takes a listener out of the stream's list. It is no error if there is no such stream or listener.
    fn hang_up(&mut self, connection: ConnectionId, name: &StreamName, budget: &mut Budget) {
        budget.spend(HANG_UP);
        let Some(position) = self.connections.get_mut(connection.index()).and_then(|listens| listens.remove(name)) else { return };
        self.stored -= LISTENER;
        let Some(stream) = self.streams.get_mut(name) else { return };
        debug_assert_eq!(stream.listeners.get(position), Some(&connection), "a listener's position in {name:?} is wrong");
        stream.listeners.swap_remove(position);
        if let Some(moved) = stream.listeners.get(position) {
            self.connections[moved.index()].insert(name, position);
        }
        // After many listeners have left, their memory is given back.
        if stream.listeners.len() * 4 < stream.listeners.capacity() && stream.listeners.capacity() > 16 {
            stream.listeners.shrink_to(stream.listeners.len() * 2);
        }
        if stream.is_empty() {
            self.remove(name);
        }
    }

    /// Ends a stream, even one that is new: a job may end before anybody listens, and later listeners are told.
    fn close(&mut self, name: &StreamName, last: Frame, budget: &mut Budget, deliver: &mut impl Deliver) -> Result<usize, Refused> {
        self.forget_if_over(name);
        let is_known = self.streams.get(name).is_some();
        self.room_for_stream(is_known)?;
        if !is_known {
            self.room_to_keep(name, is_known, ENDED)?;
        }
        let reached = self.dismiss(name, &last, budget, deliver);
        self.reopen(name);
        // The end of a known stream is never refused for lack of room: then it is kept without its message.
        self.stream(name);
        let room = self.has_room(ENDED + last.cost());
        let forget_at = self.now + self.limits.ended_time;
        let ended = Ended { forget_at, last: room.then_some(last) };
        self.keep_end(name, ended);
        Ok(reached)
    }

    fn delete(&mut self, name: &StreamName, last: &Frame, budget: &mut Budget, deliver: &mut impl Deliver) -> usize {
        let reached = self.dismiss(name, last, budget, deliver);
        self.remove(name);
        reached
    }

    /// Tells every listener that the stream has ended, and lets it go.
    fn dismiss(&mut self, name: &StreamName, last: &Frame, budget: &mut Budget, deliver: &mut impl Deliver) -> usize {
        let Some(stream) = self.streams.get_mut(name) else { return 0 };
        let listeners = std::mem::take(&mut stream.listeners);
        budget.spend((PUSH + HANG_UP) * listeners.len());
        self.stored -= LISTENER * listeners.len();
        let mut reached = 0;
        for listener in listeners {
            reached += usize::from(deliver.frame(listener, last));
            self.connections[listener.index()].remove(name);
        }
        reached
    }
}

fn answer(to: ConnectionId, receipt: Option<&ReceiptId>, listeners: Option<usize>, state: Option<StreamState>, deliver: &mut impl Deliver) {
    if let Some(receipt) = receipt {
        deliver.event(to, &Event::Receipt { receipt, listeners, state });
    }
}

fn refuse(to: ConnectionId, refused: &Refused, stream: &StreamName, receipt: Option<&ReceiptId>, deliver: &mut impl Deliver) {
    let error = Event::Error { code: ErrorCode::Limit, reason: &refused.0, stream: Some(stream.as_str()), receipt };
    deliver.event(to, &error);
}
