//! What must be true of every history.
//!
//! Each position of a run has one message, whoever tells of it: a listener, or the receipt of the publisher. So what is lost, doubled
//! or moved in one place contradicts what is told in another. Beside that each listener is held to what it was told.

mod heard;
mod kept;
mod whole;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use msgstream::client::{Epoch, Position};
use serde::Deserialize;

use super::history::{Client, Fact, Listening, Said};
use kept::Lives;

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
    /// How many lines it has written that sessions count, since a broker began that knows nothing of the ones before.
    written: u64,
    /// The life in which it had one last.
    known_in: u32,
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
    /// Streams to which somebody has written.
    written: BTreeSet<usize>,
    lives: Lives,
    runs: BTreeMap<Run, BTreeMap<u64, Message>>,
    ends: BTreeMap<Run, BTreeSet<u64>>,
    /// Where each message is.
    places: BTreeMap<(usize, Message), BTreeSet<(Epoch, u64)>>,
    /// In which runs each end was told.
    wills: BTreeMap<(usize, Message), BTreeSet<Epoch>>,
    closes: BTreeMap<(usize, Message), BTreeSet<Epoch>>,
    /// The wills of which it is certain that they stood, or stand no more, with the broker's life in which they did.
    standing: BTreeMap<(usize, Message), (u32, Duration)>,
    over: BTreeMap<(usize, Message), Duration>,
    dead: BTreeSet<Client>,
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
    checker.wills();
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
        self.lives.count() > 1 || self.publishers.get(&client).is_none_or(|publisher| publisher.forgotten > 0 || publisher.sessions == 0)
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
            Fact::Finds { client, stream, wanted, found } => {
                if found != wanted && !self.dead.contains(client) {
                    self.flaw(format!("client {client} finds s{stream} with {found}, and its last header is {wanted}"));
                }
            }
            Fact::Stays { listening } => self.stays.push(*listening),
            Fact::Last { client, stream, number } => drop(self.last.insert((*stream, (*client, *number)))),
            Fact::BrokerBegins { has_store } => self.begins(at, *has_store, terms.session_time),
            Fact::NoBroker { why } => self.flaw(format!("no broker begins: {why}")),
            Fact::Saves { is_well } => self.lives.is_well(at, *is_well),
            Fact::BrokerEnds { panics, end } => {
                self.lives.ends(at, *end);
                if *panics > 0 {
                    self.flaw("a task of the broker has panicked".to_owned());
                }
                self.publishers.values_mut().for_each(|publisher| publisher.back(at));
            }
            Fact::Session { client, known, taken, life } => {
                self.told_life(*client, life);
                if !known {
                    self.is_forgotten(at, *client, terms);
                }
                let lives = self.lives.count();
                let publisher = self.publisher(*client);
                let written = publisher.written;
                // One that has taken nothing may have been begun anew, as far as its client can tell.
                publisher.forgotten += u32::from(publisher.sessions > 0 && !(*known && *taken > 0));
                publisher.sessions += 1;
                publisher.known_in = lives;
                publisher.back(at);
                if *taken > written {
                    self.flaw(format!("{taken} lines of client {client} are said to be taken, and {written} were written in this life"));
                }
            }
            Fact::Back { client } => self.publisher(*client).back(at),
            Fact::Away { client } => self.publisher(*client).away.push((at, None)),
            Fact::WillStands { client, stream, number } => {
                self.standing.insert((*stream, (*client, *number)), (self.lives.count(), at));
            }
            Fact::WillIsOver { client, stream, number } => {
                // A session that was forgotten may have been the end of it.
                if !self.may_repeat(*client) {
                    self.over.insert((*stream, (*client, *number)), at);
                }
            }
            Fact::Retires { client } => self.standing.retain(|(_, (owner, _)), _| owner != client),
            Fact::Dies { client } => {
                self.dead.insert(*client);
                // Whoever is gone is away, also if a connection of it is taken in later.
                let publisher = self.publisher(*client);
                if publisher.away.last().is_none_or(|(_, until)| until.is_some()) {
                    publisher.away.push((at, None));
                }
            }
            Fact::Line { client, by_broker: true, line, .. } => self.told(at, *client, line),
            Fact::Line { client, by_broker: false, line, .. } => self.asked(*client, line),
            Fact::Flushed { .. } | Fact::Leaves { .. } | Fact::Fault(_) => {}
        }
    }

    /// The broker does not know the session of a client, which may be its first one.
    fn is_forgotten(&mut self, at: Duration, client: Client, terms: &Terms) {
        let lives = self.lives.count();
        let publisher = self.publisher(client);
        let is_early = publisher.away.last().is_none_or(|(since, until)| until.is_some() || at - *since < terms.session_time);
        if publisher.sessions > 0 && publisher.known_in == lives && is_early {
            self.flaw(format!("the session of client {client} is not known any more at {:.3} s", at.as_secs_f64()));
        }
    }

    fn says(&mut self, client: Client, stream: usize, said: Said) {
        self.written.insert(stream);
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
        if matches!(said, Said::End { .. }) {
            // It may not have come that far.
            self.standing.retain(|(of, _), _| *of != stream);
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
}

impl Publisher {
    /// Its session is held again, or nobody's is kept any more.
    fn back(&mut self, at: Duration) {
        if let Some((_, until @ None)) = self.away.last_mut() {
            *until = Some(at);
        }
    }
}
