//! What each listener hears is what it was told that it would.

use std::time::Duration;

use msgstream::client::{Event, Position};

use super::{Checker, Content, Listens, Message, Terms};
use crate::history::{Listening, Said};

impl Checker {
    pub(super) fn hears(&mut self, at: Duration, listening: Listening, event: &Event, position: Option<Position>, terms: &Terms) {
        let Some(mut listens) = self.listens.remove(&listening) else { return };
        let who = format!("listening {listening} of client {} at {:.3} s", listens.client, at.as_secs_f64());
        if listens.is_over {
            self.flaw(format!("{who}: {event:?} comes after the last event"));
        }
        match event {
            Event::Message(content) => match content.parse::<Content>() {
                Ok(Content { p, n: Some(n), .. }) => self.hears_message(&mut listens, listening, position, (p, n), &who),
                _ => self.flaw(format!("{who}: {content} is no message")),
            },
            Event::Header(content) => self.hears_header(&mut listens, position, content.parse().ok(), &who),
            Event::Reconnected { missed, .. } => {
                self.hears_gap(&listens, position, *missed, &who, terms);
                (listens.gap, listens.may_get_header) = (Some(*missed), true);
            }
            Event::Ended { message } => {
                listens.is_over = true;
                let content = message.as_ref().map(|message| message.parse::<Content>());
                match content {
                    None if self.bare_ends.contains(&listens.stream) => {}
                    Some(Ok(content)) => self.hears_end(at, &listens, position, content, &who, terms),
                    _ => self.flaw(format!("{who}: nobody has said the end {message:?}")),
                }
                if let Some(position) = position {
                    self.ends.entry((listens.stream, position.epoch)).or_default().insert(position.sequence);
                    self.goes_on(&listens, position, 0, &who);
                }
            }
            Event::CutOff(reason) => {
                listens.is_over = true;
                if reason.code != "slow_listener" || !reason.reason.contains("listener_queue") {
                    self.flaw(format!("{who}: cut off for {reason}"));
                }
            }
            other => {
                listens.is_over = true;
                // Whose program has ended in order is told so.
                self.flaw(format!("{who}: {other:?}"));
            }
        }
        if position.is_some() {
            listens.position = position;
        }
        self.listens.insert(listening, listens);
    }

    /// Whether the position follows the one before, which so many messages are behind, unless a gap was told.
    fn goes_on(&mut self, listens: &Listens, position: Position, messages: u64, who: &str) {
        let Some(before) = listens.position else { return };
        let expected = match listens.gap {
            None => before.sequence + messages,
            Some(Some(missed)) => before.sequence + missed + messages,
            Some(None) => {
                if position.epoch == before.epoch && position.sequence < before.sequence + messages {
                    self.flaw(format!("{who}: sent back to {position:?}, after {before:?}"));
                }
                return;
            }
        };
        if position.epoch != before.epoch || position.sequence != expected {
            let told = listens.gap;
            self.flaw(format!("{who}: at {position:?} after {before:?}, and was told of {told:?}"));
        }
    }

    fn hears_message(&mut self, listens: &mut Listens, listening: Listening, position: Option<Position>, message: Message, who: &str) {
        let Some(position) = position else { return self.flaw(format!("{who}: a message has no position")) };
        self.goes_on(listens, position, 1, who);
        self.message_at(listens.stream, position, message, who);
        self.heard.insert((listening, message));
        if let Some((p, upto)) = listens.header.filter(|(p, _)| *p == message.0)
            && message.1 <= upto
            && !listens.asked_for_last
            && !self.may_repeat(p)
        {
            self.flaw(format!("{who}: {message:?} comes after a header that tells all up to {upto}"));
        }
        (listens.gap, listens.may_get_header) = (None, false);
    }

    fn hears_header(&mut self, listens: &mut Listens, position: Option<Position>, content: Option<Content>, who: &str) {
        if !listens.may_get_header {
            self.flaw(format!("{who}: a header comes where none may be"));
        }
        if let Some(position) = position {
            self.goes_on(listens, position, 0, who);
        }
        let stream = listens.stream;
        let is_said = content.is_some_and(|Content { p, upto, h, .. }| match (upto, h) {
            (Some(upto), _) => matches!(self.messages.get(&(stream, (p, upto))), Some(Said::Message { has_header: true, .. })),
            (_, Some(h)) => self.others.contains(&(stream, (p, h), "header")),
            _ => false,
        });
        if !is_said {
            self.flaw(format!("{who}: nobody has said the header {content:?}"));
        }
        listens.header = content.and_then(|content| Some((content.p, content.upto?)));
        (listens.gap, listens.may_get_header) = (None, false);
    }

    /// Nobody is told of a gap where there is none.
    fn hears_gap(&mut self, listens: &Listens, position: Option<Position>, missed: Option<u64>, who: &str, terms: &Terms) {
        // A stream without messages is forgotten when nobody listens.
        let is_kept = terms.keeps_all && listens.position.or(position).is_none_or(|position| position.sequence > 0);
        if is_kept && self.lives.count() == 1 && !self.ended.contains(&listens.stream) {
            self.flaw(format!("{who}: told that {missed:?} messages are missing, of which the broker has all"));
        }
    }

    fn hears_end(&mut self, at: Duration, listens: &Listens, position: Option<Position>, content: Content, who: &str, terms: &Terms) {
        let Content { p, end, will, .. } = content;
        let (what, number) = if end.is_some() { ("end", end) } else { ("will", will) };
        let Some(number) = number.filter(|number| self.others.contains(&(listens.stream, (p, *number), what))) else {
            return self.flaw(format!("{who}: nobody has said the end {content:?}"));
        };
        let key = (listens.stream, (p, number));
        // The listener of a prefix is nowhere in a stream that has ended.
        let epoch = position.map(|position| position.epoch);
        if what == "end" {
            self.closes.entry(key).or_default().extend(epoch);
            return;
        }
        if self.over.contains_key(&key) {
            self.flaw(format!("{who}: the will {number} of {p} takes effect in a later run"));
        }
        let fired = self.wills.entry(key).or_default();
        fired.extend(epoch);
        let fired = fired.len();
        let publisher = self.publishers.entry(p).or_default();
        let was_lost = |(since, until): &&(Duration, Option<Duration>)| until.unwrap_or(at).min(at) - *since >= terms.session_time;
        let lost = publisher.away.iter().filter(was_lost).count();
        // Without a session whoever breaks off is lost.
        if publisher.sessions > 0 && fired > lost {
            self.flaw(format!("{who}: the will {number} of {p} takes effect {fired} times, and {p} was lost {lost} times"));
        }
    }
}
