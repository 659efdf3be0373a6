//! What a store keeps beyond the life of a broker.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;

use super::Checker;
use crate::history::{Client, Ended};

/// A change is saved after so long, if all is well with the disk: some intervals of the store, and the time until the broker has it.
const SAVED: Duration = Duration::from_secs(5);

/// After so long a broker tries again whose disk was full.
const TRIES: Duration = Duration::from_secs(12);

/// How the brokers of a simulation have ended, and what they have left.
#[derive(Debug, Default)]
pub(super) struct Lives {
    /// How often a broker began that could not go on as the one before.
    count: u32,
    before: Option<(Duration, Ended)>,
    /// What this broker has called itself, from the first to the last that went on.
    life: Option<String>,
    former: BTreeSet<String>,
    /// When it could not be saved last.
    bad: Option<(Duration, Option<Duration>)>,
    /// The epochs that were told in a life, with the latest such life.
    epochs: BTreeMap<String, u32>,
    /// What each client that asks for durable receipts knows of its stream.
    asking: BTreeMap<Client, Own>,
}

/// How a client finds its own stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Nothing,
    Running(u64),
    /// Its last message.
    Ended(u64),
}

/// A stream to which one client writes.
#[derive(Debug, Default)]
struct Own {
    /// How the stream is behind each action, by number. The first one is none.
    states: Vec<State>,
    /// The last one that was said to be durable, ...
    durable: usize,
    /// ... and to have taken effect, in this life.
    done: usize,
    /// The header, if the next line tells what it is of.
    header: Option<u64>,
    /// It has ended, and the next line has the last message.
    may_end: bool,
}

impl Lives {
    pub(super) fn count(&self) -> u32 {
        self.count
    }

    pub(super) fn ends(&mut self, at: Duration, end: Ended) {
        self.before = Some((at, end));
    }

    /// What was done by then is saved, if this broker ends now.
    fn saved(&self, now: Duration) -> Duration {
        match self.bad {
            Some((since, until)) if until.is_none_or(|until| until + TRIES > now) => since.min(now),
            Some(_) | None => now,
        }
        .saturating_sub(SAVED)
    }

    pub(super) fn is_well(&mut self, at: Duration, is_well: bool) {
        self.bad = match (self.bad, is_well) {
            (Some((since, None)), true) => Some((since, Some(at))),
            // It may not have been saved since.
            (Some((since, Some(until))), false) if until + TRIES > at => Some((since, None)),
            (Some((since, None)), false) => Some((since, None)),
            (_, false) => Some((at, None)),
            (bad, true) => bad,
        };
    }
}

impl Checker {
    /// Another broker begins.
    pub(super) fn begins(&mut self, at: Duration, has_store: bool, session_time: Duration) {
        let lives = &mut self.lives;
        if let Some((ended, Ended::Whole)) = lives.before.filter(|_| has_store) {
            // It goes on as if it had not been away. Some sessions were over by then.
            for publisher in self.publishers.values_mut() {
                let left = publisher.away.last().filter(|(_, until)| *until == Some(ended));
                if left.is_some_and(|(since, _)| ended - *since >= session_time) {
                    publisher.known_in = 0;
                }
            }
        } else {
            let former = lives.count;
            lives.count += 1;
            lives.former.extend(lives.life.take());
            lives.asking.values_mut().for_each(|own| own.done = 0);
            if !has_store || lives.before.is_none_or(|(_, end)| end == Ended::Crashed) {
                self.publishers.values_mut().for_each(|publisher| publisher.written = 0);
            }
            let saved = lives.before.filter(|_| has_store).map(|(at, _)| lives.saved(at)).unwrap_or_default();
            let count = lives.count;
            // Those who do not come back are lost all the same.
            self.standing.retain(|_, (life, said)| {
                let is_kept = *life == former && *said < saved;
                *life = if is_kept { count } else { *life };
                is_kept
            });
            self.over.retain(|_, said| *said < saved);
        }
        if has_store {
            // Each session has its time from here.
            self.publishers.values_mut().filter(|publisher| publisher.sessions > 0).for_each(|publisher| publisher.away.push((at, None)));
        }
    }

    /// The broker says which one it is to somebody who has had a session of it before, or not.
    pub(super) fn told_life(&mut self, client: Client, life: &str) {
        let lives = &mut self.lives;
        let is_other = lives.life.as_ref().is_some_and(|before| before != life);
        let is_former = lives.former.contains(life);
        lives.life = Some(life.to_owned());
        if is_other || is_former {
            self.flaw(format!("client {client} is told of the life {life:?}, which is not what this one was called before"));
        }
    }

    /// The broker has written a line.
    pub(super) fn told(&mut self, at: Duration, client: Client, line: &str) {
        if line == r#"{"action":"close"}"# || line.contains("\"taken_over\"") {
            // Its session is over, as it has asked, or some other connection has it, which may be gone without a word.
            self.publisher(client).known_in = 0;
        }
        let is_of_asking = line.contains("\"d") || line.contains("\"found\"");
        if !line.contains("\"state\":") && !is_of_asking {
            return;
        }
        let Ok(line) = serde_json::from_str::<Value>(line) else { return };
        self.told_epoch(at, client, &line);
        self.told_own(at, client, &line);
    }

    /// An epoch goes on in another life only if nothing can have been missed since: if the stream had ended.
    fn told_epoch(&mut self, at: Duration, client: Client, line: &Value) {
        let (Some(state), Some(epoch)) = (line["state"].as_str(), line["position"]["epoch"].as_str()) else { return };
        let now = self.lives.count;
        let before = self.lives.epochs.insert(epoch.to_owned(), now).unwrap_or(now);
        if before != now && state != "ended" {
            self.flaw(format!("client {client} at {:.3} s: the epoch {epoch} goes on in another life", at.as_secs_f64()));
        }
        let is_other = line["action"] == "joined" && state != "waiting";
        let number = line["stream"].as_str().and_then(|name| name.strip_prefix('s')?.parse::<usize>().ok());
        if is_other && let Some(number) = number.filter(|number| !self.written.contains(number)) {
            self.flaw(format!("client {client} is told of s{number}, to which nobody has written"));
        }
    }

    /// A client has written a line; perhaps one that asks for durable receipts.
    pub(super) fn asked(&mut self, client: Client, line: &str) {
        self.publisher(client).written += u64::from(!line.starts_with(r#"{"action":"session""#));
        if !line.contains("\"stream\":\"d") {
            return;
        }
        let Ok(line) = serde_json::from_str::<Value>(line) else { return };
        let own = self.lives.asking.entry(client).or_insert_with(|| Own { states: vec![State::Nothing], ..Own::default() });
        let number = line["message"].as_u64().unwrap_or_default();
        let state = match line["action"].as_str() {
            Some("header") => State::Running(number),
            Some("close") => State::Ended(number),
            Some("delete") => State::Nothing,
            _ => return,
        };
        let index = line["receipt"].as_str().and_then(|receipt| receipt.split(' ').nth(1)?.parse().ok()).unwrap_or(own.states.len());
        // Of some, not even a whole line was written.
        own.states.resize(index, own.states.last().copied().unwrap_or(State::Nothing));
        own.states.push(state);
    }

    fn told_own(&mut self, at: Duration, client: Client, line: &Value) {
        let Some(own) = self.lives.asking.get_mut(&client) else { return };
        let (receipt, message) = (line["receipt"].as_str().unwrap_or_default(), line["message"].as_u64());
        if let Some(number) = receipt.strip_prefix("done ").and_then(|number| number.parse().ok()) {
            own.done = own.done.max(number);
        } else if let Some(number) = receipt.strip_prefix("durable ").and_then(|number| number.parse().ok()) {
            own.durable = own.durable.max(number);
        } else if receipt == "found" && line["state"] == "ended" {
            own.may_end = true;
        } else if line["action"] == "put" {
            own.header = message;
        }
        let found = match (line["state"].as_str(), line["action"].as_str()) {
            (Some("waiting"), _) if receipt == "found" => State::Nothing,
            (Some("running"), _) if receipt == "found" => State::Running(own.header.take().unwrap_or(u64::MAX)),
            (_, Some("close")) if std::mem::take(&mut own.may_end) => State::Ended(message.unwrap_or(u64::MAX)),
            _ => return,
        };
        let least = own.durable.max(own.done);
        match (least..own.states.len()).find(|number| own.states[*number] == found) {
            // Nothing goes back as long as the broker lives.
            Some(number) => own.done = number,
            None => {
                let (told, durable) = (own.states.get(least), own.durable);
                let flaw = format!("d{client} is found {found:?}, and was {told:?} behind its action {least}; durable is {durable}");
                self.flaw(format!("{flaw}, at {:.3} s", at.as_secs_f64()));
            }
        }
    }
}
