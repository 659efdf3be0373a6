//! What must be true of every history.
//!
//! Each position of a run has one message, whoever tells of it: a listener, or the receipt of the publisher. So what is lost, doubled
//! or moved in one place contradicts what is told in another. Beside that each listener is held to what it was told.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use msgstream::client::{Epoch, Event, Position};
use serde::Deserialize;

use super::history::{Client, Fact, Listening, Said};

/// What the checker has to know of a simulation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    pub(crate) session_time: Duration,
    /// The broker keeps all messages for those who come back.
    pub(crate) keeps_all: bool,
}

/// The content of messages, headers and ends.
#[derive(Debug, Clone, Copy, Deserialize)]
struct Content {
    p: Client,
    n: Option<u32>,
    upto: Option<u32>,
    h: Option<u32>,
    end: Option<u32>,
    will: Option<u32>,
}

/// One message of a publisher to a stream.
type Message = (Client, u32);

/// A run of a stream.
type Run = (usize, Epoch);

#[derive(Debug)]
struct Listens {
    client: Client,
    stream: usize,
    position: Option<Position>,
    /// A gap was told: how many are missing, if that is known.
    gap: Option<Option<u64>>,
    may_get_header: bool,
    asked_for_last: bool,
    header: Option<Message>,
    is_over: bool,
}

#[derive(Debug, Default)]
struct Publisher {
    sessions: u32,
    /// How often the broker did not know its session any more, or may not have known it.
    forgotten: u32,
    /// When its session was held by no connection.
    away: Vec<(Duration, Option<Duration>)>,
    repeated: Option<usize>,
}

#[derive(Debug, Default)]
struct Checker {
    flaws: Vec<String>,
    publishers: BTreeMap<Client, Publisher>,
    listens: BTreeMap<Listening, Listens>,
    /// What was said of each stream.
    messages: BTreeMap<(usize, Message), Said>,
    others: BTreeSet<(usize, Message, &'static str)>,
    failed: BTreeSet<(usize, Message)>,
    bare_ends: BTreeSet<usize>,
    /// Streams that somebody has ended, or may have.
    ended: BTreeSet<usize>,
    lives: u32,
    runs: BTreeMap<Run, BTreeMap<u64, Message>>,
    ends: BTreeMap<Run, BTreeSet<u64>>,
    /// Where each message is.
    places: BTreeMap<(usize, Message), BTreeSet<(Epoch, u64)>>,
    /// In which runs each end was told.
    wills: BTreeMap<(usize, Message), BTreeSet<Epoch>>,
    closes: BTreeMap<(usize, Message), BTreeSet<Epoch>>,
    last: BTreeSet<(usize, Message)>,
    heard: BTreeSet<(Listening, Message)>,
    stays: Vec<Listening>,
}

/// What is wrong, for people; nothing if all is right.
pub(crate) fn check(facts: &[(Duration, Fact)], terms: &Terms) -> Vec<String> {
    let mut checker = Checker::default();
    for (at, fact) in facts {
        checker.fact(*at, fact, terms);
    }
    checker.runs();
    checker.doubles();
    checker.completeness();
    checker.flaws
}

impl Checker {
    fn flaw(&mut self, flaw: String) {
        self.flaws.push(flaw);
    }

    fn publisher(&mut self, client: Client) -> &mut Publisher {
        self.publishers.entry(client).or_default()
    }

    /// Whether what a client said may have taken effect twice: only if the broker does not know any more what it has taken.
    fn may_repeat(&self, client: Client) -> bool {
        self.lives > 1 || self.publishers.get(&client).is_none_or(|publisher| publisher.forgotten > 0 || publisher.sessions == 0)
    }

    fn fact(&mut self, at: Duration, fact: &Fact, terms: &Terms) {
        match fact {
            Fact::Says { client, stream, said } => self.says(*client, *stream, *said),
            Fact::Done { client, stream, number, position } => {
                if let Some(position) = position {
                    self.message_at(*stream, *position, (*client, *number), "its publisher's receipt");
                }
            }
            Fact::Failed { client, stream, number, .. } => drop(self.failed.insert((*stream, (*client, *number)))),
            Fact::Stuck { client, what } => self.flaw(format!("client {client}: {what}")),
            Fact::Counts { client, repeated, waiting } => {
                if *repeated > 0 && !self.may_repeat(*client) {
                    self.flaw(format!("client {client} has repeated {repeated} actions, and the broker has forgotten nothing"));
                }
                if *waiting > 0 {
                    self.flaw(format!("client {client} has {waiting} actions waiting at the end"));
                }
                self.publisher(*client).repeated = Some(*repeated);
            }
            Fact::Listens { listening, client, stream, after, last } => {
                let (client, stream, position) = (*client, *stream, *after);
                let (gap, header) = (None, None);
                let listens = Listens {
                    client,
                    stream,
                    position,
                    gap,
                    may_get_header: after.is_none(),
                    asked_for_last: last.is_some(),
                    header,
                    is_over: false,
                };
                self.listens.insert(*listening, listens);
            }
            Fact::Hears { listening, event, position } => self.hears(at, *listening, event, *position, terms),
            Fact::Stays { listening } => self.stays.push(*listening),
            Fact::Last { client, stream, number } => drop(self.last.insert((*stream, (*client, *number)))),
            Fact::BrokerBegins => self.lives += 1,
            Fact::BrokerEnds { panics } => {
                if *panics > 0 {
                    self.flaw("a task of the broker has panicked".to_owned());
                }
                self.publishers.values_mut().for_each(|publisher| publisher.back(at));
            }
            Fact::Session { client, known, took } => {
                let publisher = self.publisher(*client);
                // One that has taken nothing may have been begun anew, as far as its client can tell.
                publisher.forgotten += u32::from(publisher.sessions > 0 && !(*known && *took));
                publisher.sessions += 1;
                publisher.back(at);
            }
            Fact::Away { client } => self.publisher(*client).away.push((at, None)),
            Fact::Flushed { .. } | Fact::Leaves { .. } | Fact::Dies { .. } | Fact::Fault(_) | Fact::Line { .. } => {}
        }
    }

    fn says(&mut self, client: Client, stream: usize, said: Said) {
        let mut other = |number, what| {
            self.others.insert((stream, (client, number), what));
        };
        match said {
            Said::Message { number, .. } | Said::Wrong { number } => drop(self.messages.insert((stream, (client, number)), said)),
            Said::Header { number } => other(number, "header"),
            Said::End { number: Some(number) } => other(number, "end"),
            Said::End { number: None } => drop(self.bare_ends.insert(stream)),
            Said::Will { number } => other(number, "will"),
            Said::NoWill => {}
        }
        if matches!(said, Said::End { .. } | Said::Will { .. }) {
            self.ended.insert(stream);
        }
    }

    /// There is this message at this position, as somebody tells.
    fn message_at(&mut self, stream: usize, position: Position, message: Message, teller: &str) {
        match self.messages.get(&(stream, message)) {
            Some(Said::Message { .. }) => {}
            Some(_) => self.flaw(format!("s{stream}: {message:?} was refused, and {teller} tells of it")),
            None => self.flaw(format!("s{stream}: {message:?} was never said, and {teller} tells of it")),
        }
        let before = *self.runs.entry((stream, position.epoch)).or_default().entry(position.sequence).or_insert(message);
        if before != message {
            self.flaw(format!("s{stream}: at {position:?} somebody has {before:?}, and {teller} has {message:?}"));
        }
    }

    fn hears(&mut self, at: Duration, listening: Listening, event: &Event, position: Option<Position>, terms: &Terms) {
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
                self.hears_gap(&listens, *missed, &who, terms);
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
            Some(None) => return,
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
    fn hears_gap(&mut self, listens: &Listens, missed: Option<u64>, who: &str, terms: &Terms) {
        // A stream without messages is forgotten when nobody listens.
        let is_kept = terms.keeps_all && listens.position.is_none_or(|position| position.sequence > 0);
        if is_kept && self.lives == 1 && !self.ended.contains(&listens.stream) {
            self.flaw(format!("{who}: told that {missed:?} messages are missing, of which the broker has all"));
        }
    }

    fn hears_end(&mut self, at: Duration, listens: &Listens, position: Option<Position>, content: Content, who: &str, terms: &Terms) {
        let Content { p, end, will, .. } = content;
        let (what, number) = if end.is_some() { ("end", end) } else { ("will", will) };
        let Some(number) = number.filter(|number| self.others.contains(&(listens.stream, (p, *number), what))) else {
            return self.flaw(format!("{who}: nobody has said the end {content:?}"));
        };
        let Some(Position { epoch, .. }) = position else { return };
        let key = (listens.stream, (p, number));
        if what == "end" {
            self.closes.entry(key).or_default().insert(epoch);
            return;
        }
        let fired = self.wills.entry(key).or_default();
        fired.insert(epoch);
        let fired = fired.len();
        let publisher = self.publishers.entry(p).or_default();
        let was_lost = |(since, until): &&(Duration, Option<Duration>)| until.unwrap_or(at).min(at) - *since >= terms.session_time;
        let lost = publisher.away.iter().filter(was_lost).count();
        // Without a session whoever breaks off is lost.
        if publisher.sessions > 0 && fired > lost {
            self.flaw(format!("{who}: the will {number} of {p} takes effect {fired} times, and {p} was lost {lost} times"));
        }
    }

    /// In each run the messages of each publisher follow one another, and nothing follows the end.
    fn runs(&mut self) {
        for ((stream, epoch), messages) in std::mem::take(&mut self.runs) {
            let (mut before, mut latest) = (None, BTreeMap::<Client, u32>::new());
            for (sequence, (client, number)) in &messages {
                if before.is_none_or(|before| before + 1 != *sequence) {
                    // What stands between is not known.
                    latest.clear();
                }
                before = Some(*sequence);
                let latest = latest.entry(*client).or_insert(*number);
                // What was repeated takes nothing back.
                let last = std::mem::replace(latest, (*latest).max(*number));
                if *number < last && !self.may_repeat(*client) {
                    self.flaw(format!("s{stream} {epoch}: client {client}'s {number} at {sequence} comes after its {last}"));
                }
                // Without a session what was on its way on an old connection comes behind what was repeated, and then it may be that which
                // is last here.
                let has_session = self.publishers.get(client).is_some_and(|publisher| publisher.sessions > 0);
                let missing = if has_session || !self.may_repeat(*client) { last + 1..*number } else { 0..0 };
                for missing in missing {
                    if !self.may_be_missing(stream, (*client, missing)) {
                        self.flaw(format!("s{stream} {epoch}: client {client}'s {missing} is missing before its {number} at {sequence}"));
                    }
                }
            }
            let ends = self.ends.get(&(stream, epoch)).cloned().unwrap_or_default();
            let last = messages.last_key_value().map_or(0, |(sequence, _)| *sequence);
            if ends.len() > 1 || ends.iter().any(|end| *end < last) {
                self.flaw(format!("s{stream} {epoch}: its message {last} is not followed by its end, which was told at {ends:?}"));
            }
            for (sequence, message) in messages {
                self.places.entry((stream, message)).or_default().insert((epoch, sequence));
            }
        }
    }

    fn may_be_missing(&self, stream: usize, message: Message) -> bool {
        match self.messages.get(&(stream, message)) {
            Some(Said::Wrong { .. }) => true,
            // Somebody else may have begun another run meanwhile, which its client does not touch.
            Some(Said::Message { has_header: true, .. }) if self.may_repeat(message.0) => true,
            _ => self.failed.contains(&(stream, message)),
        }
    }

    /// Nothing has taken effect more often than its client knows that it may have.
    fn doubles(&mut self) {
        let mut doubles = BTreeMap::<Client, usize>::new();
        let places = self.places.iter().map(|((_, message), places)| (message.0, places.len()));
        let closes = self.closes.iter().map(|((_, close), runs)| (close.0, runs.len()));
        for (client, times) in places.chain(closes) {
            *doubles.entry(client).or_default() += times.saturating_sub(1);
        }
        for (client, doubles) in doubles {
            let repeated = self.publishers.get(&client).and_then(|publisher| publisher.repeated);
            let most = repeated.unwrap_or(if self.may_repeat(client) { usize::MAX } else { 0 });
            if doubles > most {
                self.flaw(format!("{doubles} actions of client {client} have taken effect twice, and it knows of {most}"));
            }
        }
    }

    /// Who is there at the end has all that was said last.
    fn completeness(&mut self) {
        for listening in std::mem::take(&mut self.stays) {
            let Some(stream) = self.listens.get(&listening).map(|listens| listens.stream) else { continue };
            for (_, message) in self.last.clone().into_iter().filter(|(of, _)| *of == stream) {
                if !self.heard.contains(&(listening, message)) {
                    self.flaw(format!("listening {listening} of s{stream} does not have {message:?}, the last of its publisher"));
                }
            }
        }
    }
}

impl Publisher {
    /// Its session is held again, or nobody's is kept any more.
    fn back(&mut self, at: Duration) {
        if let Some((_, until @ None)) = self.away.last_mut() {
            *until = Some(at);
        }
    }
}
