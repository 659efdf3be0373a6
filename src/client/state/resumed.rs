//! A session that goes on over a new connection: what the broker has taken is done, and the rest is sent as if nothing had been.

use std::ops::Range;

use super::{Chunk, Headers, State, lines};
use crate::client::resume::{Kind, Lines, Mark, Part};
use crate::wire::subscriber::{Reason, Reply};
use crate::wire::{Epoch, Verb};

impl State {
    /// There is a connection, the first or, after one that was `lost` for a reason, another one.
    pub(in crate::client) fn connected(&mut self, lost: Option<String>) {
        self.prefixes.let_go();
        if self.session.is_some() {
            // One that was lost before it had its session leaves its own reason behind.
            let asked = self.opening.take();
            self.may_be_another |= asked.is_some();
            self.unanswered += u32::from(asked.is_some());
            let before = asked.and_then(|(_, before)| before);
            self.opening = Some((self.next_receipt(), before.or(lost)));
        } else if let Some(reason) = lost {
            self.reconnected(&reason);
        }
    }

    /// The broker says how many lines of the session it has taken; none if it does not know the session, or gives none. True if there may
    /// be room again.
    pub(super) fn opened(&mut self, taken: Option<u64>, broker: Option<Epoch>) -> bool {
        let Some((_, lost)) = self.opening.take() else { return false };
        let is_same = std::mem::replace(&mut self.broker, broker) == broker;
        let taken = taken.filter(|taken| !self.is_another(*taken));
        self.may_be_another = false;
        match (taken, lost) {
            (Some(taken), Some(reason)) => self.resumed(taken, is_same, &reason),
            (None, Some(reason)) => {
                self.taken = 0;
                self.reconnected(&reason);
            }
            // The first connection: all that was queued waits for it.
            (_, None) => {}
        }
        true
    }

    /// Whether the session cannot be the one that this client had, since it has taken less, or nothing, which nobody can tell apart
    /// where nothing was confirmed.
    fn is_another(&self, taken: u64) -> bool {
        taken < self.taken || (taken == 0 && self.may_be_another && !self.unconfirmed.is_empty())
    }

    /// The connection ends with something that this client cannot take.
    pub(in crate::client) fn choked(&mut self) {
        self.may_not_resume = true;
        // Another one would end alike: whatever it brought before is no reason to have it soon.
        self.has_moved = false;
    }

    /// The connection ends as the broker has told.
    pub(in crate::client) fn told(&mut self, reason: &Reason) {
        // Who is cut off may lack what would have told of a header. A message comes again.
        if reason.code != "slow_listener" {
            self.look_back(Reply::Unknown);
        }
        if reason.code != "taken_over" {
            return;
        }
        if let Some(fewer) = self.unanswered.checked_sub(1) {
            // It may have been an earlier connection of this client, which does not hold the session for long.
            self.unanswered = fewer;
        } else {
            // A copy of this program goes on with the session: to take it back would be a quarrel.
            self.session = Some(super::random_session());
        }
    }

    /// To another life of the broker, which knows the session and perhaps not all else, the runs mean nothing that lines were given.
    fn resumed(&mut self, taken: u64, is_same: bool, reason: &str) {
        let push = if is_same { Lines::push_again } else { Lines::push_again_as_it_was };
        let mut done = taken.saturating_sub(self.taken);
        self.has_moved |= done > 0;
        self.taken = taken;
        let mut out = Lines::default();
        let mut changes = Headers::new();
        for (chunk, _) in std::mem::take(&mut self.unconfirmed) {
            let lines_done = done.min(chunk.lines);
            done -= lines_done;
            let (before, rest) = split(chunk, lines_done);
            self.settle(before.parts);
            for Part { kind, .. } in &rest.parts {
                if let Kind::Change(Mark { stream, change, .. }) = kind {
                    changes.insert(stream.clone(), change.header());
                }
            }
            self.actions += rest.actions;
            out.extend(&rest.bytes, rest.parts, push);
        }
        changes.extend(std::mem::take(&mut self.changes));
        self.changes = changes;
        let Lines { bytes, parts } = std::mem::take(&mut self.out);
        out.extend(&bytes, parts, push);
        self.queued = out.bytes.len();
        self.out = out;
        self.give_up_durable();
        if self.found.is_empty() {
            self.questions.clear();
        } else {
            // The connection before has begun this session, and was lost before all that it had asked was answered.
            self.ask();
        }
        self.join_again(reason);
    }

    /// These lines have been taken, and their answers are lost.
    fn settle(&mut self, parts: Vec<Part>) {
        for Part { kind, .. } in parts {
            let receipt = match kind {
                Kind::Own | Kind::Will => None,
                Kind::Asks(receipt) => Some(receipt),
                Kind::Change(Mark { stream, change, receipt, .. }) => {
                    match change.header() {
                        Some(header) => self.headers.insert(stream, header),
                        None => self.headers.remove(&stream),
                    };
                    receipt
                }
            };
            if let Some(receipt) = receipt {
                self.answer_taken(receipt);
            }
        }
    }
}

/// The first lines of a chunk, and the rest of it without the question at its end, which a new connection asks anew.
fn split(chunk: Chunk, first: u64) -> (Chunk, Chunk) {
    let Chunk { bytes, parts, ping, actions, lines: count } = chunk;
    let at = usize::try_from(first).ok().and_then(|first| first.checked_sub(1));
    let at = at.map_or(0, |last| memchr::memchr_iter(b'\n', &bytes).nth(last).map_or(bytes.len(), |end| end + 1));
    let question = if ping.is_some() && first < count { last_line(&bytes) } else { bytes.len() };
    let (before, rest): (Vec<_>, Vec<_>) = parts.into_iter().partition(|part| part.at.start < at);
    let rest = rest.into_iter().map(|Part { at: Range { start, end }, kind }| Part { at: start - at..end - at, kind }).collect();
    let (first_bytes, rest_bytes) = (bytes.slice(..at), bytes.slice(at..question.max(at)));
    let done = actions_in(&first_bytes, &before).min(actions);
    let before = Chunk { bytes: first_bytes, parts: before, ping: None, actions: done, lines: first };
    let rest = Chunk { lines: lines(&rest_bytes), bytes: rest_bytes, parts: rest, ping: None, actions: actions - done };
    (before, rest)
}

/// Where the last line begins.
fn last_line(bytes: &[u8]) -> usize {
    let body = bytes.get(..bytes.len().saturating_sub(1)).unwrap_or_default();
    memchr::memrchr(b'\n', body).map_or(0, |end| end + 1)
}

/// How many of these lines are actions of the program: neither this client's own, nor questions.
fn actions_in(bytes: &[u8], parts: &[Part]) -> usize {
    let own = parts.iter().filter(|part| matches!(part.kind, Kind::Own)).count();
    let question = format!("{{\"action\":\"{}\"", Verb::Ping.word());
    let questions = bytes.split_inclusive(|byte| *byte == b'\n').filter(|line| line.starts_with(question.as_bytes())).count();
    (lines(bytes) as usize).saturating_sub(own + questions)
}
