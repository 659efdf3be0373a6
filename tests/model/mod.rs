//! What the contract says about streams and those who listen to them, as simply as its words: maps, lists, no positions,
//! no sharing, no shrinking. The tests and the fuzzer compare the broker with it.
//!
//! - [`step`]: what can happen.
//! - [`prefixes`]: what listeners of prefixes are told.
//! - [`core`]: the same steps taken by the core alone.
//! - [`lines`]: the lines of the wire, and who was sent which.
//! - [`lost`]: sessions and wills.
//! - [`spelling`]: steps, and mistakes, as lines.
//! - [`wire`]: the same steps as lines of several connections, taken by a broker without sockets.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

pub(crate) mod core;
mod lines;
mod lost;
mod prefixes;
mod spelling;
mod step;
pub(crate) mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use msgstream::internal::broker::core::{CoreLimits, Epochs, ReplayLimits};
use msgstream::internal::wire::ids::StreamName;
use msgstream::internal::wire::{Epoch, Position, Start, Starts};

use prefixes::Walk;

pub(crate) use lines::{
    BYE, Delivered, END, begin_latest_line, close_line, latest_line, name, pong_line, put_line, without_life, without_reason,
};
use lost::Lost;
pub(crate) use lost::{MOST_SESSIONS, SESSION_TIME, session_name};
#[allow(unused_imports, reason = "the fuzzer makes its histories of bytes")]
pub(crate) use prefixes::PREFIXES;
pub(crate) use step::{Begin, Step, Which};

pub(crate) const CONNECTIONS: u32 = 5;
pub(crate) const STREAMS: usize = 5;
/// One more than there may be at once.
pub(crate) const SESSIONS: usize = MOST_SESSIONS + 1;
pub(crate) const MOST_STREAMS: usize = 4;
pub(crate) const MOST_LISTENS: usize = 3;
pub(crate) const ENDED_TIME: Duration = Duration::from_secs(10);
/// Room for three headers and two ends with a few listeners, or thereabouts.
pub(crate) const MOST_STORED: usize = 2280;

/// What a stream, its end and a listener take beside the lines that are kept, in bytes of memory.
const PLACE: usize = 272;
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
#[derive(Debug, Clone, Default)]
pub(crate) struct Terms {
    pub(crate) of: Option<Epoch>,
    pub(crate) absent: bool,
    pub(crate) start: Option<Start>,
    pub(crate) starts: Option<Starts>,
}

#[derive(Debug, Clone)]
struct Stream {
    header: Option<String>,
    ended: Option<Ended>,
    /// And whether they asked for it by its name.
    listeners: BTreeMap<u32, bool>,
    /// Those of them who get the latest message only.
    latest: BTreeSet<u32>,
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
        self.header.is_none() && self.ended.is_none() && !self.listeners.values().any(|named| *named)
    }
}

/// By what a listener is told where it begins.
enum Told {
    Receipt,
    Joined,
}

fn position_member(Position { epoch, sequence }: Position) -> String {
    format!(",\"position\":{{\"epoch\":\"{epoch}\",\"sequence\":{sequence}}}")
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
    /// The prefixes that connections listen to.
    prefixes: BTreeSet<(u32, String)>,
    /// The broker's ids of connections, if they are others.
    pub(crate) ids: BTreeMap<u32, u32>,
    /// Those who have yet to join streams that there are.
    walks: BTreeMap<u32, Walk>,
    pub(crate) delivered: Delivered,
    now: Duration,
}

impl Model {
    pub(crate) fn new(limits: CoreLimits) -> Self {
        let (streams, delivered) = (BTreeMap::new(), Delivered::default());
        Self {
            limits,
            streams,
            epochs: Epochs::new(0),
            runs: Vec::new(),
            lost: Lost::default(),
            prefixes: BTreeSet::new(),
            ids: BTreeMap::new(),
            walks: BTreeMap::new(),
            delivered,
            now: Duration::ZERO,
        }
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
        let position = |stream: usize, which: Which, back: u64| {
            let here = self.streams.get(&name(stream)).map_or(0, |stream| stream.sequence);
            Position { epoch: epoch(stream, which), sequence: (here + 1).saturating_sub(back) }
        };
        match step {
            Step::Put { stream, of, .. } | Step::Close { stream, of, .. } | Step::Delete { stream, of, .. } => {
                Terms { of: of.map(|which| epoch(*stream, which)), ..Terms::default() }
            }
            Step::Header { stream, of, absent, .. } => {
                Terms { of: of.map(|which| epoch(*stream, which)), absent: *absent, ..Terms::default() }
            }
            Step::Listen { stream, begin: Some(Begin { back, last, latest }), .. } => {
                let after = back.map(|(which, back)| position(*stream, which, back));
                Terms { start: Some(Start { after, last: *last, latest: *latest }), ..Terms::default() }
            }
            Step::ListenPrefix { begin: Some(Begin { back, last, .. }), .. } => {
                // For all but the last one.
                let after = back.map(|(which, back)| {
                    let streams =
                        (0..STREAMS - 1).rev().map(|stream| (StreamName::new(&name(stream)).unwrap(), position(stream, which, back)));
                    streams.collect()
                });
                Terms { starts: Some(Starts { after, last: *last, latest: false }), ..Terms::default() }
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
            let (listeners, latest, window) = (BTreeMap::new(), BTreeSet::new(), Vec::new());
            Stream { header: None, ended: None, listeners, latest, epoch, sequence: 0, since: now, window, listed: None }
        })
    }

    /// Whether an action that is meant for one run finds that.
    fn is_stale(&self, stream: &str, terms: &Terms, opens: bool) -> bool {
        let state = self.streams.get(stream);
        let other = terms.of.is_some_and(|of| state.is_none_or(|state| state.epoch != of || opens && state.ended.is_some()));
        other || terms.absent && state.is_some_and(|state| state.header.is_some() || state.ended.is_some())
    }

    pub(crate) fn streams(&self) -> usize {
        self.streams.len()
    }

    /// What is kept of all streams, sessions and wills, in bytes of memory.
    pub(crate) fn stored(&self) -> usize {
        let order = if self.prefixes.is_empty() { 0 } else { prefixes::ORDERED * self.streams.len() };
        let listened: usize = self.prefixes.iter().map(|(_, prefix)| prefixes::listened(prefix)).sum();
        self.streams.values().map(Stream::stored).sum::<usize>() + order + listened + self.lost.stored()
    }

    /// Whether the connection has ended, or takes no more.
    pub(crate) fn is_deaf(&self, connection: u32) -> bool {
        self.delivered.deaf.contains(&connection)
    }

    pub(crate) fn step(&mut self, step: &Step, terms: &Terms) {
        match step {
            Step::Put { from, stream, text, header, receipt, .. } => {
                let stream = name(*stream);
                if self.is_stale(&stream, terms, header.is_some()) {
                    return self.refuse(*from, "stale", &stream, *receipt);
                }
                let begins = header.map(|header| self.store(&stream, header));
                if begins == Some(None) {
                    return self.refuse(*from, "limit", &stream, *receipt);
                }
                let line = put_line(&stream, *text);
                if self.is_remembering() && !self.streams.contains_key(&stream) {
                    self.entry(&stream);
                    self.announce(&stream);
                }
                let reached = self.publish(&stream, &line);
                self.keep(&stream, line);
                if begins == Some(Some(true)) {
                    self.announce(&stream);
                }
                let position = self.streams.get(&stream).map(Stream::position);
                self.answer(*from, *receipt, &format!(",\"listeners\":{reached}"), position);
            }
            Step::Header { from, stream, text, receipt, .. } => {
                let stream = name(*stream);
                if self.is_stale(&stream, terms, true) {
                    return self.refuse(*from, "stale", &stream, *receipt);
                }
                match self.store(&stream, *text) {
                    Some(true) => self.announce(&stream),
                    Some(false) => {}
                    None => return self.refuse(*from, "limit", &stream, *receipt),
                }
                let position = self.streams.get(&stream).map(Stream::position);
                self.answer(*from, *receipt, "", position);
            }
            Step::Listen { from, stream, receipt, .. } => self.listen(*from, &name(*stream), terms.start.unwrap_or_default(), *receipt),
            Step::ListenPrefix { from, prefix, receipt, .. } => {
                if self.begin_walk(*from, prefixes::PREFIXES[*prefix], terms.starts.clone(), *receipt) {
                    while !self.walk_on(*from) {}
                }
            }
            Step::HangupPrefix { from, prefix, receipt } => {
                self.hang_up_prefix(*from, prefixes::PREFIXES[*prefix]);
                self.answer(*from, *receipt, "", None);
            }
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
            let position = position.map(position_member).unwrap_or_default();
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
        let order = if self.prefixes.is_empty() { 0 } else { prefixes::ORDERED };
        let place = if self.streams.contains_key(stream) { 0 } else { PLACE + order };
        self.stored() + place + more <= self.limits.stored
    }

    /// Whether a run begins with this header. None if there is no room for it.
    fn store(&mut self, stream: &str, text: u16) -> Option<bool> {
        let header = put_line(stream, text);
        let before = self.streams.get(stream).and_then(|stream| stream.header.as_ref()).map_or(0, |line| core::cost(line));
        if !self.room(stream) || !self.room_to_keep(stream, core::cost(&header).saturating_sub(before)) {
            return None;
        }
        let mut begins = !self.streams.contains_key(stream);
        let now = self.now;
        if self.entry(stream).ended.take().is_some() {
            begins = true;
            let epoch = self.epochs.draw();
            self.runs.push((stream.to_owned(), epoch));
            let entry = self.entry(stream);
            (entry.epoch, entry.sequence, entry.window, entry.since) = (epoch, 0, Vec::new(), now);
        }
        let entry = self.entry(stream);
        if entry.header.replace(header).is_none() {
            entry.since = now;
        }
        Some(begins)
    }

    /// A message for those who get each, and for those who get the latest.
    fn publish(&mut self, stream: &str, line: &str) -> usize {
        let latest = self.streams.get(stream).map(|stream| stream.latest.clone()).unwrap_or_default();
        let listeners = self.streams.get(stream).map(|stream| stream.listeners.clone()).unwrap_or_default();
        let line_for = |listener| if latest.contains(listener) { latest_line(line, 1) } else { line.to_owned() };
        listeners.keys().filter(|listener| self.delivered.deliver(**listener, line_for(listener))).count()
    }

    fn broadcast(&mut self, stream: &str, line: &str) -> usize {
        let listeners = self.streams.get(stream).map(|stream| stream.listeners.clone()).unwrap_or_default();
        listeners.keys().filter(|listener| self.delivered.deliver(**listener, line.to_owned())).count()
    }

    fn close(&mut self, from: u32, stream: &str, text: u16, terms: &Terms, receipt: bool) {
        match self.end(stream, text, terms) {
            Ok(reached) => self.answer(from, receipt, &format!(",\"listeners\":{reached}"), None),
            Err(code) => self.refuse(from, code, stream, receipt),
        }
    }

    fn has_ended(&self, stream: &str) -> bool {
        self.streams.get(stream).is_some_and(|stream| stream.ended.is_some())
    }

    /// Ends a stream. Returns how many were told, or why it is refused.
    fn end(&mut self, stream: &str, text: u16, terms: &Terms) -> Result<usize, &'static str> {
        if self.is_stale(stream, terms, false) {
            return Err("stale");
        }
        if !self.room(stream) || !self.streams.contains_key(stream) && !self.room_to_keep(stream, END_KEPT) {
            return Err("limit");
        }
        self.clear_will(stream);
        let is_new = !self.streams.contains_key(stream);
        let line = close_line(stream, text);
        let reached = self.broadcast(stream, &line);
        let now = self.now;
        let entry = self.entry(stream);
        entry.listeners.clear();
        entry.latest.clear();
        if entry.ended.take().is_none() {
            entry.since = now;
        }
        // The end of a stream that is there is never refused for want of room, but its message may be.
        let last = Some(line).filter(|line| self.stored() + END_KEPT + core::cost(line) <= self.limits.stored);
        let forget_at = self.now + ENDED_TIME;
        self.entry(stream).ended = Some(Ended { last, forget_at });
        if is_new {
            self.announce(stream);
        }
        Ok(reached)
    }

    fn hang_up(&mut self, from: u32, stream: Option<&str>, may_come_back: bool) {
        if stream.is_none() {
            self.prefixes.retain(|(listener, _)| *listener != from);
        }
        let prefixes = self.prefixes_of(from);
        for (name, state) in &mut self.streams {
            if stream.is_none_or(|wanted| wanted == name) {
                let was_named = if prefixes.iter().any(|prefix| name.starts_with(prefix)) {
                    state.listeners.get_mut(&from).is_some_and(std::mem::take)
                } else {
                    state.listeners.remove(&from).unwrap_or(false)
                };
                let listeners = &state.listeners;
                state.latest.retain(|listener| listeners.contains_key(listener));
                if was_named && may_come_back && self.limits.replay.stream > 0 {
                    state.listed = Some(self.now);
                }
            }
        }
        self.drop_empty();
    }

    fn drop_empty(&mut self) {
        self.streams.retain(|_, stream| !stream.is_empty() || stream.listed.is_some());
    }

    /// Leaves the first prefix that the connection listens to, or else the first stream. True if it listens to none after that.
    pub(crate) fn hang_up_first(&mut self, from: u32) -> bool {
        let listened =
            |model: &Self| model.streams.iter().find(|(_, stream)| stream.listeners.contains_key(&from)).map(|(name, _)| name.clone());
        if let Some(prefix) = self.prefixes_of(from).first() {
            self.prefixes.remove(&(from, prefix.clone()));
        } else if let Some(name) = listened(self) {
            self.hang_up(from, Some(&name), false);
        }
        listened(self).is_none() && self.prefixes_of(from).is_empty()
    }

    fn listen(&mut self, from: u32, stream: &str, start: Start, receipt: bool) {
        if let Some(ended) = self.streams.get(stream).and_then(|state| state.ended.clone()) {
            let last = ended.last.unwrap_or_else(|| format!("{{\"action\":\"close\",\"stream\":\"{stream}\"}}\n"));
            self.begin(from, stream, start, receipt.then_some(Told::Receipt));
            self.delivered.deliver(from, last);
            return;
        }
        let is_new = !self.streams.contains_key(stream);
        if !self.enter(from, stream, true) {
            return self.refuse(from, "limit", stream, receipt);
        }
        let entry = self.entry(stream);
        if start.latest {
            entry.latest.insert(from);
        } else {
            entry.latest.remove(&from);
        }
        if is_new {
            self.announce(stream);
        }
        self.begin(from, stream, start, receipt.then_some(Told::Receipt));
    }

    /// How many streams and prefixes a connection listens to.
    fn listens(&self, from: u32) -> usize {
        self.streams.values().filter(|stream| stream.listeners.contains_key(&from)).count() + self.prefixes_of(from).len()
    }

    /// Makes a connection a listener. False if there is no room.
    fn enter(&mut self, from: u32, stream: &str, named: bool) -> bool {
        let known = self.streams.get(stream).is_some_and(|state| state.listeners.contains_key(&from));
        if !known && (self.listens(from) >= self.limits.listens || !self.room(stream) || !self.room_to_keep(stream, LISTENER)) {
            return false;
        }
        let entry = self.entry(stream);
        let is_named = entry.listeners.entry(from).or_insert(false);
        *is_named |= named;
        if !*is_named {
            // Prefixes are listened to for each message here.
            entry.latest.remove(&from);
        }
        true
    }

    /// The header, the receipt or that it has joined, and the messages of the past that are asked for.
    fn begin(&mut self, to: u32, stream: &str, start: Start, told: Option<Told>) {
        let state = self.streams[stream].clone();
        let oldest = state.sequence - state.window.len() as u64;
        let same = start.after.filter(|after| after.epoch == state.epoch && after.sequence <= state.sequence);
        let resumes = same.filter(|after| after.sequence >= oldest);
        let from = match resumes {
            Some(after) => after.sequence,
            None => oldest.max(state.sequence.saturating_sub(start.last.unwrap_or(0))),
        };
        if start.latest {
            self.delivered.deliver(to, begin_latest_line(stream));
        }
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
        let position = Position { sequence: from, ..state.position() };
        match told {
            Some(Told::Receipt) => self.answer(to, true, &effect, Some(position)),
            Some(Told::Joined) => {
                self.delivered
                    .deliver(to, format!("{{\"action\":\"joined\",\"stream\":\"{stream}\"{effect}{}}}\n", position_member(position)));
            }
            None => {}
        }
        let window = &state.window[(from - oldest) as usize..];
        if start.latest {
            if let Some((line, _)) = window.last() {
                self.delivered.deliver(to, latest_line(line, window.len() as u64));
            }
            return;
        }
        for (line, _) in window {
            self.delivered.deliver(to, line.clone());
        }
    }
}
