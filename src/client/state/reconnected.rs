//! What a new connection asks first, and what it is told to send then.

use std::collections::{BTreeSet, HashMap, VecDeque};

use crate::job::content::{Content, NonFinite};
use crate::wire::subscriber::{Reason, Receipt};
use crate::wire::{StreamState, Verb};

use super::{Chunk, Headers, State, bare_line};
use crate::client::error::ClientError;
use crate::client::request;
use crate::client::resume::{Change, Found, Lines, Mark, Part, Verdict, judge};

impl State {
    /// Prepares for a new connection: what it asks, and what is written after the answers. Listeners say where they were, so that they miss nothing
    /// that the broker still has.
    pub(in crate::client) fn reconnected(&mut self, reason: &str) {
        let mut changes = Headers::new();
        let mut out = Lines::default();
        for (Chunk { bytes, parts, actions, .. }, headers) in std::mem::take(&mut self.unconfirmed) {
            out.extend(&bytes, parts, |mark| mark.is_some());
            self.actions += actions;
            changes.extend(headers);
        }
        changes.extend(std::mem::take(&mut self.changes));
        self.changes = changes;
        let Lines { bytes, parts } = std::mem::take(&mut self.out);
        out.extend(&bytes, parts, |mark| mark.is_some());
        self.out = out;
        self.joins.clear();
        self.queued = self.out.bytes.len();
        self.ask();
        for (stream, listened) in std::mem::take(&mut self.streams) {
            let latest = listened.is_latest();
            let (before, newcomers) = listened.lost(reason);
            if let Some((back, listeners)) = before {
                self.listen_again(&stream, back, listeners, latest);
            }
            if !newcomers.is_empty() {
                self.join(&stream, newcomers, latest);
            }
        }
    }

    /// Asks how each stream stands that has a header of this client, or that it has changed: a listen tells, and is taken back.
    fn ask(&mut self) {
        self.questions.clear();
        self.asking.clear();
        let marked = self.out.parts.iter().filter_map(|part| part.mark.as_ref()).map(|mark| &mark.stream);
        let streams: BTreeSet<String> = self.headers.keys().chain(marked).cloned().collect();
        self.found.clear();
        for stream in streams {
            let (listen, hangup) = (self.next_receipt(), self.next_receipt());
            self.questions.extend(bare_line(Verb::Listen, Some(&stream), Some(listen)));
            self.questions.extend(bare_line(Verb::Hangup, Some(&stream), Some(hangup)));
            self.asking.insert(hangup, stream.clone());
            self.found.insert(stream, (listen, Found::default()));
        }
    }

    /// The header comes directly before the receipt of the listen.
    pub(super) fn found_header(&mut self, stream: &str, message: &Content) {
        if let Some((_, found)) = self.found.get_mut(stream)
            && found.state.is_none()
        {
            found.header = request::header_line(stream, Some(message), NonFinite::Null).ok();
        }
    }

    /// Once all is answered: leaves out what has taken effect and what would touch a later run, and sends the headers that the
    /// broker has lost before the rest. True if there may be room again.
    pub(super) fn resume_if_answered(&mut self) -> bool {
        if !self.asking.is_empty() {
            return false;
        }
        let Lines { bytes, parts } = std::mem::take(&mut self.out);
        let mut out = Lines::default();
        let mut verdicts = HashMap::new();
        let mut changes_of = changes(&parts);
        for (stream, (_, found)) in std::mem::take(&mut self.found) {
            let changes = changes_of.remove(&stream).unwrap_or_default();
            let confirmed = self.headers.get(&stream);
            let judged = judge(&found, confirmed.map(|header| &**header), &changes);
            let is_mine = |header: &[u8]| {
                confirmed.is_some_and(|confirmed| **confirmed == *header)
                    || changes.iter().any(|change| matches!(change, Change::Header(line) if **line == *header))
            };
            let is_at_work = found.state == Some(StreamState::Running) || judged.contains(&Verdict::Repeat);
            match (found.state, found.header) {
                (Some(StreamState::Waiting), _) => {
                    if let Some(header) = confirmed {
                        out.push_part(header, None);
                    }
                }
                (Some(_), Some(header)) if is_mine(&header) && is_at_work => {
                    self.headers.insert(stream.clone(), header.into());
                }
                // It belongs to somebody else now, or has ended.
                (Some(_), _) => {
                    self.headers.remove(&stream);
                }
                (None, _) => {}
            }
            if judged.last() == Some(&Verdict::Stale) {
                self.changes.remove(&stream);
            }
            verdicts.insert(stream, VecDeque::from(judged));
        }
        let mut left_out = Vec::new();
        out.extend(&bytes, parts, |mark| {
            let Some(mark) = mark else { return true };
            let verdict = verdicts.get_mut(&mark.stream).and_then(VecDeque::pop_front).unwrap_or(Verdict::Repeat);
            if verdict != Verdict::Repeat {
                left_out.push((mark.clone(), verdict));
            }
            verdict == Verdict::Repeat
        });
        (self.queued, self.out) = (out.bytes.len(), out);
        for (mark, verdict) in left_out {
            self.leave_out(mark, verdict);
        }
        true
    }

    /// Tells whoever waits for an action that a new connection does not repeat.
    fn leave_out(&mut self, mark: Mark, verdict: Verdict) {
        self.actions = self.actions.saturating_sub(1);
        let outcome = if verdict == Verdict::Done { Ok(Receipt::default()) } else { Err(stale(&mark.stream)) };
        match (mark.receipt, outcome) {
            (Some(receipt), outcome) => self.answer(receipt, outcome.map_err(ClientError::Refused)),
            (None, Err(reason)) => {
                self.refused.get_or_insert(reason);
            }
            (None, Ok(_)) => {}
        }
    }
}

/// What was queued changes of each stream, in order.
fn changes(parts: &[Part]) -> HashMap<String, Vec<Change>> {
    let mut changes: HashMap<String, Vec<Change>> = HashMap::new();
    for Mark { stream, change, .. } in parts.iter().filter_map(|part| part.mark.as_ref()) {
        changes.entry(stream.clone()).or_default().push(change.clone());
    }
    changes
}

/// Why an action was not repeated.
fn stale(stream: &str) -> Reason {
    let reason = format!("the connection was lost before this was confirmed, and since then somebody else has begun or ended {stream:?}");
    Reason { code: "stale".to_owned(), reason }
}
