//! One stream as a connection sees it: who listens, and who is about to. It does no I/O: it takes values and delivers events.
//!
//! On the wire the header comes as a put like any other; only the receipt that follows tells which it is. So while a
//! listener is joining, the latest put is held back: when the receipt comes, that put was either the header, or a message for
//! the listeners that had joined before.

use std::collections::VecDeque;

use crate::job::content::Content;
use crate::wire::{Position, Start, StreamState};

use super::event::{Event, Joined, Reason};

/// A listener.
pub(crate) trait Take {
    /// Takes an event. False if the listener wants no more.
    fn take(&self, event: Event) -> bool;

    /// Learns how the stream stands, and where this listener begins; before the header.
    fn joined(&self, joined: Joined);
}

/// The listeners of one stream on one connection.
#[derive(Debug)]
pub(crate) struct Listened<L> {
    listeners: Vec<Seat<L>>,
    /// Where the connection is: behind so many messages of a run. None if the broker does not say.
    position: Option<Position>,
    /// Joining listeners, in the order of the actions.
    joining: VecDeque<Joining<L>>,
    /// The latest put, as long as it may be the header for those who join.
    held: Option<Content>,
    /// All of them want the newest message only.
    latest: bool,
}

/// A listener that has joined, and how many messages of the run it has had. Who joins with earlier messages makes the connection
/// get them again, which is for that listener alone.
#[derive(Debug)]
pub(crate) struct Seat<L> {
    listener: L,
    had: u64,
}

#[derive(Debug)]
struct Joining<L> {
    /// The receipt that they wait for.
    receipt: u64,
    listeners: Vec<Seat<L>>,
    from: From,
}

/// Where those who join begin.
#[derive(Debug, Clone)]
pub(crate) enum From {
    Start(Start),
    /// Where they were, since they have listened before.
    Back(Back),
    /// With all of it, as far as the broker has it: it came into being while its listener's connection was lost, for this reason.
    Birth(String),
}

/// Where listeners were when their connection was lost.
#[derive(Debug, Clone)]
pub(crate) struct Back {
    pub(crate) position: Position,
    /// Why it was lost.
    pub(crate) reason: String,
}

impl From {
    fn back(&self) -> Option<&Back> {
        if let Self::Back(back) = self { Some(back) } else { None }
    }

    /// What those are told who do not get all that they asked for, but begin behind so many messages.
    fn gap(&self, missed: Option<u64>, begins: u64) -> Option<Event> {
        match self {
            Self::Birth(reason) => (begins > 0).then(|| Event::Reconnected { reason: reason.clone(), missed: Some(begins) }),
            Self::Back(Back { reason, .. }) => Some(Event::Reconnected { reason: reason.clone(), missed }),
            Self::Start(start) => start.after.map(|_| Event::Reconnected { reason: NOT_KEPT.to_owned(), missed }),
        }
    }
}

/// Why messages are missing for those who were left out by their own connection.
const LEFT: &str = "this program has hung up the stream while it listened to a prefix of it";

/// What is told in front of the header if messages are missing that were asked for.
const NOT_KEPT: &str = "the broker does not have all that followed the position at which this listener was to begin";

impl<L> Seat<L> {
    /// One that has had nothing yet.
    pub(crate) fn new(listener: L) -> Self {
        Self { listener, had: 0 }
    }

    pub(crate) fn listener(&self) -> &L {
        &self.listener
    }
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
    pub(crate) fn join(&mut self, receipt: u64, start: Start, listeners: Vec<L>) {
        let listeners = listeners.into_iter().map(Seat::new).collect();
        self.joining.push_back(Joining { receipt, listeners, from: From::Start(start) });
    }

    /// Adds listeners that come back by the listen action with this receipt, which says where they were.
    pub(crate) fn join_again(&mut self, receipt: u64, listeners: Vec<Seat<L>>, back: Back) {
        self.joining.push_back(Joining { receipt, listeners, from: From::Back(back) });
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
        let Some(position) = &mut self.position else { return self.deliver(&Event::Skipped { messages }) };
        let before = position.sequence;
        position.sequence = before.saturating_add(messages);
        let at = position.sequence;
        self.listeners.retain_mut(|seat| {
            // Some of them may have been had before the connection went back for another listener.
            let messages = at.saturating_sub(seat.had.max(before));
            seat.had = seat.had.max(at);
            messages == 0 || seat.listener.take(Event::Skipped { messages })
        });
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
        let Some(Joining { listeners, from, .. }) = self.newcomers(receipt) else { return };
        let Joined { state, resumed, position, .. } = joined;
        let held = self.held.take();
        let header = match state {
            StreamState::Running | StreamState::Ended if !resumed => held,
            StreamState::Waiting | StreamState::Running | StreamState::Ended => {
                self.deliver_held(held);
                None
            }
        };
        self.stand(position);
        for seat in listeners {
            self.enter(seat, &from, header.as_ref(), joined);
        }
    }

    /// A stream was joined by a prefix, behind its header if it has one: by these, and again by those who are here already.
    pub(crate) fn announced(&mut self, newcomers: Vec<(Seat<L>, From)>, header: Option<Content>, joined: Joined) {
        let held = self.held.take();
        self.deliver_held(held);
        self.stand(joined.position);
        let begins = joined.position.map_or(0, |position| position.sequence);
        let behind: Vec<_> = self.listeners.extract_if(.., |seat| seat.had < begins).collect();
        for seat in behind {
            // Nobody listened for a moment, between a hangup of the stream and the listen of the prefix.
            let back =
                joined.position.map(|position| Back { position: Position { sequence: seat.had, ..position }, reason: LEFT.to_owned() });
            let missed = Some(begins - seat.had);
            let from = back.map_or(From::Start(Start::default()), From::Back);
            self.enter(seat, &from, header.as_ref(), Joined { resumed: false, missed, ..joined });
        }
        for (seat, from) in newcomers {
            // The broker was not asked where a listener has too many streams to name them all.
            let same_run = from.back().filter(|back| joined.position.is_some_and(|position| position.epoch == back.position.epoch));
            let missed = joined.missed.or(same_run.map(|back| begins.saturating_sub(back.position.sequence)).filter(|_| !joined.resumed));
            self.enter(seat, &from, header.as_ref(), Joined { missed, ..joined });
        }
    }

    /// The connection is there now.
    fn stand(&mut self, position: Option<Position>) {
        if self.position.map(|position| position.epoch) != position.map(|position| position.epoch) {
            self.listeners.iter_mut().for_each(|seat| seat.had = 0);
        }
        self.position = position;
    }

    /// One joins, or comes back.
    fn enter(&mut self, Seat { listener, had }: Seat<L>, from: &From, header: Option<&Content>, joined: Joined) {
        let Joined { resumed, missed, position, .. } = joined;
        // One that comes back may have had more than its connection, which had gone back for another listener.
        let ahead = from.back().map_or(0, |back| had.saturating_sub(back.position.sequence));
        let missed = missed.map(|missed| missed.saturating_sub(ahead));
        let misses_nothing = from.back().is_some() && (resumed || missed == Some(0));
        let begins = position.map_or(0, |position| position.sequence);
        let gap = if resumed || misses_nothing { None } else { from.gap(missed, begins) };
        if gap.is_some_and(|gap| !listener.take(gap)) {
            return;
        }
        let had = if misses_nothing { had.max(begins) } else { begins };
        listener.joined(Joined { missed, position: position.map(|position| Position { sequence: had, ..position }), ..joined });
        let header = header.filter(|_| !misses_nothing);
        if header.is_none_or(|header| listener.take(Event::Header(header.clone()))) {
            self.listeners.push(Seat { listener, had });
        }
    }

    /// A listen action was refused.
    pub(crate) fn refused(&mut self, receipt: u64, reason: &Reason) {
        let held = self.held.take();
        self.deliver_held(held);
        for seat in self.newcomers(receipt).into_iter().flat_map(|newcomers| newcomers.listeners) {
            seat.listener.take(Event::CutOff(reason.clone()));
        }
    }

    /// Gives a last event to all listeners.
    pub(crate) fn tell(&mut self, event: &Event) {
        // What is held back may be the header of one who joins. It is the last event, so nobody misses a message for it.
        self.held = None;
        self.deliver(event);
        for joining in &mut self.joining {
            joining.listeners.retain(|seat| seat.listener.take(event.clone()));
        }
    }

    /// The connection was lost: those who have listened before, with where they were, and the others, with where they begin, so that all
    /// can join again. Who has listened before and cannot say where, or may not resume there, is told at once that messages may be missing.
    #[expect(clippy::type_complexity, reason = "each part is told once, here")]
    pub(crate) fn lost(mut self, reason: &str, may_resume: bool) -> (Option<(Back, Vec<Seat<L>>)>, Vec<(Start, Vec<L>)>) {
        // What is held back may be a header, whose receipt was lost. If it was a message, it comes again.
        self.held = None;
        self.position = self.position.filter(|_| may_resume);
        let mut before = None;
        let mut newcomers = Vec::new();
        if let Some(position) = self.position {
            before = Some((Back { position, reason: reason.to_owned() }, self.listeners));
        } else {
            self.deliver(&Event::Reconnected { reason: reason.to_owned(), missed: None });
            newcomers.push((Start::default(), self.listeners));
        }
        for Joining { listeners, from, .. } in self.joining {
            match from {
                // They had not come back yet, so nobody else had either.
                From::Back(back) if may_resume => before = Some((back, listeners)),
                From::Back(Back { reason, .. }) => {
                    let gap = Event::Reconnected { reason, missed: None };
                    let seats: Vec<_> = listeners.into_iter().filter(|seat| seat.listener.take(gap.clone())).collect();
                    newcomers.push((Start::default(), seats));
                }
                From::Start(start) => newcomers.push((start, listeners)),
                // Only who listens to a prefix begins so, and waits for no receipt.
                From::Birth(_) => newcomers.push((Start::default(), listeners)),
            }
        }
        let newcomers = newcomers.into_iter().filter(|(_, seats)| !seats.is_empty());
        let newcomers = newcomers.map(|(start, seats)| (start, seats.into_iter().map(|seat| seat.listener).collect()));
        (before.filter(|(_, listeners)| !listeners.is_empty()), newcomers.collect())
    }

    /// Removes listeners that have gone.
    pub(crate) fn leave(&mut self, gone: impl Fn(&L) -> bool) {
        self.listeners.retain(|seat| !gone(&seat.listener));
        for joining in &mut self.joining {
            joining.listeners.retain(|seat| !gone(&seat.listener));
        }
    }

    /// All listeners, joined or joining.
    pub(crate) fn all(&self) -> impl Iterator<Item = &L> {
        self.listeners.iter().chain(self.joining.iter().flat_map(|joining| &joining.listeners)).map(|seat| &seat.listener)
    }

    /// Where the connection is.
    pub(crate) fn position(&self) -> Option<Position> {
        self.position
    }

    /// Whether the answer to a listen action is awaited.
    pub(crate) fn is_joining(&self) -> bool {
        !self.joining.is_empty()
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
        let Some(position) = &mut self.position else { return self.deliver(&Event::Message(content)) };
        position.sequence = position.sequence.saturating_add(1);
        let (at, event) = (position.sequence, Event::Message(content));
        self.listeners.retain_mut(|seat| {
            let is_new = seat.had < at;
            seat.had = seat.had.max(at);
            !is_new || seat.listener.take(event.clone())
        });
    }

    fn deliver(&mut self, event: &Event) {
        self.listeners.retain(|seat| seat.listener.take(event.clone()));
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::rc::Rc;

    use super::*;
    use crate::wire::Epoch;

    /// What a listener was told, and where it was when it joined last.
    #[derive(Clone, Default)]
    struct Seen(Rc<RefCell<Vec<String>>>, Rc<Cell<Option<u64>>>);

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

        fn joined(&self, joined: Joined) {
            self.0.borrow_mut().push(joined.state.as_str().to_owned());
            self.1.set(joined.position.map(|position| position.sequence));
        }
    }

    impl Seen {
        fn text(&self) -> String {
            self.0.borrow().join(", ")
        }
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
            stream.join(7, Start::default(), vec![seen.clone()]);
            stream.put(content("1"));
            stream.joined(7, Joined::new(state));
            stream.put(content("2"));
            assert_eq!(seen.text(), expected);
        }
    }

    #[test]
    fn what_was_skipped_counts_for_the_position_and_is_no_header() {
        let (mut stream, seen) = (Listened::default(), Seen::default());
        assert!(stream.wants(true));
        stream.join(1, Start::default(), vec![seen.clone()]);
        stream.joined(1, Joined { position: Some(at(7)), ..Joined::new(StreamState::Waiting) });
        stream.join(2, Start::default(), vec![Seen::default()]);
        stream.put(content("8"));
        stream.skipped(3);
        stream.put(content("12"));
        stream.joined(2, Joined { position: Some(at(12)), ..Joined::new(StreamState::Waiting) });
        assert_eq!(seen.text(), "waiting, 8, Skipped { messages: 3 }, 12");
        assert_eq!(stream.lost("", true).0.unwrap().0.position, at(12));
    }

    // Seen to fail: one that had had the messages was told that they were skipped, and counted them again.
    #[test]
    fn nobody_is_told_that_was_skipped_what_it_has_had() {
        let (mut stream, one, other) = (Listened::default(), Seen::default(), Seen::default());
        assert!(stream.wants(true));
        stream.join(1, Start::default().latest(true), vec![one.clone()]);
        stream.joined(1, Joined { position: Some(at(7)), ..Joined::new(StreamState::Waiting) });
        stream.join(2, Start::default().latest(true).last(5), vec![other.clone()]);
        stream.joined(2, Joined { position: Some(at(2)), ..Joined::new(StreamState::Waiting) });
        stream.skipped(4);
        stream.put(content("7"));
        // The first has had but one of these.
        stream.skipped(2);
        stream.put(content("10"));
        assert_eq!(one.text(), "waiting, Skipped { messages: 2 }, 10");
        assert_eq!(other.text(), "waiting, Skipped { messages: 4 }, 7, Skipped { messages: 2 }, 10");
    }

    #[test]
    fn a_connection_listens_to_the_newest_only_if_nobody_wants_each() {
        let mut stream = Listened::default();
        assert!(stream.wants(true));
        stream.join(1, Start::default(), vec![Seen::default()]);
        assert!(stream.wants(true));
        assert!(!stream.wants(false));
        stream.join(2, Start::default(), vec![Seen::default()]);
        assert!(!stream.wants(true));
    }

    #[test]
    fn who_listens_already_gets_messages_and_not_the_newcomers_header() {
        let (mut stream, one, other) = (Listened::default(), Seen::default(), Seen::default());
        stream.join(1, Start::default(), vec![one.clone()]);
        stream.joined(1, Joined::new(StreamState::Waiting));
        stream.join(2, Start::default(), vec![other.clone()]);
        for message in ["1", "2", "9"] {
            stream.put(content(message));
        }
        stream.joined(2, Joined::new(StreamState::Running));
        stream.put(content("3"));
        stream.close(Some(content("4")));
        assert_eq!(one.text(), "waiting, 1, 2, 3, ended 4");
        assert_eq!(other.text(), "running, header 9, 3, ended 4");
        assert!(stream.is_empty());
    }

    #[test]
    fn an_end_that_came_before_is_told_to_the_newcomer_alone() {
        let (mut stream, one, other) = (Listened::default(), Seen::default(), Seen::default());
        stream.join(1, Start::default(), vec![one.clone()]);
        stream.joined(1, Joined::new(StreamState::Waiting));
        stream.join(2, Start::default(), vec![other.clone()]);
        stream.put(content("1"));
        stream.close(None);
        stream.put(content("9"));
        stream.joined(2, Joined::new(StreamState::Ended));
        stream.close(Some(content("2")));
        assert_eq!(one.text(), "waiting, 1, ended");
        assert_eq!(other.text(), "ended, header 9, ended 2");
        assert!(stream.is_empty());
    }

    #[test]
    fn what_was_under_way_to_one_who_left_reaches_nobody() {
        let (mut stream, seen) = (Listened::default(), Seen::default());
        // The connection had listened, and hung up; these were sent before the broker knew.
        stream.join(2, Start::default(), vec![seen.clone()]);
        stream.put(content("1"));
        stream.close(None);
        stream.put(content("9"));
        stream.joined(2, Joined::new(StreamState::Running));
        assert_eq!(seen.text(), "running, header 9");

        let (mut stream, seen) = (Listened::default(), Seen::default());
        stream.join(2, Start::default(), vec![seen.clone()]);
        stream.put(content("1"));
        stream.close(None);
        stream.joined(2, Joined::new(StreamState::Ended));
        stream.close(Some(content("2")));
        assert_eq!(seen.text(), "ended, ended 2");
    }

    #[test]
    fn a_refused_newcomer_takes_nothing_from_the_others() {
        let (mut stream, one, other) = (Listened::default(), Seen::default(), Seen::default());
        stream.join(1, Start::default(), vec![one.clone()]);
        stream.joined(1, Joined::new(StreamState::Waiting));
        stream.join(2, Start::default(), vec![other.clone()]);
        stream.put(content("1"));
        stream.refused(2, &Reason { code: "limit".to_owned(), reason: "too many".to_owned() });
        assert_eq!(one.text(), "waiting, 1");
        assert!(other.text().starts_with("CutOff"), "{}", other.text());
    }

    /// A listener that has had one message when its connection is lost, and where it was.
    fn lost(seen: &Seen) -> (Back, Vec<Seat<Seen>>) {
        let mut stream = Listened::default();
        stream.join(1, Start::default(), vec![seen.clone()]);
        stream.put(content("0"));
        stream.joined(1, Joined { position: Some(at(7)), ..Joined::new(StreamState::Running) });
        stream.put(content("1"));
        // While another one joins, what comes may be its header: its receipt is lost.
        stream.join(2, Start::default(), vec![Seen::default()]);
        stream.put(content("0"));
        let (before, newcomers) = stream.lost("end of file", true);
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
        let (before, _) = stream.lost("another", true);
        let (back, listeners) = before.unwrap();
        assert_eq!((back.position, &*back.reason), (at(8), "end of file"));

        let mut stream = Listened::default();
        stream.join_again(1, listeners, back);
        stream.joined(1, Joined { resumed: true, position: Some(at(8)), ..Joined::new(StreamState::Running) });
        stream.put(content("2"));
        assert_eq!(seen.text(), "running, header 0, 1, running, 2");
        assert_eq!(stream.lost("", true).0.unwrap().0.position, at(9));
    }

    /// Where it was comes something that this client cannot take: it would come again and again.
    #[test]
    fn one_that_may_not_resume_is_told_that_messages_may_be_missing() {
        let seen = Seen::default();
        let (back, listeners) = lost(&seen);
        let mut stream = Listened::default();
        stream.join_again(1, listeners, back);
        let (before, newcomers) = stream.lost("a long line", false);
        assert!(before.is_none());
        assert_eq!(newcomers.len(), 1);
        let gap = format!("{:?}", Event::Reconnected { reason: "end of file".to_owned(), missed: None });
        assert_eq!(seen.text(), format!("running, header 0, 1, {gap}"));
    }

    #[test]
    fn the_last_event_is_preceded_by_no_header_of_another() {
        let (mut stream, one, other) = (Listened::default(), Seen::default(), Seen::default());
        stream.join(1, Start::default(), vec![one.clone()]);
        stream.joined(1, Joined::new(StreamState::Waiting));
        stream.put(content("1"));
        stream.join(2, Start::default(), vec![other.clone()]);
        stream.put(content("9"));
        stream.tell(&Event::Lost { reason: "end of file".to_owned() });
        assert_eq!(one.text(), r#"waiting, 1, Lost { reason: "end of file" }"#);
        assert_eq!(other.text(), r#"Lost { reason: "end of file" }"#);
    }

    #[test]
    fn one_that_comes_back_and_missed_something_is_told_how_much() {
        let seen = Seen::default();
        let (back, listeners) = lost(&seen);
        let mut stream = Listened::default();
        stream.join_again(1, listeners, back);
        stream.put(content("5"));
        stream.joined(1, Joined { missed: Some(3), position: Some(at(12)), ..Joined::new(StreamState::Running) });
        let gap = format!("{:?}", Event::Reconnected { reason: "end of file".to_owned(), missed: Some(3) });
        assert_eq!(seen.text(), format!("running, header 0, 1, {gap}, running, header 5"));
    }

    #[test]
    fn earlier_messages_are_for_the_one_that_asks_for_them() {
        let (mut stream, one, other) = (Listened::default(), Seen::default(), Seen::default());
        stream.join(1, Start::default(), vec![one.clone()]);
        stream.joined(1, Joined { position: Some(at(5)), ..Joined::new(StreamState::Waiting) });
        stream.put(content("6"));
        stream.join(2, Start::default().last(2), vec![other.clone()]);
        stream.put(content("7"));
        stream.joined(2, Joined { position: Some(at(5)), ..Joined::new(StreamState::Waiting) });
        for message in ["6", "7", "8"] {
            stream.put(content(message));
        }
        assert_eq!(one.text(), "waiting, 6, 7, 8");
        assert_eq!(other.text(), "waiting, 6, 7, 8");
    }

    #[test]
    fn the_connection_may_be_lost_among_the_earlier_messages() {
        let (mut stream, one, other) = (Listened::default(), Seen::default(), Seen::default());
        stream.join(1, Start::default(), vec![one.clone()]);
        stream.joined(1, Joined { position: Some(at(7)), ..Joined::new(StreamState::Waiting) });
        stream.join(2, Start::default().last(2), vec![other.clone()]);
        stream.joined(2, Joined { position: Some(at(5)), ..Joined::new(StreamState::Waiting) });
        stream.put(content("6"));
        let (back, seats) = stream.lost("end of file", true).0.unwrap();
        assert_eq!((back.position, seats.len()), (at(6), 2));
        let mut stream = Listened::default();
        stream.join_again(1, seats, back);
        stream.joined(1, Joined { resumed: true, position: Some(at(6)), ..Joined::new(StreamState::Waiting) });
        stream.put(content("7"));
        stream.put(content("8"));
        assert_eq!(one.text(), "waiting, waiting, 8");
        assert_eq!(other.text(), "waiting, 6, waiting, 7, 8");
    }

    // Seen to fail: both were told to be where the connection was, and to have missed as much.
    #[test]
    fn one_that_is_ahead_of_its_connection_comes_back_to_where_it_was() {
        let come_back = |joined| {
            let (mut stream, one, other) = (Listened::default(), Seen::default(), Seen::default());
            stream.join(1, Start::default(), vec![one.clone()]);
            stream.joined(1, Joined { position: Some(at(7)), ..Joined::new(StreamState::Waiting) });
            stream.join(2, Start::default().last(2), vec![other.clone()]);
            stream.joined(2, Joined { position: Some(at(5)), ..Joined::new(StreamState::Waiting) });
            stream.put(content("6"));
            let (back, seats) = stream.lost("end of file", true).0.unwrap();
            let mut stream = Listened::default();
            stream.join_again(1, seats, back);
            stream.put(content("0"));
            stream.joined(1, joined);
            stream.put(content("8"));
            let told = |seen: &Seen| seen.text().replace("Reconnected { reason: \"end of file\", missed: Some(1) }", "1 missed");
            [(told(&one), one.1.get()), (told(&other), other.1.get())]
        };
        let missed = Joined { missed: Some(1), position: Some(at(7)), ..Joined::new(StreamState::Running) };
        let [one, other] = come_back(missed);
        assert_eq!(one, ("waiting, running, 8".to_owned(), Some(7)));
        assert_eq!(other, ("waiting, 6, 1 missed, running, header 0, 8".to_owned(), Some(7)));

        let resumed = Joined { resumed: true, position: Some(at(6)), ..Joined::new(StreamState::Running) };
        let [one, other] = come_back(resumed);
        assert_eq!((one.1, other.1), (Some(7), Some(6)));
    }

    #[test]
    fn who_begins_after_a_position_is_told_what_is_missing_behind_it() {
        let (mut stream, seen) = (Listened::default(), Seen::default());
        stream.join(1, Start::default().after(at(3)), vec![seen.clone()]);
        stream.put(content("0"));
        stream.joined(1, Joined { missed: Some(4), position: Some(at(7)), ..Joined::new(StreamState::Running) });
        let gap = format!("{:?}", Event::Reconnected { reason: NOT_KEPT.to_owned(), missed: Some(4) });
        assert_eq!(seen.text(), format!("{gap}, running, header 0"));
        // One that waited for the answer when the connection was lost asks the same again.
        let mut stream = Listened::default();
        stream.join(1, Start::default().last(3), vec![seen]);
        assert_eq!(stream.lost("end of file", true).1[0].0, Start::default().last(3));
    }
}
