//! What must be true of a history as a whole.

use std::collections::BTreeMap;

use super::{Checker, Message};
use crate::history::{Client, Said};

impl Checker {
    /// In each run the messages of each publisher follow one another, and nothing follows the end.
    pub(super) fn runs(&mut self) {
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
    pub(super) fn doubles(&mut self) {
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
    pub(super) fn completeness(&mut self) {
        for listening in std::mem::take(&mut self.stays) {
            let Some(stream) = self.listens.get(&listening).map(|listens| listens.stream) else { continue };
            for (_, message) in self.last.clone().into_iter().filter(|(of, _)| *of == stream) {
                if !self.heard.contains(&(listening, message)) {
                    self.flaw(format!("listening {listening} of s{stream} does not have {message:?}, the last of its publisher"));
                }
            }
        }
    }

    /// Whoever died is known to be dead: its will has taken effect, and somebody was told.
    pub(super) fn wills(&mut self) {
        for ((stream, (client, number)), (life, _)) in std::mem::take(&mut self.standing) {
            let is_certain = self.dead.contains(&client) && life == self.lives.count() && !self.has_been_forgotten(client);
            let is_watched = self.listens.values().any(|listens| listens.stream == stream && !self.dead.contains(&listens.client));
            if is_certain && is_watched && !self.wills.contains_key(&(stream, (client, number))) {
                self.flaw(format!("s{stream}: client {client} died, and its will {number} has not taken effect"));
            }
        }
    }

    fn has_been_forgotten(&self, client: Client) -> bool {
        self.publishers.get(&client).is_none_or(|publisher| publisher.forgotten > 0)
    }
}
