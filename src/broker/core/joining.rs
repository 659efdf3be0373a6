//! How a connection becomes a listener.

use std::time::Duration;

use crate::wire::ids::{ConnectionId, StreamName};
use crate::wire::{Effect, Event, Frame, Position, ReceiptId, Start, StreamState};

use super::budget::{Budget, PUSH};
use super::directory;
use super::input::Deliver;
use super::listens::{Listens, Place};
use super::machine::{Core, Refused, answer};
use super::stream::{Beginning, LISTENER, millis};
use super::table::Named;

/// By what a listener is told where it begins.
pub(super) enum Told<'a> {
    /// By the receipt of its action, if it asked for one.
    Receipt(Option<&'a ReceiptId>),
    /// By an event of its own, as it has not named the stream. Those who join at once are told the same, which is encoded once.
    Joined(&'a mut Option<Frame>),
}

impl Core {
    /// Delivers the header, if there is one, then the receipt, then what the listener asked for of the past, and enters the listener,
    /// all in one step: no message comes between. If the stream has ended, its end follows instead.
    pub(super) fn listen(
        &mut self,
        from: ConnectionId,
        name: &StreamName,
        start: Start,
        receipt: Option<&ReceiptId>,
        budget: &mut Budget,
        deliver: &mut impl Deliver,
    ) -> Result<(), Refused> {
        self.forget_if_over(name);
        self.publish_if_new(name, budget, deliver);
        let stream = self.streams.get(name);
        let is_known = stream.is_some();
        let told = Told::Receipt(receipt);
        if let Some(stream) = stream
            && stream.run.ended.is_some()
        {
            self.begin(from, name, start, told, budget, deliver);
            self.tell_end(from, name, deliver);
            return Ok(());
        }
        self.enter(from, name, is_known, true, start.latest)?;
        if !is_known {
            self.announce(name, budget, deliver);
        }
        self.begin(from, name, start, told, budget, deliver);
        Ok(())
    }

    /// A listener goes on in another mode, if it is another.
    fn switch(&mut self, from: ConnectionId, name: &StreamName, position: usize, latest: bool) {
        let Some(stream) = self.streams.get_mut(name).filter(|stream| stream.is_latest(position) != latest) else { return };
        let [one, other] = stream.take_out(position);
        let (at, made_room) = stream.enter(from, latest);
        for (moved, at) in one.into_iter().chain(other).chain(made_room) {
            self.connections[moved.index()].moved(name, at);
        }
        self.connections[from.index()].moved(name, at);
    }

    /// Enters a listener, by the stream's name or by a prefix, and makes the stream unless it is known. One that is there stays.
    pub(super) fn enter(
        &mut self,
        from: ConnectionId,
        name: &StreamName,
        is_known: bool,
        named: bool,
        latest: bool,
    ) -> Result<(), Refused> {
        if self.connections.len() <= from.index() {
            self.connections.resize_with(from.index() + 1, Listens::default);
        }
        if let Some(place) = self.connections[from.index()].get_mut(name) {
            let (position, may_switch) = (place.position(), named || !place.named);
            if named && !place.named {
                place.named = true;
                self.stream(name).stream.run.by_prefix -= 1;
            }
            if may_switch {
                self.switch(from, name, position, latest);
            }
            return Ok(());
        }
        self.room_to_listen(from)?;
        if self.shared.is_some() {
            // One that is not known was not brought into being for lack of room.
            self.room_to_keep(name, is_known, LISTENER)?;
        }
        self.room_for_stream(name, is_known)?;
        self.room_to_keep(name, is_known, LISTENER)?;
        let Named { name, stream } = self.stream(name);
        let (position, made_room) = stream.enter(from, latest);
        stream.run.by_prefix += u32::from(!named);
        // The table's copy of the name, so that a thousand listeners do not keep a thousand copies.
        let name = name.clone();
        if let Some((moved, at)) = made_room {
            self.connections[moved.index()].moved(&name, at);
        }
        self.connections[from.index()].insert(&name, Place::new(position, named));
        self.stored += LISTENER;
        self.tally.listeners += 1;
        self.directory.watch(usize::from(directory::is_entry(&name)));
        self.directory.note(&name);
        self.note_listeners(&name);
        Ok(())
    }

    /// Tells how a stream ended. Returns how many bytes that takes.
    pub(super) fn tell_end(&self, to: ConnectionId, name: &StreamName, deliver: &mut impl Deliver) -> usize {
        let Some(ended) = self.streams.get(name).and_then(|stream| stream.run.ended.as_ref()) else { return 0 };
        let Some(last) = &ended.last else {
            deliver.event(to, &Event::Close { stream: name, message: None });
            return 0;
        };
        deliver.frame(to, last);
        last.bytes().len()
    }

    /// Tells a listener what has been: the header, unless it only goes on where it was; how the stream stands; the messages that it asked
    /// for. Returns how many bytes the header and the messages take.
    pub(super) fn begin(
        &mut self,
        to: ConnectionId,
        name: &StreamName,
        start: Start,
        told: Told<'_>,
        budget: &mut Budget,
        deliver: &mut impl Deliver,
    ) -> usize {
        let Some(stream) = self.streams.get(name) else { return 0 };
        let mut bytes = 0;
        let run = &stream.run;
        // Of the directory nothing is kept that one could resume, and while nobody listens nobody counts what changes.
        let is_entry = directory::is_entry(name);
        let Beginning { before, here, resumed } = run.begin(if is_entry { Start::default() } else { start });
        // Of the directory nothing can be missing: how a stream stands is all there is to know.
        if start.after.is_some() && !is_entry {
            let count = if resumed { &mut self.tally.resumed } else { &mut self.tally.missed };
            *count += 1;
        }
        if start.latest {
            deliver.begin_latest(to, name);
        }
        // A stream of the directory has no header of its own.
        let entry = if is_entry { self.entry(name) } else { None };
        let header = entry.as_ref().or(stream.header.as_ref()).filter(|_| !resumed);
        if let Some(header) = header {
            deliver.frame(to, header);
            bytes += header.bytes().len();
        }
        let state = if entry.is_some() { StreamState::Running } else { stream.state() };
        let effect = Effect {
            state: Some(state),
            // One that has ended may have one or not; and what comes directly before may be a message of a stream that was forgotten.
            header: (state == StreamState::Ended).then_some(header.is_some()),
            age: Some(Duration::from_millis(millis(self.now).saturating_sub(run.since))),
            resumed: start.after.map(|_| resumed),
            missed: here.filter(|_| !resumed).map(|after| before.saturating_sub(after.sequence)),
            position: Some(Position { sequence: before, ..run.position() }),
            ..Effect::default()
        };
        match told {
            Told::Receipt(receipt) => answer(to, receipt, effect, deliver),
            Told::Joined(encoded) => deliver.event_again(to, &Event::Joined { stream: name, effect }, encoded),
        }
        let behind = run.sequence - before;
        let wanted = if start.latest { behind.min(1) } else { behind };
        for frame in run.window.iter().flat_map(|window| window.last(wanted)) {
            budget.spend(PUSH);
            if start.latest {
                deliver.latest(to, name, &frame, behind);
            } else {
                deliver.frame(to, &frame);
            }
            bytes += frame.bytes().len();
        }
        bytes
    }
}
