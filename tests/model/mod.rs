//! What the contract says about streams and those who listen to them, as simply as its words: maps, lists, no positions,
//! no sharing, no shrinking. The tests and the fuzzer compare the broker with it.
//!
//! - [`step`]: what can happen.
//! - [`limits`]: how many there are in a history, and the limits of its broker.
//! - [`stream`], [`keeping`]: what is kept of streams, and how they end.
//! - [`listening`]: how connections become listeners, and what they are told then.
//! - [`prefixes`]: what listeners of prefixes are told.
//! - [`directory`]: what listeners of the directory are told.
//! - [`core`]: the same steps taken by the core alone.
//! - [`lines`]: the lines of the wire, and who was sent which.
//! - [`lost`]: sessions and wills.
//! - [`newest`]: what those who want the newest message only may be sent.
//! - [`spelling`]: steps, and mistakes, as lines.
//! - [`wire`]: the same steps as lines of several connections, taken by a broker without sockets.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

pub(crate) mod core;
mod directory;
mod keeping;
mod limits;
mod lines;
mod listening;
mod lost;
mod newest;
mod prefixes;
mod spelling;
mod step;
mod stream;
pub(crate) mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use msgstream::internal::broker::core::{CoreLimits, Epochs};
use msgstream::internal::wire::ids::StreamName;
use msgstream::internal::wire::{Epoch, Position, Start, Starts};

use directory::Directory;
use listening::position_member;
use prefixes::Walk;
use stream::Stream;

pub(crate) use limits::{CONNECTIONS, ENDED_TIME, MOST_LISTENS, MOST_STORED, MOST_STREAMS, SESSIONS, STREAMS, remembering, tight};
pub(crate) use lines::{
    BYE, Delivered, END, NAMES, begin_latest_line, close_line, latest_line, name, pong_line, put_line, without_life, without_reason,
};
use lost::Lost;
pub(crate) use lost::{MOST_SESSIONS, SESSION_TIME, session_name};
#[allow(unused_imports, reason = "the fuzzer makes its histories of bytes")]
pub(crate) use prefixes::{OF_CLIENTS, PREFIXES};
pub(crate) use step::{Begin, Step, Which};

/// What a step says of runs, in the broker's own terms.
#[derive(Debug, Clone, Default)]
pub(crate) struct Terms {
    pub(crate) of: Option<Epoch>,
    pub(crate) absent: bool,
    pub(crate) start: Option<Start>,
    pub(crate) starts: Option<Starts>,
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
    /// The prefixes that connections listen to, and whether they want the newest message only.
    prefixes: BTreeMap<(u32, String), bool>,
    /// The broker's ids of connections, if they are others.
    pub(crate) ids: BTreeMap<u32, u32>,
    /// Those who have yet to join streams that there are.
    walks: BTreeMap<u32, Walk>,
    /// None: nobody listens to it.
    directory: Option<Directory>,
    pub(crate) delivered: Delivered,
    pub(crate) now: Duration,
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
            prefixes: BTreeMap::new(),
            ids: BTreeMap::new(),
            walks: BTreeMap::new(),
            directory: None,
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
            Step::ListenPrefix { begin: Some(Begin { back, last, latest }), .. } => {
                // For all but the last one of clients.
                let after = back.map(|(which, back)| {
                    let streams = (0..NAMES)
                        .filter(|stream| *stream != STREAMS - 1)
                        .rev()
                        .map(|stream| (StreamName::new(&name(stream)).unwrap(), position(stream, which, back)));
                    streams.collect()
                });
                Terms { starts: Some(Starts { after, last: *last, latest: *latest }), ..Terms::default() }
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
            let (header, ended, sequence, bytes, touched, listed) = (None, None, 0, 0, 0, None);
            Stream { header, ended, listeners, latest, epoch, sequence, bytes, header_at: now, touched, since: now, window, listed }
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
        let listened: usize = self.prefixes.keys().map(|(_, prefix)| prefixes::listened(prefix)).sum();
        self.streams.values().map(Stream::stored).sum::<usize>() + order + listened + self.lost.stored()
    }

    /// Whether the connection has ended, or takes no more.
    pub(crate) fn is_deaf(&self, connection: u32) -> bool {
        self.delivered.deaf.contains(&connection)
    }

    pub(crate) fn step(&mut self, step: &Step, terms: &Terms) {
        self.take(step, terms);
        self.tell_directory();
    }

    fn take(&mut self, step: &Step, terms: &Terms) {
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
    pub(crate) fn pass(&mut self, time: Duration) {
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
        self.tell_directory();
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
}
