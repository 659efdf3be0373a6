//! One stream as a connection sees it: who listens, and who is about to. It does no I/O: it takes values and delivers events.
//!
//! On the wire the header comes as a put like any other; only the receipt that follows tells which it is. So while a
//! listener is joining, the latest put is held back: when the receipt comes, that put was either the header, or a message for
//! the listeners that had joined before.

use std::collections::VecDeque;

use crate::job::content::Content;
use crate::wire::{Position, StreamState};

use super::event::{Event, Reason};

/// A listener.
pub(crate) trait Take {
    /// Takes an event. False if the listener wants no more.
    fn take(&self, event: Event) -> bool;

    /// Learns the state of the stream, before the header.
    fn joined(&self, state: StreamState);
}

/// The listeners of one stream on one connection.
#[derive(Debug)]
pub(crate) struct Listened<L> {
    listeners: Vec<L>,
    /// Where they are: behind so many messages of a run. None if the broker does not say.
    position: Option<Position>,
    /// Joining listeners, in the order of the actions.
    joining: VecDeque<Joining<L>>,
    /// The latest put, as long as it may be the header for those who join.
    held: Option<Content>,
    /// All of them want the newest message only.
    latest: bool,
}

#[derive(Debug)]
struct Joining<L> {
    /// The receipt that they wait for.
    receipt: u64,
    listeners: Vec<L>,
    /// Where they were, if they have listened before.
    back: Option<Back>,
}

/// Where listeners were when their connection was lost.
#[derive(Debug, Clone)]
pub(crate) struct Back {
    pub(crate) position: Position,
    /// Why it was lost.
    pub(crate) reason: String,
}

/// What the receipt of a listen action says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Joined {
    pub(crate) state: StreamState,
    /// Nothing is missing behind the position that was asked for.
    pub(crate) resumed: bool,
    /// How many messages are missing, where that is known.
    pub(crate) missed: Option<u64>,
    pub(crate) position: Option<Position>,
}

impl<L> Default for Listened<L> {
    fn default() -> Self {
        Self { listeners: Vec::new(), position: None, joining: VecDeque::new(), held: None, latest: false }
    }
}

impl<L: Take> Listened<L> {
    /// Notes what those who join next want. Returns whether the connection is to listen to the newest message only: it is, if nobody here
    /// wants each.
    pub(crate) fn wants(&mut self, latest: bool) -> bool {
        self.latest = latest && (self.latest || self.is_empty());
        self.latest
    }

    /// Whether all of them want the newest message only.
    pub(crate) fn is_latest(&self) -> bool {
        self.latest
    }

    /// Adds listeners that join by the listen action with this receipt.
    pub(crate) fn join(&mut self, receipt: u64, listeners: Vec<L>) {
        self.joining.push_back(Joining { receipt, listeners, back: None });
    }

    /// Adds listeners that come back by the listen action with this receipt, which says where they were.
    pub(crate) fn join_again(&mut self, receipt: u64, listeners: Vec<L>, back: Back) {
        self.joining.push_back(Joining { receipt, listeners, back: Some(back) });
    }

    /// A put has come.
    pub(crate) fn put(&mut self, content: Content) {
        if self.joining.is_empty() {
            return self.deliver_message(content);
        }
        // So the put that was held back was not the header.
        let held = self.held.replace(content);
        self.deliver_held(held);
    }

    /// So many messages were replaced by the next one.
    pub(crate) fn skipped(&mut self, messages: u64) {
        // So the put that was held back was not the header, which comes directly before the receipt.
        let held = self.held.take();
        self.deliver_held(held);
        if let Some(position) = &mut self.position {
            position.sequence += messages;
        }
        self.deliver(&Event::Skipped { messages });
    }

    /// A close of the stream has come. If there is no listener, it crossed a hangup.
    pub(crate) fn close(&mut self, message: Option<Content>) {
        let held = self.held.take();
        self.deliver_held(held);
        // A listener that still wants more had no room for the end, and has yet to be told of it.
        self.deliver(&Event::Ended { message });
    }

    /// The receipt of a listen action has come. If the stream has ended, its close comes next.
    pub(crate) fn joined(&mut self, receipt: u64, joined: Joined) {
        let Some(Joining { listeners, back, .. }) = self.newcomers(receipt) else { return };
        let Joined { state, resumed, missed, position } = joined;
        let held = self.held.take();
        let header = match state {
            StreamState::Running | StreamState::Ended if !resumed => held,
            StreamState::Waiting | StreamState::Running | StreamState::Ended => {
                self.deliver_held(held);
                None
            }
        };
        self.position = position;
        let gap = back.filter(|_| !resumed).map(|Back { reason, .. }| Event::Reconnected { reason, missed });
        for listener in listeners {
            if gap.clone().is_some_and(|gap| !listener.take(gap)) {
                continue;
            }
            listener.joined(state);
            if header.clone().is_none_or(|header| listener.take(Event::Header(header))) {
                self.listeners.push(listener);
            }
        }
    }

    /// A listen action was refused.
    pub(crate) fn refused(&mut self, receipt: u64, reason: &Reason) {
        let held = self.held.take();
        self.deliver_held(held);
        for listener in self.newcomers(receipt).into_iter().flat_map(|newcomers| newcomers.listeners) {
            listener.take(Event::CutOff(reason.clone()));
        }
    }

    /// Gives an event other than a message to all listeners.
    pub(crate) fn tell(&mut self, event: &Event) {
        let held = self.held.take();
        self.deliver_held(held);
        self.deliver(event);
        for joining in &mut self.joining {
            joining.listeners.retain(|listener| listener.take(event.clone()));
        }
    }

    /// The connection was lost: those who have listened before, with where they were, and the others, so that all can join again. Who
    /// has listened before and cannot say where is told at once that messages may be missing.
    pub(crate) fn lost(mut self, reason: &str) -> (Option<(Back, Vec<L>)>, Vec<L>) {
        // What is held back may be a header, whose receipt was lost. If it was a message, it comes again.
        self.held = None;
        let mut before = None;
        let mut newcomers = Vec::new();
        if let Some(position) = self.position {
            before = Some((Back { position, reason: reason.to_owned() }, self.listeners));
        } else {
            self.deliver(&Event::Reconnected { reason: reason.to_owned(), missed: None });
            newcomers = self.listeners;
        }
        for Joining { listeners, back, .. } in self.joining {
            match back {
                // They had not come back yet, so nobody else had either.
                Some(back) => before = Some((back, listeners)),
                None => newcomers.extend(listeners),
            }
        }
        (before.filter(|(_, listeners)| !listeners.is_empty()), newcomers)
    }

    /// Removes listeners that have gone.
    pub(crate) fn leave(&mut self, gone: impl Fn(&L) -> bool) {
        self.listeners.retain(|listener| !gone(listener));
        for joining in &mut self.joining {
            joining.listeners.retain(|listener| !gone(listener));
        }
    }

    /// All listeners, joined or joining.
    #[cfg(feature = "broker")]
    pub(crate) fn all(&self) -> impl Iterator<Item = &L> {
        self.listeners.iter().chain(self.joining.iter().flat_map(|joining| &joining.listeners))
    }

    /// Whether there is no listener, joined or joining.
    pub(crate) fn is_empty(&self) -> bool {
        self.listeners.is_empty() && self.joining.iter().all(|joining| joining.listeners.is_empty())
    }

    /// The listeners that wait for this receipt. Receipts come in the order of the actions, so those before it will not come.
    fn newcomers(&mut self, receipt: u64) -> Option<Joining<L>> {
        let position = self.joining.iter().position(|joining| joining.receipt == receipt)?;
        self.joining.drain(..=position).next_back()
    }

    fn deliver_held(&mut self, held: Option<Content>) {
        if let Some(held) = held {
            self.deliver_message(held);
        }
    }

    fn deliver_message(&mut self, content: Content) {
        if let Some(position) = &mut self.position {
            position.sequence += 1;
        }
        self.deliver(&Event::Message(content));
    }

    fn deliver(&mut self, event: &Event) {
        self.listeners.retain(|listener| listener.take(event.clone()));
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;
    use crate::wire::Epoch;

    #[derive(Clone, Default)]
    struct Seen(Rc<RefCell<Vec<String>>>);

    impl Take for Seen {
        fn take(&self, event: Event) -> bool {
            self.0.borrow_mut().push(match &event {
                Event::Header(content) => format!("header {content}"),
                Event::Message(content) => content.to_string(),
                Event::Ended { message: None } => "ended".to_owned(),
                Event::Ended { message: Some(content) } => format!("ended {content}"),
                other => format!("{other:?}"),
            });
            !event.is_last()
        }

        fn joined(&self, state: StreamState) {
            self.0.borrow_mut().push(state.as_str().to_owned());
        }
    }

    impl Seen {
        fn text(&self) -> String {
            self.0.borrow().join(", ")
        }
    }

    /// What one is told that listens for the first time, by a broker that does not count.
    fn first(state: StreamState) -> Joined {
        Joined { state, resumed: false, missed: None, position: None }
    }

    fn at(sequence: u64) -> Position {
        Position { epoch: Epoch::new(1), sequence }
    }

    fn content(text: &str) -> Content {
        Content::from_json(text).unwrap()
    }

    #[test]
    fn the_put_before_the_receipt_is_the_header_if_the_stream_has_one() {
        for (state, expected) in [(StreamState::Running, "running, header 1, 2"), (StreamState::Waiting, "waiting, 2")] {
            let (mut stream, seen) = (Listened::default(), Seen::default());
            stream.join(7, vec![seen.clone()]);
            stream.put(content("1"));
            stream.joined(7, first(state));
            stream.put(content("2"));
            assert_eq!(seen.text(), expected);
        }
    }

    #[test]
    fn what_was_skipped_counts_for_the_position_and_is_no_header() {
        let (mut stream, seen) = (Listened::default(), Seen::default());
        assert!(stream.wants(true));
        stream.join(1, vec![seen.clone()]);
        stream.joined(1, Joined { position: Some(at(7)), ..first(StreamState::Waiting) });
        stream.join(2, vec![Seen::default()]);
        stream.put(content("8"));
        stream.skipped(3);
        stream.put(content("12"));
        stream.joined(2, Joined { position: Some(at(12)), ..first(StreamState::Waiting) });
        assert_eq!(seen.text(), "waiting, 8, Skipped { messages: 3 }, 12");
        assert_eq!(stream.lost("").0.unwrap().0.position, at(12));
    }

    #[test]
    fn a_connection_listens_to_the_newest_only_if_nobody_wants_each() {
        let mut stream = Listened::default();
        assert!(stream.wants(true));
        stream.join(1, vec![Seen::default()]);
        assert!(stream.wants(true));
        assert!(!stream.wants(false));
        stream.join(2, vec![Seen::default()]);
        assert!(!stream.wants(true));
    }

    #[test]
    fn who_listens_already_gets_messages_and_not_the_newcomers_header() {
        let (mut stream, one, other) = (Listened::default(), Seen::default(), Seen::default());
        stream.join(1, vec![one.clone()]);
        stream.joined(1, first(StreamState::Waiting));
        stream.join(2, vec![other.clone()]);
        for message in ["1", "2", "9"] {
            stream.put(content(message));
        }
        stream.joined(2, first(StreamState::Running));
        stream.put(content("3"));
        stream.close(Some(content("4")));
        assert_eq!(one.text(), "waiting, 1, 2, 3, ended 4");
        assert_eq!(other.text(), "running, header 9, 3, ended 4");
        assert!(stream.is_empty());
    }

    #[test]
    fn an_end_that_came_before_is_told_to_the_newcomer_alone() {
        let (mut stream, one, other) = (Listened::default(), Seen::default(), Seen::default());
        stream.join(1, vec![one.clone()]);
        stream.joined(1, first(StreamState::Waiting));
        stream.join(2, vec![other.clone()]);
        stream.put(content("1"));
        stream.close(None);
        stream.put(content("9"));
        stream.joined(2, first(StreamState::Ended));
        stream.close(Some(content("2")));
        assert_eq!(one.text(), "waiting, 1, ended");
        assert_eq!(other.text(), "ended, header 9, ended 2");
        assert!(stream.is_empty());
    }

    #[test]
    fn what_was_under_way_to_one_who_left_reaches_nobody() {
        let (mut stream, seen) = (Listened::default(), Seen::default());
        // The connection had listened, and hung up; these were sent before the broker knew.
        stream.join(2, vec![seen.clone()]);
        stream.put(content("1"));
        stream.close(None);
        stream.put(content("9"));
        stream.joined(2, first(StreamState::Running));
        assert_eq!(seen.text(), "running, header 9");

        let (mut stream, seen) = (Listened::default(), Seen::default());
        stream.join(2, vec![seen.clone()]);
        stream.put(content("1"));
        stream.close(None);
        stream.joined(2, first(StreamState::Ended));
        stream.close(Some(content("2")));
        assert_eq!(seen.text(), "ended, ended 2");
    }

    #[test]
    fn a_refused_newcomer_takes_nothing_from_the_others() {
        let (mut stream, one, other) = (Listened::default(), Seen::default(), Seen::default());
        stream.join(1, vec![one.clone()]);
        stream.joined(1, first(StreamState::Waiting));
        stream.join(2, vec![other.clone()]);
        stream.put(content("1"));
        stream.refused(2, &Reason { code: "limit".to_owned(), reason: "too many".to_owned() });
        assert_eq!(one.text(), "waiting, 1");
        assert!(other.text().starts_with("CutOff"), "{}", other.text());
    }

    /// A listener that has had one message when its connection is lost, and where it was.
    fn lost(seen: &Seen) -> (Back, Vec<Seen>) {
        let mut stream = Listened::default();
        stream.join(1, vec![seen.clone()]);
        stream.put(content("0"));
        stream.joined(1, Joined { position: Some(at(7)), ..first(StreamState::Running) });
        stream.put(content("1"));
        // While another one joins, what comes may be its header: its receipt is lost.
        stream.join(2, vec![Seen::default()]);
        stream.put(content("0"));
        let (before, newcomers) = stream.lost("end of file");
        assert_eq!(newcomers.len(), 1);
        before.unwrap()
    }

    #[test]
    fn one_that_comes_back_and_missed_nothing_is_told_nothing() {
        let seen = Seen::default();
        let (back, listeners) = lost(&seen);
        assert_eq!(back.position, at(8));
        // And again before it has come back.
        let mut stream = Listened::default();
        stream.join_again(1, listeners, back);
        let (before, _) = stream.lost("another");
        let (back, listeners) = before.unwrap();
        assert_eq!((back.position, &*back.reason), (at(8), "end of file"));

        let mut stream = Listened::default();
        stream.join_again(1, listeners, back);
        stream.joined(1, Joined { resumed: true, position: Some(at(8)), ..first(StreamState::Running) });
        stream.put(content("2"));
        assert_eq!(seen.text(), "running, header 0, 1, running, 2");
        assert_eq!(stream.lost("").0.unwrap().0.position, at(9));
    }

    #[test]
    fn one_that_comes_back_and_missed_something_is_told_how_much() {
        let seen = Seen::default();
        let (back, listeners) = lost(&seen);
        let mut stream = Listened::default();
        stream.join_again(1, listeners, back);
        stream.put(content("5"));
        stream.joined(1, Joined { missed: Some(3), position: Some(at(12)), ..first(StreamState::Running) });
        let gap = format!("{:?}", Event::Reconnected { reason: "end of file".to_owned(), missed: Some(3) });
        assert_eq!(seen.text(), format!("running, header 0, 1, {gap}, running, header 5"));
    }
}
