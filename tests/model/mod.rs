//! What the contract says about streams and those who listen to them, as simply as its words: maps, lists, no positions,
//! no sharing, no shrinking. The tests and the fuzzer compare the broker with it.
//!
//! - [`step`]: what can happen.
//! - [`core`]: the same steps taken by the core alone.
//! - [`lines`]: the lines of the wire, and who was sent which.
//! - [`lost`]: sessions and wills.
//! - [`spelling`]: steps, and mistakes, as lines.
//! - [`wire`]: the same steps as lines of several connections, taken by a broker without sockets.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

pub(crate) mod core;
mod lines;
mod lost;
mod spelling;
mod step;
pub(crate) mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use msgstream::internal::broker::core::{CoreLimits, Epochs, ReplayLimits};
use msgstream::internal::wire::{Epoch, Position, Start};

pub(crate) use lines::{BYE, Delivered, END, close_line, name, pong_line, put_line, without_life, without_reason};
use lost::Lost;
pub(crate) use lost::{MOST_SESSIONS, SESSION_TIME, session_name};
pub(crate) use step::{Begin, Step, Which};

pub(crate) const CONNECTIONS: u32 = 5;
pub(crate) const STREAMS: usize = 5;
/// One more than there may be at once.
pub(crate) const SESSIONS: usize = MOST_SESSIONS + 1;
pub(crate) const MOST_STREAMS: usize = 4;
pub(crate) const MOST_LISTENS: usize = 3;
pub(crate) const ENDED_TIME: Duration = Duration::from_secs(10);
/// Room for three headers and two ends with a few listeners, or thereabouts.
pub(crate) const MOST_STORED: usize = 2150;

/// What a stream, its end and a listener take beside the lines that are kept, in bytes of memory.
const PLACE: usize = 240;
const END_KEPT: usize = 128;
const LISTENER: usize = 80;

pub(crate) const REPLAY_TIME: Duration = Duration::from_secs(7);

/// Limits that histories reach, and no past.
pub(crate) fn tight() -> CoreLimits {
    let replay = ReplayLimits { stream: 0, total: 0, time: Duration::ZERO };
    CoreLimits {
        streams: MOST_STREAMS,
        listens: MOST_LISTENS,
        stored: MOST_STORED,
        ended_time: ENDED_TIME,
        replay,
        sessions: MOST_SESSIONS,
        session_time: SESSION_TIME,
    }
}

/// A limit on the age of the past that histories reach, and no others.
pub(crate) fn remembering() -> CoreLimits {
    let replay = ReplayLimits { stream: usize::MAX, total: usize::MAX, time: REPLAY_TIME };
    CoreLimits {
        streams: usize::MAX,
        listens: usize::MAX,
        stored: usize::MAX,
        ended_time: ENDED_TIME,
        replay,
        sessions: usize::MAX,
        session_time: SESSION_TIME,
    }
}

/// What a step says of runs, in the broker's own terms.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Terms {
    pub(crate) of: Option<Epoch>,
    pub(crate) absent: bool,
    pub(crate) start: Option<Start>,
}

#[derive(Debug, Clone)]
struct Stream {
    header: Option<String>,
    ended: Option<Ended>,
    listeners: BTreeSet<u32>,
    epoch: Epoch,
    sequence: u64,
    since: Duration,
    /// The last messages, and when they were put.
    window: Vec<(String, Duration)>,
    /// Since when it has had a past.
    listed: Option<Duration>,
}

#[derive(Debug, Clone)]
struct Ended {
    /// What late listeners are told: the last message, if there was room to keep it.
    last: Option<String>,
    forget_at: Duration,
}

impl Stream {
    fn stored(&self) -> usize {
        let last = self.ended.iter().filter_map(|ended| ended.last.as_ref());
        let lines: usize = self.header.iter().chain(last).map(|line| core::cost(line)).sum();
        PLACE + lines + END_KEPT * usize::from(self.ended.is_some()) + LISTENER * self.listeners.len()
    }

    fn state(&self) -> &'static str {
        match (&self.ended, &self.header) {
            (Some(_), _) => "ended",
            (None, Some(_)) => "running",
            (None, None) => "waiting",
        }
    }

    fn position(&self) -> Position {
        Position { epoch: self.epoch, sequence: self.sequence }
    }

    /// Whether nothing is left, its past aside.
    fn is_empty(&self) -> bool {
        self.header.is_none() && self.ended.is_none() && self.listeners.is_empty()
    }
}

/// The contract in plain maps.
#[derive(Debug)]
pub(crate) struct Model {
    limits: CoreLimits,
    streams: BTreeMap<String, Stream>,
    epochs: Epochs,
    /// Which streams had which epochs, in their order.
    runs: Vec<(String, Epoch)>,
    lost: Lost,
    pub(crate) delivered: Delivered,
    now: Duration,
}

impl Model {
    pub(crate) fn new(limits: CoreLimits) -> Self {
        let (streams, delivered) = (BTreeMap::new(), Delivered::default());
        Self { limits, streams, epochs: Epochs::new(0), runs: Vec::new(), lost: Lost::default(), delivered, now: Duration::ZERO }
    }

    /// What a step would say now.
    pub(crate) fn terms(&self, step: &Step) -> Terms {
        let epoch = |stream: usize, which: Which| {
            let mut of_stream = self.runs.iter().rev().filter(|(owner, _)| *owner == name(stream)).map(|(_, epoch)| *epoch);
            let epoch = match which {
                Which::Current => of_stream.next(),
                Which::Former => of_stream.nth(1),
                Which::Foreign => None,
            };
            epoch.unwrap_or_else(|| Epoch::of_text("of nobody"))
        };
        match step {
            Step::Put { stream, of, .. } | Step::Close { stream, of, .. } | Step::Delete { stream, of, .. } => {
                Terms { of: of.map(|which| epoch(*stream, which)), ..Terms::default() }
            }
            Step::Header { stream, of, absent, .. } => {
                Terms { of: of.map(|which| epoch(*stream, which)), absent: *absent, ..Terms::default() }
            }
            Step::Listen { stream, begin: Some(Begin { back, last }), .. } => {
                let here = self.streams.get(&name(*stream)).map_or(0, |stream| stream.sequence);
                let after = back.map(|(which, back)| Position { epoch: epoch(*stream, which), sequence: (here + 1).saturating_sub(back) });
                Terms { start: Some(Start { after, last: *last }), ..Terms::default() }
            }
            _ => Terms::default(),
        }
    }

    fn is_remembering(&self) -> bool {
        self.limits.replay.stream > 0
    }

    /// The stream of a name, made if there is none.
    fn entry(&mut self, stream: &str) -> &mut Stream {
        let (epochs, runs, now) = (&mut self.epochs, &mut self.runs, self.now);
        self.streams.entry(stream.to_owned()).or_insert_with(|| {
            let epoch = epochs.draw();
            runs.push((stream.to_owned(), epoch));
            let (listeners, window) = (BTreeSet::new(), Vec::new());
            Stream { header: None, ended: None, listeners, epoch, sequence: 0, since: now, window, listed: None }
        })
    }

    /// Whether an action that is meant for one run finds that.
    fn is_stale(&self, stream: &str, terms: Terms, opens: bool) -> bool {
        let state = self.streams.get(stream);
        let other = terms.of.is_some_and(|of| state.is_none_or(|state| state.epoch != of || opens && state.ended.is_some()));
        other || terms.absent && state.is_some_and(|state| state.header.is_some() || state.ended.is_some())
    }

    pub(crate) fn streams(&self) -> usize {
        self.streams.len()
    }

    /// What is kept of all streams, sessions and wills, in bytes of memory.
    pub(crate) fn stored(&self) -> usize {
        self.streams.values().map(Stream::stored).sum::<usize>() + self.lost.stored()
    }

    /// Whether the connection has ended, or takes no more.
    pub(crate) fn is_deaf(&self, connection: u32) -> bool {
        self.delivered.deaf.contains(&connection)
    }

    pub(crate) fn step(&mut self, step: &Step, terms: Terms) {
        match step {
            Step::Put { from, stream, text, header, receipt, .. } => {
                let stream = name(*stream);
                if self.is_stale(&stream, terms, header.is_some()) {
                    return self.refuse(*from, "stale", &stream, *receipt);
                }
                if header.is_some_and(|header| !self.store(&stream, header)) {
                    return self.refuse(*from, "limit", &stream, *receipt);
                }
                let line = put_line(&stream, *text);
                if self.is_remembering() {
                    self.entry(&stream);
                }
                let reached = self.broadcast(&stream, &line);
                self.keep(&stream, line);
                let position = self.streams.get(&stream).map(Stream::position);
                self.answer(*from, *receipt, &format!(",\"listeners\":{reached}"), position);
            }
            Step::Header { from, stream, text, receipt, .. } => {
                let stream = name(*stream);
                if self.is_stale(&stream, terms, true) {
                    return self.refuse(*from, "stale", &stream, *receipt);
                }
                if !self.store(&stream, *text) {
                    return self.refuse(*from, "limit", &stream, *receipt);
                }
                let position = self.streams.get(&stream).map(Stream::position);
                self.answer(*from, *receipt, "", position);
            }
            Step::Listen { from, stream, receipt, .. } => self.listen(*from, &name(*stream), terms.start.unwrap_or_default(), *receipt),
            Step::Hangup { from, stream, receipt } => {
                self.hang_up(*from, stream.map(name).as_deref(), false);
                self.answer(*from, *receipt, "", None);
            }
            Step::Close { from, stream, text, receipt, .. } => self.close(*from, &name(*stream), *text, terms, *receipt),
            Step::Delete { from, stream, text, receipt, .. } => {
                let stream = name(*stream);
                if self.is_stale(&stream, terms, false) {
                    return self.refuse(*from, "stale", &stream, *receipt);
                }
                let reached = self.broadcast(&stream, &close_line(&stream, *text));
                self.streams.remove(&stream);
                self.clear_will(&stream);
                self.answer(*from, *receipt, &format!(",\"listeners\":{reached}"), None);
            }
            Step::Ping { from, text } => {
                self.delivered.deliver(*from, pong_line(*text));
            }
            Step::Will { from, stream, text, receipt } => self.will(*from, &name(*stream), *text, *receipt),
            Step::Leave { from, last } => {
                if *last {
                    self.retire(*from);
                } else {
                    self.lose(*from);
                }
                self.hang_up(*from, None, true);
                self.delivered.finish(*from, last.then(|| BYE.to_owned()));
            }
            Step::Deafen { from } => {
                self.delivered.deaf.insert(*from);
            }
            Step::Reconnect { from, session } => {
                self.delivered.deaf.insert(*from);
                self.lose(*from);
                self.hang_up(*from, None, true);
                self.delivered.deaf.remove(from);
                if let Some(session) = session {
                    self.session(*from, *session);
                }
            }
            Step::Tick { seconds } => (0..2 * seconds).for_each(|_| self.pass(Duration::from_millis(500))),
        }
    }

    /// Time passes.
    fn pass(&mut self, time: Duration) {
        self.now += time;
        let now = self.now;
        self.streams.retain(|_, stream| stream.ended.as_ref().is_none_or(|ended| ended.forget_at > now));
        for stream in self.streams.values_mut() {
            let latest = stream.window.last().map(|(_, at)| *at).max(stream.listed);
            if latest.is_some_and(|latest| latest + self.limits.replay.time <= now) {
                (stream.listed, stream.window) = (None, Vec::new());
            }
        }
        self.streams.retain(|_, stream| !stream.is_empty() || stream.listed.is_some());
        self.lose_sessions();
    }

    fn answer(&mut self, to: u32, receipt: bool, effect: &str, position: Option<Position>) {
        if receipt {
            let position =
                position.map(|Position { epoch, sequence }| format!(",\"position\":{{\"epoch\":\"{epoch}\",\"sequence\":{sequence}}}"));
            let position = position.unwrap_or_default();
            self.delivered.deliver(to, format!("{{\"action\":\"receipt\",\"receipt\":7{effect}{position}}}\n"));
        }
    }

    fn refuse(&mut self, to: u32, code: &str, stream: &str, receipt: bool) {
        let receipt = if receipt { ",\"receipt\":7" } else { "" };
        self.delivered
            .deliver(to, format!("{{\"action\":\"error\",\"message\":{{\"code\":\"{code}\"}},\"stream\":\"{stream}\"{receipt}}}\n"));
    }

    /// A message counts, and is kept until nothing more has come for a time.
    fn keep(&mut self, stream: &str, line: String) {
        let (now, is_remembering) = (self.now, self.is_remembering());
        let Some(stream) = self.streams.get_mut(stream).filter(|stream| stream.ended.is_none()) else { return };
        stream.sequence += 1;
        if is_remembering {
            stream.window.push((line, now));
            stream.listed.get_or_insert(now);
        }
    }

    fn room(&self, stream: &str) -> bool {
        self.streams.contains_key(stream) || self.streams.len() < self.limits.streams
    }

    /// Whether `more` bytes can be kept of a stream, and its place if there is none of that name.
    fn room_to_keep(&self, stream: &str, more: usize) -> bool {
        let place = if self.streams.contains_key(stream) { 0 } else { PLACE };
        self.stored() + place + more <= self.limits.stored
    }

    fn store(&mut self, stream: &str, text: u16) -> bool {
        let header = put_line(stream, text);
        let before = self.streams.get(stream).and_then(|stream| stream.header.as_ref()).map_or(0, |line| core::cost(line));
        if !self.room(stream) || !self.room_to_keep(stream, core::cost(&header).saturating_sub(before)) {
            return false;
        }
        let now = self.now;
        if self.entry(stream).ended.take().is_some() {
            let epoch = self.epochs.draw();
            self.runs.push((stream.to_owned(), epoch));
            let entry = self.entry(stream);
            (entry.epoch, entry.sequence, entry.window, entry.since) = (epoch, 0, Vec::new(), now);
        }
        let entry = self.entry(stream);
        if entry.header.replace(header).is_none() {
            entry.since = now;
        }
        true
    }

    fn broadcast(&mut self, stream: &str, line: &str) -> usize {
        let listeners = self.streams.get(stream).map(|stream| stream.listeners.clone()).unwrap_or_default();
        listeners.iter().filter(|listener| self.delivered.deliver(**listener, line.to_owned())).count()
    }

    fn close(&mut self, from: u32, stream: &str, text: u16, terms: Terms, receipt: bool) {
        match self.end(stream, text, terms) {
            Ok(reached) => self.answer(from, receipt, &format!(",\"listeners\":{reached}"), None),
            Err(code) => self.refuse(from, code, stream, receipt),
        }
    }

    fn has_ended(&self, stream: &str) -> bool {
        self.streams.get(stream).is_some_and(|stream| stream.ended.is_some())
    }

    /// Ends a stream. Returns how many were told, or why it is refused.
    fn end(&mut self, stream: &str, text: u16, terms: Terms) -> Result<usize, &'static str> {
        if self.is_stale(stream, terms, false) {
            return Err("stale");
        }
        if !self.room(stream) || !self.streams.contains_key(stream) && !self.room_to_keep(stream, END_KEPT) {
            return Err("limit");
        }
        self.clear_will(stream);
        let line = close_line(stream, text);
        let reached = self.broadcast(stream, &line);
        let now = self.now;
        let entry = self.entry(stream);
        entry.listeners.clear();
        if entry.ended.take().is_none() {
            entry.since = now;
        }
        // The end of a stream that is there is never refused for want of room, but its message may be.
        let last = Some(line).filter(|line| self.stored() + END_KEPT + core::cost(line) <= self.limits.stored);
        let forget_at = self.now + ENDED_TIME;
        self.entry(stream).ended = Some(Ended { last, forget_at });
        Ok(reached)
    }

    fn hang_up(&mut self, from: u32, stream: Option<&str>, may_come_back: bool) {
        for (name, state) in &mut self.streams {
            if stream.is_none_or(|wanted| wanted == name) {
                let left = state.listeners.remove(&from);
                if left && may_come_back && self.limits.replay.stream > 0 {
                    state.listed = Some(self.now);
                }
            }
        }
        self.streams.retain(|_, stream| !stream.is_empty() || stream.listed.is_some());
    }

    /// Leaves the first stream that the connection listens to. True if it listens to none after that.
    pub(crate) fn hang_up_first(&mut self, from: u32) -> bool {
        let listened =
            |model: &Self| model.streams.iter().find(|(_, stream)| stream.listeners.contains(&from)).map(|(name, _)| name.clone());
        if let Some(name) = listened(self) {
            self.hang_up(from, Some(&name), false);
        }
        listened(self).is_none()
    }

    fn listen(&mut self, from: u32, stream: &str, start: Start, receipt: bool) {
        if let Some(ended) = self.streams.get(stream).and_then(|state| state.ended.clone()) {
            let last = ended.last.unwrap_or_else(|| format!("{{\"action\":\"close\",\"stream\":\"{stream}\"}}\n"));
            self.begin(from, stream, start, receipt);
            self.delivered.deliver(from, last);
            return;
        }
        let listens = self.streams.values().filter(|stream| stream.listeners.contains(&from)).count();
        let known = self.streams.get(stream).is_some_and(|state| state.listeners.contains(&from));
        if !known && (listens >= self.limits.listens || !self.room(stream) || !self.room_to_keep(stream, LISTENER)) {
            return self.refuse(from, "limit", stream, receipt);
        }
        self.entry(stream).listeners.insert(from);
        self.begin(from, stream, start, receipt);
    }

    /// The header, the receipt, and the messages of the past that are asked for.
    fn begin(&mut self, to: u32, stream: &str, start: Start, receipt: bool) {
        let state = self.streams[stream].clone();
        let oldest = state.sequence - state.window.len() as u64;
        let same = start.after.filter(|after| after.epoch == state.epoch && after.sequence <= state.sequence);
        let resumes = same.filter(|after| after.sequence >= oldest);
        let from = match resumes {
            Some(after) => after.sequence,
            None => oldest.max(state.sequence.saturating_sub(start.last.unwrap_or(0))),
        };
        if let Some(header) = state.header.clone().filter(|_| resumes.is_none()) {
            self.delivered.deliver(to, header);
        }
        let mut effect = format!(",\"state\":\"{}\",\"age\":{}", state.state(), (self.now - state.since).as_millis() as f64 / 1000.0);
        if start.after.is_some() {
            effect += &format!(",\"resumed\":{}", resumes.is_some());
        }
        if let Some(after) = same.filter(|_| resumes.is_none()) {
            effect += &format!(",\"missed\":{}", from - after.sequence);
        }
        self.answer(to, receipt, &effect, Some(Position { sequence: from, ..state.position() }));
        for (line, _) in &state.window[(from - oldest) as usize..] {
            self.delivered.deliver(to, line.clone());
        }
    }
}
