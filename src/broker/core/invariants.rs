//! What must always hold.

use crate::wire::Frame;
use crate::wire::ids::ConnectionId;

use super::changes::Mark;
use super::directory;
use super::listens::{Listens, Place};
use super::machine::Core;
use super::past::WINDOW;
use super::sessions::SESSION;
use super::stream::{ENDED, LISTENER, Stream, place};
use super::table::Named;

impl Core {
    /// What must hold for one connection after each step; called in debug builds.
    #[cfg(debug_assertions)]
    pub(super) fn assert_connection(&self, connection: ConnectionId) {
        let Some(Listens::One(name, place)) = self.connections.get(connection.index()) else { return };
        let listeners = self.streams.get(name).map(|stream| &stream.listeners);
        assert_eq!(listeners.and_then(|listeners| listeners.get(place.position())), Some(&connection), "{connection} is lost in {name:?}");
    }

    /// What must hold for everything; tests call it after each step.
    pub fn assert_invariants(&self) {
        let (mut stored, mut listeners, mut ended, mut listed, mut windows) = (0, 0, 0, 0, 0);
        for Named { name, stream } in self.streams.iter() {
            let run = &stream.run;
            assert!(!stream.is_empty() || run.listed.is_some(), "{name:?} says nothing and is still there");
            assert!(run.ended.is_none() || stream.listeners.is_empty(), "{name:?} has ended and is listened to");
            assert!(run.window.is_none() || run.listed.is_some(), "{name:?} is kept for ever");
            assert!(run.window.iter().all(|window| window.messages() <= run.sequence), "{name:?} has more messages than there have been");
            if let Some(at) = run.listed {
                assert!(self.past.listed.contains(&(at, name.clone())), "{name:?} is in no list");
                listed += 1;
            }
            windows += run.window.iter().map(|window| WINDOW + window.bytes()).sum::<usize>();
            assert!(run.latest as usize <= stream.listeners.len(), "{name:?} has more listeners to its latest message than listeners");
            let mut by_prefix = 0;
            for (position, listener) in stream.listeners.iter().enumerate() {
                let place = self.connections[listener.index()].get(name);
                assert_eq!(place.map(Place::position), Some(position), "{listener} is lost in {name:?}");
                by_prefix += u32::from(place.is_some_and(|place| !place.named));
            }
            assert_eq!(run.by_prefix, by_prefix, "those who listen to {name:?} by a prefix are miscounted");
            if let Some(end) = &run.ended {
                assert!(self.ended.contains(&(end.forget_at, name.clone())), "{name:?} is never forgotten");
                ended += 1;
            }
            listeners += stream.listeners.len();
            if self.changes.is_kept() && !name.is_reserved() {
                assert!(run.mark == Mark::Saved || self.changes.is_noted(name), "what has changed in {name:?} is never saved");
            }
            stored += place(name) + self.order.place() + self.changes.place() + kept(stream);
        }
        let listens: usize = self.connections.iter().map(Listens::len).sum();
        assert_eq!(listens, listeners, "connections and streams disagree on who listens");
        assert_eq!(self.tally.listeners, listeners, "the listeners are miscounted");
        assert_eq!(self.ended.len(), ended, "an end is of no stream");
        assert_eq!(self.past.listed.len(), listed, "what is listed is no stream");
        assert_eq!(windows, self.past.bytes, "the bytes of windows are miscounted");
        assert!(windows <= self.limits.replay.total, "windows take too much");
        self.sessions.assert_invariants();
        self.wills.assert_invariants();
        self.changes.assert_invariants();
        stored += self.wills.stored(self.changes.place()) + SESSION * self.sessions.len();
        assert_eq!(self.order.is_kept(), !self.prefixes.is_empty(), "the order of names is kept for nobody, or is not");
        let entries = self.streams.iter().filter(|named| directory::is_entry(&named.name));
        let watchers: usize = entries.map(|named| named.stream.listeners.len()).sum();
        self.directory.assert_watchers(watchers + self.prefixes.count_all(|prefix| directory::subjects(prefix).is_some()));
        self.order.assert_invariants(&self.streams);
        stored += self.prefixes.memory();
        assert_eq!(stored, self.stored, "the stored bytes are miscounted");
    }
}

/// What is kept of a stream beside its place.
fn kept(stream: &Stream) -> usize {
    let end = stream.run.ended.as_ref().map_or(0, |ended| ENDED + ended.last.as_ref().map_or(0, Frame::cost));
    stream.header.as_ref().map_or(0, Frame::cost) + end + LISTENER * stream.listeners.len()
}
