//! What a new connection asks first, and what it is told to send then.

use std::collections::{BTreeSet, HashMap, VecDeque};

use bytes::Bytes;

use crate::job::content::{Content, NonFinite};
use crate::wire::subscriber::{Reason, Seat};
use crate::wire::{Epoch, StreamState, Verb};

use super::followed::Followed;
use super::members::Known;
use super::{Chunk, Headers, State, bare_line, in_order};
use crate::client::request;
use crate::client::resume::{Change, Found, Kind, Lines, Mark, Part, Verdict, judge};
use crate::client::target::Target;

impl State {
    /// Prepares for a new connection: what it asks, and what is written after the answers. Listeners say where they were, so that they
    /// miss nothing that the broker still has.
    pub(super) fn reconnected(&mut self, reason: &str) {
        let mut changes = Headers::new();
        let mut out = Lines::default();
        // A new session has no will, so that each is told anew.
        let repeat = |out: &mut Lines, line: &[u8], kind| {
            if !matches!(kind, Kind::Own | Kind::Will) {
                out.push_as_it_was(line, kind);
            }
        };
        for (Chunk { bytes, parts, actions, .. }, headers) in std::mem::take(&mut self.unconfirmed) {
            out.extend(&bytes, parts, repeat);
            self.actions += actions;
            self.repeated += actions;
            changes.extend(headers);
        }
        changes.extend(std::mem::take(&mut self.changes));
        self.changes = changes;
        let Lines { bytes, parts } = std::mem::take(&mut self.out);
        out.extend(&bytes, parts, repeat);
        self.out = out;
        self.queued = self.out.bytes.len();
        self.give_up_durable();
        self.ask();
        self.join_again(reason);
    }

    /// Has all listeners join again, from where they were.
    pub(super) fn join_again(&mut self, reason: &str) {
        self.joins.clear();
        self.hanging_up.clear();
        let may_resume = !std::mem::take(&mut self.may_not_resume);
        let mut known = Known::new();
        self.return_again(&mut known, may_resume);
        for (stream, Followed { listened, .. }) in in_order(std::mem::take(&mut self.streams)) {
            let latest = listened.is_latest();
            let (before, newcomers) = listened.lost(reason, may_resume);
            if let Some((back, seats)) = before {
                known.insert(stream.clone(), (back.position, seats.iter().map(|seat| seat.listener().clone()).collect()));
                if seats.iter().any(|seat| seat.listener().is_named()) {
                    // The listeners of prefixes come back with those.
                    self.listen_again(&stream, back, seats, latest);
                } else {
                    self.return_to(stream.clone(), Some(back), seats);
                }
            }
            for (start, listeners) in newcomers {
                let (named, by_prefix): (Vec<_>, Vec<_>) = listeners.into_iter().partition(Target::is_named);
                if !named.is_empty() {
                    self.join(&stream, start, named);
                }
                self.return_to(stream.clone(), None, by_prefix.into_iter().map(Seat::new).collect());
            }
        }
        self.join_prefixes_again(&known, reason, may_resume);
    }

    /// Asks how each stream stands that has a header of this client, or that it has changed: a listen tells, and is taken back.
    pub(super) fn ask(&mut self) {
        self.questions.clear();
        self.asking.clear();
        let marked = marks(&self.out.parts).map(|mark| &mark.stream);
        let streams: BTreeSet<String> = self.headers.keys().chain(self.wills.keys()).chain(marked).cloned().collect();
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

    /// One of the last questions is answered. True if there may be room again.
    pub(super) fn answered(&mut self, receipt: u64, outcome: Result<Option<Epoch>, Reason>) -> bool {
        let stream = self.asking.remove(&receipt);
        if let Some((_, found)) = stream.and_then(|stream| self.found.get_mut(&stream))
            && found.is_set_again
        {
            match outcome {
                Ok(run) => (found.state, found.run) = (Some(StreamState::Waiting), run),
                // The stream is there, and more is not known: most likely it is this client's, which has not been away for long.
                Err(reason) if reason.is_stale() && found.is_untold && !found.is_denied => {}
                // Somebody else has begun the stream, or ended it, since it was found. Of one that this client cannot be told of that may be
                // long ago, or it was the client itself: what cannot be told apart is not repeated. Nor is what was to follow a header that
                // the broker does not take.
                Err(reason) => {
                    found.state = Some(StreamState::Running);
                    if !reason.is_stale() {
                        found.refused = Some(reason.clone());
                        self.refused.get_or_insert(reason);
                    }
                }
            }
        }
        self.resume_if_answered()
    }

    /// Has the broker take the headers again that it has lost, unless somebody else has begun the stream by then. True if there are any.
    ///
    /// One with a store may have kept an older header. It tells: then it takes a header for a stream that has one.
    fn set_again(&mut self) -> bool {
        let changes = changes(&self.out.parts);
        for (stream, (_, found)) in &mut self.found {
            let is_latest = |found: &Found, header: &Bytes| {
                let is_it = |line: &Bytes| found.header.as_deref() == Some(&**line);
                is_it(header) || changes.get(stream).into_iter().flatten().filter_map(Change::header).any(|line| is_it(&line))
            };
            let may_be_lost = |header: &&Bytes| match found.state {
                Some(StreamState::Waiting) => true,
                Some(StreamState::Running | StreamState::Ended) => found.is_untold || !is_latest(found, header),
                None => found.is_untold,
            };
            let lost = self.headers.get(stream).filter(|_| !found.is_set_again).filter(may_be_lost);
            let Some(header) = lost else { continue };
            (found.is_set_again, found.run) = (true, None);
            self.latest += 1;
            self.asking.insert(self.latest, stream.clone());
            self.questions.extend_from_slice(&request::if_absent(header, self.latest));
        }
        !self.asking.is_empty()
    }

    /// Once all is answered, and the headers that the broker has lost are set again: leaves out what has taken effect and what would
    /// touch a later run, and has the rest touch none that begins before it arrives. True if there may be room again.
    fn resume_if_answered(&mut self) -> bool {
        if !self.asking.is_empty() || self.set_again() {
            return false;
        }
        let Lines { bytes, parts } = std::mem::take(&mut self.out);
        let mut out = Lines::default();
        let (mut verdicts, mut runs, mut refused) = (HashMap::new(), HashMap::new(), HashMap::new());
        let mut changes_of = changes(&parts);
        for (stream, (_, found)) in std::mem::take(&mut self.found) {
            let changes = changes_of.remove(&stream).unwrap_or_default();
            let confirmed = self.headers.get(&stream);
            let judged = judge(&found, confirmed.map(|header| &**header), &changes);
            let is_mine = |header: &[u8]| {
                confirmed.is_some_and(|confirmed| **confirmed == *header)
                    || changes.iter().any(|change| matches!(change, Change::Header(line) if **line == *header))
            };
            let will = self.wills.get(&stream).cloned();
            let is_at_work = found.state == Some(StreamState::Running) || judged.contains(&Verdict::Repeat);
            match (found.state, found.header) {
                (Some(StreamState::Waiting), _) => {
                    runs.extend(found.run.filter(|_| found.is_set_again).map(|run| (stream.clone(), (run, false))));
                    push_will(&mut out, will);
                }
                (Some(state), Some(header)) if is_mine(&header) && is_at_work => {
                    let has_ended = state == StreamState::Ended;
                    runs.extend(found.run.map(|run| (stream.clone(), (run, has_ended))));
                    if has_ended {
                        // By this client, as is known now: what it sets next begins another run.
                        self.headers.remove(&stream);
                    } else {
                        self.headers.insert(stream.clone(), header.into());
                    }
                    push_will(&mut out, will);
                }
                // Another time the broker may take the header.
                (Some(_), _) if found.refused.is_some() => push_will(&mut out, will),
                // It belongs to somebody else now, or has ended. It may be about to begin.
                (Some(_), _) => {
                    self.headers.remove(&stream);
                    if judged.contains(&Verdict::Repeat) {
                        push_will(&mut out, will);
                    } else {
                        self.wills.remove(&stream);
                    }
                }
                (None, _) => push_will(&mut out, will),
            }
            if judged.last() == Some(&Verdict::Stale) {
                self.changes.remove(&stream);
            }
            refused.extend(found.refused.map(|reason| (stream.clone(), reason)));
            verdicts.insert(stream, VecDeque::from(judged));
        }
        let mut left_out = Vec::new();
        out.extend(&bytes, parts, |out, line, kind| {
            let Kind::Change(mark) = kind else { return out.push_part(line, kind) };
            let verdict = verdicts.get_mut(&mark.stream).and_then(VecDeque::pop_front).unwrap_or(Verdict::Repeat);
            if verdict != Verdict::Repeat {
                left_out.push((mark, verdict));
                return;
            }
            let run = run_of(&mark, &mut runs).filter(|_| !mark.is_conditional);
            let Some(run) = run else { return out.push_part(line, Kind::Change(mark)) };
            out.push_of(line, mark, run, || {
                self.latest += 1;
                self.latest
            });
        });
        let unconfirmed: usize = self.unconfirmed.iter().map(|(chunk, _)| chunk.bytes.len()).sum();
        (self.queued, self.out) = (out.bytes.len() + unconfirmed, out);
        for (mark, verdict) in left_out {
            let why = refused.get(&mark.stream).cloned().unwrap_or_else(|| stale(&mark.stream));
            self.leave_out(mark, verdict, why);
        }
        true
    }

    /// Tells whoever waits for an action that a new connection does not repeat.
    fn leave_out(&mut self, mark: Mark, verdict: Verdict, why: Reason) {
        self.actions = self.actions.saturating_sub(1);
        match mark.receipt {
            Some(receipt) if verdict == Verdict::Done => self.answer_taken(receipt),
            Some(receipt) => self.answer(receipt, Err(why.into())),
            None if verdict == Verdict::Done => {}
            None => drop(self.refused.get_or_insert(why)),
        }
    }
}

fn marks(parts: &[Part]) -> impl Iterator<Item = &Mark> {
    parts.iter().filter_map(Part::mark)
}

/// The run that a change is to touch: this client's, as long as it is on. A header behind its end begins another.
fn run_of(mark: &Mark, runs: &mut HashMap<String, (Epoch, bool)>) -> Option<Epoch> {
    let (run, has_ended) = *runs.get(&mark.stream)?;
    if has_ended || mark.change.header().is_none() {
        runs.remove(&mark.stream);
    }
    (!has_ended || mark.change.header().is_none()).then_some(run)
}

fn push_will(out: &mut Lines, will: Option<Bytes>) {
    if let Some(will) = will {
        out.push_part(&will, Kind::Will);
    }
}

/// What was queued changes of each stream, in order.
fn changes(parts: &[Part]) -> HashMap<String, Vec<Change>> {
    let mut changes: HashMap<String, Vec<Change>> = HashMap::new();
    for Mark { stream, change, .. } in marks(parts) {
        changes.entry(stream.clone()).or_default().push(change.clone());
    }
    changes
}

/// Why an action was not repeated.
fn stale(stream: &str) -> Reason {
    let reason = format!("the connection was lost before this was confirmed, and since then somebody else has begun or ended {stream:?}");
    Reason { code: "stale".to_owned(), reason }
}
