//! The state machine itself.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use hashbrown::HashMap;

use crate::wire::ids::{ConnectionId, StreamName};
use crate::wire::{ErrorCode, Event, Frame, Receipt, StreamState};

use super::input::{Deliver, Input};
use super::listens::Listens;
use super::stream::{Ended, Stream};

/// What the core holds its clients to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoreLimits {
    /// The most streams at once.
    pub streams: usize,
    /// The most streams that one connection listens to at once.
    pub listens: usize,
    /// All headers and last messages together, in bytes of memory.
    pub stored: usize,
    /// How long an ended stream is remembered.
    pub ended_time: Duration,
}

/// Every stream's header and listeners.
#[derive(Debug)]
pub struct Core {
    limits: CoreLimits,
    /// Names are hostile input, so the map keeps std's keyed hasher.
    streams: HashMap<StreamName, Stream, RandomState>,
    /// Indexed by connection id.
    connections: Vec<Listens>,
    /// The ended streams by the time at which they are forgotten.
    ended: BTreeSet<(Duration, StreamName)>,
    /// What all streams keep for those who join, in bytes of memory.
    stored: usize,
    /// The time of the last tick.
    now: Duration,
}

/// So many streams stay in the processor's caches anyway.
const FEW: usize = 4096;

/// How many names are looked up at once: more than the processor can wait for.
const TOGETHER: usize = 32;

/// Why an input was refused: the reason, naming the limit and its setting.
struct Refused(String);

impl Core {
    /// A broker that has seen nothing yet.
    pub fn new(limits: CoreLimits) -> Self {
        Self { limits, streams: HashMap::default(), connections: Vec::new(), ended: BTreeSet::new(), stored: 0, now: Duration::ZERO }
    }

    /// How many streams there are.
    pub fn streams(&self) -> usize {
        self.streams.len()
    }

    /// What all headers and last messages take, in bytes of memory.
    pub fn stored(&self) -> usize {
        self.stored
    }

    /// Takes one step of one connection, delivering whatever follows from it.
    pub fn handle(&mut self, from: ConnectionId, input: Input, deliver: &mut impl Deliver) {
        match input {
            Input::Put { stream, run, header, receipt } => match header {
                None => self.put(from, &stream, &run, receipt.as_ref(), deliver),
                Some(header) => match self.store_header(&stream, header) {
                    Ok(()) => self.put(from, &stream, &run, receipt.as_ref(), deliver),
                    Err(refused) => refuse(from, &refused, &stream, receipt.as_ref(), deliver),
                },
            },
            Input::Header { stream, header, receipt } => match self.store_header(&stream, header) {
                Ok(()) => answer(from, receipt.as_ref(), None, None, deliver),
                Err(refused) => refuse(from, &refused, &stream, receipt.as_ref(), deliver),
            },
            Input::Listen { stream, receipt } => match self.listen(from, &stream, deliver) {
                Ok(state) => answer(from, receipt.as_ref(), None, Some(state), deliver),
                Err(refused) => refuse(from, &refused, &stream, receipt.as_ref(), deliver),
            },
            Input::Hangup { stream, receipt } => {
                match stream {
                    Some(stream) => self.hang_up(from, &stream),
                    None => self.hang_up_all(from),
                }
                answer(from, receipt.as_ref(), None, None, deliver);
            }
            Input::Close { stream, last, receipt } => match self.close(&stream, last, deliver) {
                Ok(reached) => answer(from, receipt.as_ref(), Some(reached), None, deliver),
                Err(refused) => refuse(from, &refused, &stream, receipt.as_ref(), deliver),
            },
            Input::Delete { stream, last, receipt } => {
                let reached = self.delete(&stream, &last, deliver);
                answer(from, receipt.as_ref(), Some(reached), None, deliver);
            }
            Input::Answer(frame) => {
                deliver.frame(from, &frame);
            }
            Input::Leave { last, receipt } => {
                self.hang_up_all(from);
                answer(from, receipt.as_ref(), None, None, deliver);
                deliver.finish(from, last.as_ref());
            }
        }
        #[cfg(debug_assertions)]
        self.assert_connection(from);
    }

    /// The connection listens to nothing any more: it asked so, was cut off, or is gone.
    pub fn hang_up_all(&mut self, connection: ConnectionId) {
        while let Some(stream) = self.connections.get(connection.index()).and_then(Listens::first).cloned() {
            self.hang_up(connection, &stream);
        }
    }

    /// Moves the clock and forgets the streams whose time is over. `now` counts from any fixed moment and never goes back.
    pub fn tick(&mut self, now: Duration) {
        self.now = self.now.max(now);
        let mut forgotten = false;
        while let Some((forget_at, _)) = self.ended.first() {
            if *forget_at > self.now {
                break;
            }
            forgotten = true;
            if let Some((_, name)) = self.ended.pop_first()
                && let Some(stream) = self.streams.remove(&name)
            {
                self.stored -= stream.stored();
            }
        }
        if forgotten {
            self.give_back();
        }
    }

    /// Brings what the next inputs need into the processor's caches. It changes nothing.
    ///
    /// With many streams the memory of each is a wait of its own when inputs are handled one after the other; looked at in
    /// a loop that does nothing else, several are waited for at once.
    pub fn foresee(&self, inputs: &[Input]) {
        if self.streams.len() < FEW || inputs.len() < 2 {
            return;
        }
        let mut hashes = [0; TOGETHER];
        for inputs in inputs.chunks(TOGETHER) {
            let names = inputs.iter().filter_map(|input| if let Input::Put { stream, .. } = input { Some(stream) } else { None });
            let mut count = 0;
            for (hash, name) in hashes.iter_mut().zip(names) {
                *hash = self.streams.hasher().hash_one(name);
                count += 1;
            }
            let mut seen = 0;
            for hash in hashes.iter().take(count) {
                let likely = self.streams.raw_entry().from_hash(*hash, |_| true);
                if let Some(listener) = likely.and_then(|(_, stream)| stream.listeners.first()) {
                    seen ^= listener.0;
                }
            }
            // Without a use the compiler would leave the loop out.
            std::hint::black_box(seen);
        }
    }

    fn put(&mut self, from: ConnectionId, name: &StreamName, run: &Frame, receipt: Option<&Receipt>, deliver: &mut impl Deliver) {
        let mut reached = 0;
        if let Some(stream) = self.streams.get(name) {
            for listener in &stream.listeners {
                reached += usize::from(deliver.frame(*listener, run));
            }
        }
        answer(from, receipt, Some(reached), None, deliver);
    }

    /// Stores a header in place of the one before; reopens the stream if it has ended.
    fn store_header(&mut self, name: &StreamName, header: Frame) -> Result<(), Refused> {
        let before = self.streams.get(name).map_or(0, Stream::stored);
        self.room_for_stored(before, header.cost())?;
        self.room_for_stream(name)?;
        let stream = self.streams.entry(name.clone()).or_default();
        if let Some(ended) = stream.ended.take() {
            self.ended.remove(&(ended.forget_at, name.clone()));
        }
        stream.header = Some(header);
        self.stored = self.stored - before + stream.stored();
        Ok(())
    }

    /// Delivers the header, if there is one, and enters the listener, in one step: no message comes between.
    fn listen(&mut self, from: ConnectionId, name: &StreamName, deliver: &mut impl Deliver) -> Result<StreamState, Refused> {
        if let Some(stream) = self.streams.get(name)
            && let Some(ended) = &stream.ended
        {
            if let Some(header) = &stream.header {
                deliver.frame(from, header);
            }
            match &ended.last {
                Some(last) => {
                    deliver.frame(from, last);
                }
                None => deliver.event(from, &Event::Close { stream: name, message: None }),
            }
            return Ok(StreamState::Ended);
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
            self.room_for_stream(name)?;
        }
        let entry = self.streams.entry(name.clone());
        // The name that the table has, so that a thousand listeners do not keep a thousand copies.
        let name = entry.key().clone();
        let stream = entry.or_default();
        if let Some(header) = &stream.header {
            deliver.frame(from, header);
        }
        if !known {
            self.connections[from.index()].insert(&name, stream.listeners.len());
            stream.listeners.push(from);
        }
        Ok(stream.state())
    }

    /// Takes a listener out of the stream's list; unknown streams and strangers are no error.
    fn hang_up(&mut self, connection: ConnectionId, name: &StreamName) {
        let Some(position) = self.connections.get_mut(connection.index()).and_then(|listens| listens.remove(name)) else { return };
        let Some(stream) = self.streams.get_mut(name) else { return };
        debug_assert_eq!(stream.listeners.get(position), Some(&connection), "a listener's position in {name:?} is wrong");
        stream.listeners.swap_remove(position);
        if let Some(moved) = stream.listeners.get(position) {
            self.connections[moved.index()].insert(name, position);
        }
        // A crowd that left gives its memory back.
        if stream.listeners.len() * 4 < stream.listeners.capacity() && stream.listeners.capacity() > 16 {
            stream.listeners.shrink_to(stream.listeners.len() * 2);
        }
        if stream.is_empty() {
            self.streams.remove(name);
            self.give_back();
        }
    }

    /// Ends a stream, also one that nobody has seen: a job may end before anybody listened, and who comes later is told.
    fn close(&mut self, name: &StreamName, last: Frame, deliver: &mut impl Deliver) -> Result<usize, Refused> {
        self.room_for_stream(name)?;
        let forget_at = self.now + self.limits.ended_time;
        let before = self.streams.get(name).map_or(0, Stream::stored);
        let reached = self.dismiss(name, &last, deliver);
        let stream = self.streams.entry(name.clone()).or_default();
        if let Some(ended) = stream.ended.take() {
            self.ended.remove(&(ended.forget_at, name.clone()));
        }
        let kept = stream.stored();
        // An end is never refused for want of room: who comes later then gets it without its message.
        let room = self.stored - before + kept + last.cost() <= self.limits.stored;
        stream.ended = Some(Box::new(Ended { forget_at, last: room.then_some(last) }));
        self.stored = self.stored - before + stream.stored();
        self.ended.insert((forget_at, name.clone()));
        Ok(reached)
    }

    fn delete(&mut self, name: &StreamName, last: &Frame, deliver: &mut impl Deliver) -> usize {
        let reached = self.dismiss(name, last, deliver);
        if let Some(stream) = self.streams.remove(name) {
            self.stored -= stream.stored();
            if let Some(ended) = stream.ended {
                self.ended.remove(&(ended.forget_at, name.clone()));
            }
        }
        self.give_back();
        reached
    }

    /// Tells every listener that the stream has ended, and lets it go.
    fn dismiss(&mut self, name: &StreamName, last: &Frame, deliver: &mut impl Deliver) -> usize {
        let Some(stream) = self.streams.get_mut(name) else { return 0 };
        let mut reached = 0;
        for listener in std::mem::take(&mut stream.listeners) {
            reached += usize::from(deliver.frame(listener, last));
            self.connections[listener.index()].remove(name);
        }
        reached
    }

    fn room_for_stream(&self, name: &StreamName) -> Result<(), Refused> {
        if self.streams.len() < self.limits.streams || self.streams.contains_key(name) {
            return Ok(());
        }
        let most = self.limits.streams;
        Err(Refused(format!("there are {most} streams, the most allowed (limits.streams); delete or close some, or raise the limit")))
    }

    fn room_for_stored(&self, before: usize, more: usize) -> Result<(), Refused> {
        if self.stored - before + more <= self.limits.stored {
            return Ok(());
        }
        let most = self.limits.stored;
        Err(Refused(format!(
            "all headers together would take more than {most} bytes, the most allowed (limits.headers_total); delete some streams, or raise the limit"
        )))
    }

    /// A table that was much larger gives its memory back.
    fn give_back(&mut self) {
        if self.streams.capacity() > 1024 && self.streams.len() * 4 < self.streams.capacity() {
            self.streams.shrink_to(self.streams.len() * 2);
        }
    }

    /// What must hold for one connection after each step; called in debug builds.
    #[cfg(debug_assertions)]
    fn assert_connection(&self, connection: ConnectionId) {
        let Some(Listens::One(name, position)) = self.connections.get(connection.index()) else { return };
        let stream = self.streams.get(name);
        assert_eq!(
            stream.and_then(|stream| stream.listeners.get(*position as usize)),
            Some(&connection),
            "{connection} is lost in {name:?}"
        );
    }

    /// What must hold for everything; tests call it after each step.
    #[cfg(any(test, debug_assertions))]
    pub fn assert_invariants(&self) {
        let mut stored = 0;
        for (name, stream) in &self.streams {
            assert!(!stream.is_empty(), "{name:?} says nothing and is still there");
            assert!(stream.ended.is_none() || stream.listeners.is_empty(), "{name:?} has ended and is listened to");
            for (position, listener) in stream.listeners.iter().enumerate() {
                assert_eq!(self.connections[listener.index()].position(name), Some(position), "{listener} is lost in {name:?}");
            }
            if let Some(ended) = &stream.ended {
                assert!(self.ended.contains(&(ended.forget_at, name.clone())), "{name:?} is never forgotten");
            }
            stored += stream.stored();
        }
        let listens: usize = self.connections.iter().map(Listens::len).sum();
        let listeners: usize = self.streams.values().map(|stream| stream.listeners.len()).sum();
        assert_eq!(listens, listeners, "connections and streams disagree on who listens");
        assert_eq!(self.ended.len(), self.streams.values().filter(|stream| stream.ended.is_some()).count());
        assert_eq!(stored, self.stored, "the stored bytes are miscounted");
    }
}

fn answer(to: ConnectionId, receipt: Option<&Receipt>, listeners: Option<usize>, state: Option<StreamState>, deliver: &mut impl Deliver) {
    if let Some(receipt) = receipt {
        deliver.event(to, &Event::Receipt { receipt, listeners, state });
    }
}

fn refuse(to: ConnectionId, refused: &Refused, stream: &StreamName, receipt: Option<&Receipt>, deliver: &mut impl Deliver) {
    let error = Event::Error { code: ErrorCode::Limit, reason: &refused.0, stream: Some(stream.as_str()), receipt };
    deliver.event(to, &error);
}
