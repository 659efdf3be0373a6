//! What comes into being is joined by those who listen to prefixes of its name.

use crate::wire::ids::{ConnectionId, StreamName};
use crate::wire::{Frame, Start};

use super::budget::{Budget, JOIN};
use super::directory;
use super::input::{Deliver, Input};
use super::machine::{Core, Refused};
use super::walking::not_joined;

impl Core {
    /// Has the listeners of its prefixes join a stream that has come into being, or that was opened again.
    pub(super) fn announce(&mut self, name: &StreamName, budget: &mut Budget, deliver: &mut impl Deliver) {
        // Those of the directory are announced when there is something to tell of them.
        if self.prefixes.is_empty() || directory::is_entry(name) {
            return;
        }
        budget.spend(name.as_str().len());
        let mut encoded = None;
        for listener in self.prefixes.joining(name, budget) {
            budget.spend(JOIN);
            let start = Start { latest: self.prefixes.wants_latest(listener, name, budget), ..Start::default() };
            self.join(listener, name, start, &mut encoded, budget, deliver);
        }
    }

    /// Tells the listeners of its prefixes that they miss what was put to a stream that nobody has seen and that there is no room for.
    pub(super) fn tell_missed(&mut self, name: &StreamName, refused: &Refused, budget: &mut Budget, deliver: &mut impl Deliver) {
        if self.prefixes.is_empty() {
            return;
        }
        for listener in self.prefixes.joining(name, budget) {
            budget.spend(JOIN);
            not_joined(listener, name, refused, deliver);
        }
    }

    /// Whether the stream comes into being, or is opened again, by what comes next, and somebody listens to a prefix of its name.
    pub(super) fn is_born_to_listeners(&self, name: &StreamName) -> bool {
        !self.prefixes.is_empty()
            && self.streams.get(name).is_none_or(|stream| stream.run.ended.is_some() || stream.run.is_over())
            && self.prefixes.match_any(name)
    }

    /// Whether a stream that all nodes have, and that has ended, is opened again by what comes next.
    pub(super) fn is_reopened_on_all_nodes(&self, name: &StreamName) -> bool {
        self.shared.is_some() && self.streams.get(name).is_some_and(|stream| stream.run.ended.is_some())
    }

    /// Who joins the stream that an input brings into being, and what they are given of it that has at least `length` bytes.
    pub(super) fn born<'a>(&self, input: &'a Input, length: usize) -> Option<(Vec<ConnectionId>, Vec<&'a Frame>)> {
        let (stream, frame, extras) = match input {
            Input::Put { stream, run, extras, .. } => (stream, run, &extras[..]),
            Input::Header { stream, header: frame, .. } | Input::Close { stream, last: frame, .. } => (stream, frame, &[][..]),
            Input::Listen { .. }
            | Input::ListenPrefix { .. }
            | Input::Hangup { .. }
            | Input::HangupPrefix { .. }
            | Input::Delete { .. }
            | Input::Will { .. }
            | Input::Session { .. }
            | Input::Answer(_)
            | Input::Leave { .. } => return None,
        };
        let frames = extras.iter().filter_map(|extra| extra.header.as_ref()).chain([frame]);
        let long: Vec<_> = frames.filter(|frame| frame.bytes().len() >= length).collect();
        // Known streams are not looked up for nothing.
        (!long.is_empty() && self.is_born_to_listeners(stream)).then(|| (self.prefixes.joining(stream, &mut Budget::unlimited()), long))
    }
}
