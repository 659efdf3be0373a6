//! How a connection becomes a listener.

use std::time::Duration;

use crate::wire::ids::{ConnectionId, StreamName};
use crate::wire::{Effect, Event, Position, ReceiptId, Start};

use super::budget::{Budget, PUSH};
use super::input::Deliver;
use super::listens::Listens;
use super::machine::{Core, Refused, answer};
use super::stream::{Beginning, LISTENER, Stream, millis};
use super::table::Named;

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
        let stream = self.streams.get(name);
        let is_known = stream.is_some();
        if let Some(stream) = stream
            && let Some(ended) = &stream.run.ended
        {
            self.begin(from, name, stream, start, receipt, budget, deliver);
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
        let position = self.connections[from.index()].position(name);
        if position.is_none() {
            if self.connections[from.index()].len() >= self.limits.listens {
                let most = self.limits.listens;
                return Err(Refused::limit(format!(
                    "this connection listens to {most} streams, the most allowed (limits.listens); hang up on some, or listen on another connection"
                )));
            }
            self.room_for_stream(name, is_known)?;
            self.room_to_keep(name, is_known, LISTENER)?;
        }
        // It goes on in another mode.
        let switches = position.filter(|position| self.streams.get(name).is_some_and(|stream| stream.is_latest(*position) != start.latest));
        if let Some(position) = switches {
            self.take_out(name, position);
        }
        let Named { name, stream } = self.stream(name);
        // The table's copy of the name, so that a thousand listeners do not keep a thousand copies.
        let name = name.clone();
        if position.is_none() || switches.is_some() {
            let (at, made_room) = stream.enter(from, start.latest);
            if let Some((moved, at)) = made_room {
                self.connections[moved.index()].insert(&name, at);
            }
            self.connections[from.index()].insert(&name, at);
        }
        if position.is_none() {
            self.stored += LISTENER;
        }
        if let Some(stream) = self.streams.get(&name) {
            self.begin(from, &name, stream, start, receipt, budget, deliver);
        }
        Ok(())
    }

    /// Takes the listener at this position out of a stream's list.
    #[cold]
    fn take_out(&mut self, name: &StreamName, position: usize) {
        let Some(stream) = self.streams.get_mut(name) else { return };
        let [one, other] = stream.take_out(position);
        for (moved, at) in one.into_iter().chain(other) {
            self.connections[moved.index()].insert(name, at);
        }
    }

    /// Tells a listener what has been: the header, unless it only goes on where it was; how the stream stands; the messages that it asked
    /// for, or the newest of them.
    #[expect(clippy::too_many_arguments, reason = "a step of its caller, which has them all")]
    fn begin(
        &self,
        to: ConnectionId,
        name: &StreamName,
        stream: &Stream,
        start: Start,
        receipt: Option<&ReceiptId>,
        budget: &mut Budget,
        deliver: &mut impl Deliver,
    ) {
        let run = &stream.run;
        let Beginning { before, here, resumed } = run.begin(start);
        if start.latest {
            deliver.begin_latest(to, name);
        }
        if let Some(header) = stream.header.as_ref().filter(|_| !resumed) {
            deliver.frame(to, header);
        }
        let effect = Effect {
            state: Some(stream.state()),
            age: Some(Duration::from_millis(millis(self.now).saturating_sub(run.since))),
            resumed: start.after.map(|_| resumed),
            missed: here.filter(|_| !resumed).map(|after| before.saturating_sub(after.sequence)),
            position: Some(Position { sequence: before, ..run.position() }),
            ..Effect::default()
        };
        answer(to, receipt, effect, deliver);
        let behind = run.sequence - before;
        let wanted = if start.latest { behind.min(1) } else { behind };
        for frame in run.window.iter().flat_map(|window| window.last(wanted)) {
            budget.spend(PUSH);
            if start.latest {
                deliver.latest(to, name, &frame, behind);
            } else {
                deliver.frame(to, &frame);
            }
        }
    }
}
