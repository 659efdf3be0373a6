//! One stream as a connection sees it: who listens, and who is about to. It does no I/O: it takes values and delivers events.
//!
//! On the wire the header comes as a put like any other; only the receipt that follows tells which it is. So while a
//! listener is joining, the latest put is held back: when the receipt comes, that put was either the header, or a message for
//! the listeners that had joined before.

use std::collections::VecDeque;

use crate::job::content::Content;
use crate::wire::{Position, Start};

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
        let mut held = self.held.take();
        let header = held.take_if(|_| joined.has_header);
        self.deliver_held(held);
        self.stand(joined.position);
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
mod tests;
