//! What is stored of streams, the memory that it takes, and when it is forgotten.

use std::time::Duration;

use crate::wire::ids::{ConnectionId, StreamName};
use crate::wire::{Epoch, ErrorCode, Frame, Gauge, StreamState};

use super::budget::{Budget, FORGET, HANG_UP, ORDER};
use super::input::Extra;
use super::listens::Listens;
use super::machine::{Core, Refused};
use super::past::seconds;
use super::stream::{ENDED, Ended, LISTENER, Stream, millis, place};
use super::table::Named;

impl Core {
    /// Moves the clock. `now` counts from any fixed moment and never goes back.
    pub fn set_time(&mut self, now: Duration) {
        self.now = self.now.max(now);
    }

    /// Whether there are streams, or messages of streams, whose time is over and that are not forgotten yet. Clients cannot see the difference.
    pub fn has_forgettable(&self) -> bool {
        self.has_ended() || self.has_old_past() || self.order.has_waste() || self.has_expired()
    }

    fn has_ended(&self) -> bool {
        self.ended.first().is_some_and(|(forget_at, _)| *forget_at <= self.now)
    }

    /// Forgets the streams whose time is over, messages that are too old, and the order of names that nobody needs, as much as the
    /// budget allows.
    pub fn forget(&mut self, budget: &mut Budget) {
        while !budget.is_spent() && (self.forget_first() || self.forget_old_past()) {
            budget.spend(FORGET);
        }
        self.forget_fleeting(budget);
        while !budget.is_spent() && self.order.drop_one() {
            budget.spend(ORDER);
        }
        // Paid for.
        self.past.take_looks();
    }

    /// Forgets the stream that has been over for longest. False if there is none.
    pub(super) fn forget_first(&mut self) -> bool {
        if !self.has_ended() {
            return false;
        }
        if let Some((_, name)) = self.ended.first().cloned() {
            self.remove(&name);
        }
        true
    }

    /// Forgets the stream if its time is over.
    pub(super) fn forget_if_over(&mut self, name: &StreamName) {
        if !self.ended.is_empty() && self.streams.get(name).is_some_and(|stream| self.is_forgettable(stream)) {
            self.remove(name);
        }
        if self.is_applying() {
            self.renew(name);
        }
    }

    /// Whether the time of an ended stream is over.
    pub(super) fn is_forgettable(&self, stream: &Stream) -> bool {
        stream.run.ended.as_ref().is_some_and(|ended| ended.forget_at <= self.now)
    }

    /// The stream of this name, made if there is none yet.
    pub(super) fn stream(&mut self, name: &StreamName) -> &mut Named {
        if self.shared.is_some() {
            return self.shared_stream(name);
        }
        let (epochs, now, mark) = (&mut self.epochs, self.now, self.changes.at_birth());
        let (named, made) = self.streams.get_or_insert(name, || Stream::new(epochs.draw(), now, mark));
        if made {
            self.stored += place(name) + self.order.place() + self.changes.place();
            self.order.insert(&named.name);
            self.directory.note_new(&named.name);
        }
        named
    }

    /// The same where nodes share it, unless it is this node's own.
    #[cold]
    fn shared_stream(&mut self, name: &StreamName) -> &mut Named {
        let shared = self.shared_epoch(name);
        if shared.is_some() {
            self.bear_again(name);
        }
        let patient = self.patient_now();
        let (epochs, now, mark) = (&mut self.epochs, self.now, self.changes.at_birth());
        let (named, made) = self.streams.get_or_insert(name, || Stream::new(shared.unwrap_or_else(|| epochs.draw()), now, mark));
        if made {
            self.stored += place(name) + self.order.place() + self.changes.place();
            self.order.insert(&named.name);
            self.directory.note_new(&named.name);
            if let Some(space) = self.shared.as_mut().filter(|_| shared.is_some()) {
                space.list(named, patient);
            }
        }
        named
    }

    /// Takes a stream out of the table, if it is there, with all that is kept of it.
    pub(super) fn remove(&mut self, name: &StreamName) {
        self.take_back_end(name);
        if let Some(mut stream) = self.streams.remove(name) {
            if stream.run.common.is_some() {
                self.unlist_fleeting(name, &stream);
            }
            debug_assert_eq!(stream.listeners.len(), stream.run.by_prefix as usize, "{name:?} is forgotten while it is listened to");
            self.stored -= place(name) + self.order.place() + self.changes.place() + LISTENER * stream.listeners.len();
            if self.changes.is_kept() {
                self.note_gone(name, stream.run.is_stored);
            }
            self.tally.listeners -= stream.listeners.len();
            self.order.remove(name);
            self.directory.note_gone(name);
            self.owed += HANG_UP * stream.listeners.len();
            for listener in &stream.listeners {
                self.connections[listener.index()].remove(name);
            }
            self.past.clear(&mut stream.run, &self.queues);
            if let Some(listed) = stream.run.listed {
                self.past.listed.remove(&(listed, name.clone()));
            }
            if let Some(header) = stream.header {
                self.let_go(&header);
            }
        }
    }

    /// Stores a header in place of the one before; reopens the stream if it has ended. True if a run begins with it.
    pub(super) fn store_header(&mut self, name: &StreamName, header: Frame) -> Result<bool, Refused> {
        self.forget_if_over(name);
        let (known, before) = (self.is_there(name), header_cost(self.streams.get(name)));
        self.room_for_stream(name, known)?;
        self.room_to_keep(name, known, header.cost().saturating_sub(before))?;
        let begins = self.reopen(name) || !known;
        self.stored += header.cost();
        header.store(&self.queues);
        let now = self.now;
        let stream = &mut self.stream(name).stream;
        (stream.run.header_at, stream.run.is_old) = (seconds(now), false);
        if stream.state() == StreamState::Waiting {
            stream.run.since = millis(now);
        }
        if let Some(before) = stream.header.replace(header) {
            self.let_go(&before);
        }
        self.note_change(name);
        self.directory.note(name);
        Ok(begins)
    }

    /// Whether each of these headers could be stored in turn.
    pub(super) fn has_room_for(&mut self, name: &StreamName, extras: &[Extra]) -> bool {
        let largest = extras.iter().filter_map(|extra| extra.header.as_ref()).map(Frame::cost).max();
        let (known, before) = (self.is_there(name), header_cost(self.streams.get(name)));
        largest.is_none_or(|largest| {
            self.room_for_stream(name, known).is_ok() && self.room_to_keep(name, known, largest.saturating_sub(before)).is_ok()
        })
    }

    /// Stores the end of a stream that has none yet.
    pub(super) fn keep_end(&mut self, name: &StreamName, ended: Ended) {
        self.stored += ENDED;
        if let Some(last) = &ended.last {
            self.stored += last.cost();
            last.store(&self.queues);
        }
        let forget_at = ended.forget_at;
        let named = self.stream(name);
        named.stream.run.ended = Some(Box::new(ended));
        let name = named.name.clone();
        self.directory.note(&name);
        self.ended.insert((forget_at, name));
    }

    /// Begins another run of a stream that has ended: with an epoch of its own, and without the messages of the one before.
    /// False if it has not ended.
    fn reopen(&mut self, name: &StreamName) -> bool {
        if !self.take_back_end(name) {
            return false;
        }
        let shared = self.shared_epoch(name);
        if let Some(stream) = self.streams.get_mut(name) {
            self.past.clear(&mut stream.run, &self.queues);
            (stream.run.epoch, stream.run.since) = (shared.unwrap_or_else(|| self.epochs.draw()), millis(self.now));
            (stream.run.sequence, stream.run.bytes) = (0, 0);
        }
        true
    }

    /// Takes back the end of a stream. False if it has not ended.
    pub(super) fn take_back_end(&mut self, name: &StreamName) -> bool {
        if self.ended.is_empty() {
            return false;
        }
        let Some(ended) = self.streams.get_mut(name).and_then(|stream| stream.run.ended.take()) else { return false };
        self.ended.remove(&(ended.forget_at, name.clone()));
        self.stored -= ENDED;
        if let Some(last) = ended.last {
            self.let_go(&last);
        }
        true
    }

    /// Whether the stream is in the run that an action is meant for. What `opens` a stream is meant for one that has not ended.
    pub(super) fn check_epoch(&mut self, name: &StreamName, of: Option<Epoch>, opens: bool) -> Result<(), Refused> {
        let Some(of) = of else { return Ok(()) };
        self.forget_if_over(name);
        let reason = match self.streams.get(name).filter(|stream| !stream.run.is_over()) {
            None => format!("there is no stream of this name, so its run {of} is over; nothing was done"),
            Some(stream) if stream.run.epoch != of => {
                format!("the stream is in another run, {}, and {of} is over; nothing was done", stream.run.epoch)
            }
            Some(stream) if opens && stream.run.ended.is_some() => {
                format!("the stream has ended, and with it the run {of}; nothing was done; without \"of\" another run begins")
            }
            Some(_) => return Ok(()),
        };
        Err(Refused { code: ErrorCode::Stale, reason })
    }

    /// Whether a stream has neither a header nor an end.
    pub(super) fn check_absent(&mut self, name: &StreamName) -> Result<(), Refused> {
        self.forget_if_over(name);
        let stream = self.streams.get(name);
        let reason = match stream.map(Stream::state) {
            // A newer one may have been lost, which is now said again.
            Some(StreamState::Running | StreamState::Ended) if stream.is_some_and(|stream| stream.run.is_old) => return Ok(()),
            Some(StreamState::Running) => "the stream has a header, so nothing was done; without \"if\" it is replaced",
            Some(StreamState::Ended) => "the stream has ended, so nothing was done; without \"if\" another run begins",
            Some(StreamState::Waiting) | None => return Ok(()),
        };
        Err(Refused { code: ErrorCode::Stale, reason: reason.to_owned() })
    }

    /// Whether there may be a stream of this name, which is `known` or one more.
    pub(super) fn room_for_stream(&mut self, name: &StreamName, known: bool) -> Result<(), Refused> {
        if known {
            return Ok(());
        }
        // Streams that are over and not forgotten yet take no room from others, nor those of which only the past is left.
        let has_room = if self.shared.is_some() {
            self.has_shared_room(name)
        } else {
            while self.streams.len() >= self.limits.streams && (self.forget_first() || self.forget_past_only(Some(name))) {}
            self.streams.len() < self.limits.streams
        };
        if has_room {
            return Ok(());
        }
        let most = self.limits.streams;
        Err(Refused::limit(format!(
            "there are {most} streams, the most allowed (limits.streams); delete or close some, or raise the limit"
        )))
    }

    /// Whether a connection may listen to one more stream or prefix.
    pub(super) fn room_to_listen(&self, connection: ConnectionId) -> Result<(), Refused> {
        let streams = self.connections.get(connection.index()).map_or(0, Listens::len);
        let most = self.limits.listens;
        if streams + self.prefixes.count(connection) < most {
            return Ok(());
        }
        Err(Refused::limit(format!(
            "this connection listens to {most} streams and prefixes, the most allowed (limits.listens); hang up on some, or listen on another connection"
        )))
    }

    /// Whether there is room to keep `more` bytes of a stream, and its name unless it is `known`.
    pub(super) fn room_to_keep(&mut self, name: &StreamName, known: bool, more: usize) -> Result<(), Refused> {
        let place = if known { 0 } else { place(name) + self.order.place() + self.changes.place() };
        self.room_for(Some(name), more + place)
    }

    /// Whether `more` bytes can be kept. The stream is not given up for that.
    pub(super) fn room_for(&mut self, name: Option<&StreamName>, more: usize) -> Result<(), Refused> {
        if self.has_room(name, more) {
            return Ok(());
        }
        let most = self.limits.stored;
        Err(Refused::limit(format!(
            "headers, last messages, names and listeners of all streams, wills and sessions together would take more than {most} bytes, the most allowed (limits.headers_total); delete some streams, or raise the limit"
        )))
    }

    /// Whether `more` bytes can be kept. What is over and not forgotten yet is in nobody's way, the stream itself aside.
    pub(super) fn has_room(&mut self, name: Option<&StreamName>, more: usize) -> bool {
        if self.is_applying() {
            // There was, where it went into the log.
            return true;
        }
        while !self.fits(more) && (self.forget_first() || self.forget_past_only(name)) {}
        self.fits(more)
    }

    fn fits(&self, more: usize) -> bool {
        self.stored + self.changes.gone() + more <= self.limits.stored
    }

    /// A frame is stored no more.
    pub(super) fn let_go(&mut self, frame: &Frame) {
        self.stored -= frame.cost();
        let queues: &Gauge = &self.queues;
        frame.unstore(queues);
    }
}

fn header_cost(stream: Option<&Stream>) -> usize {
    stream.and_then(|stream| stream.header.as_ref()).map_or(0, Frame::cost)
}
