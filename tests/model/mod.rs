//! What the contract says about streams and those who listen to them, as simply as its words: maps, lists, no positions,
//! no sharing, no shrinking. The tests and the fuzzer compare the broker with it.
//!
//! - [`step`]: what can happen.
//! - [`core`]: the same steps taken by the core alone.
//! - [`spelling`]: steps, and mistakes, as lines.
//! - [`wire`]: the same steps as lines of several connections, taken by a broker without sockets.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

pub(crate) mod core;
mod spelling;
mod step;
pub(crate) mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

pub(crate) use step::Step;

pub(crate) const CONNECTIONS: u32 = 5;
pub(crate) const STREAMS: usize = 5;
pub(crate) const MOST_STREAMS: usize = 4;
pub(crate) const MOST_LISTENS: usize = 3;
pub(crate) const ENDED_TIME: Duration = Duration::from_secs(10);
/// Room for three headers and two ends with a few listeners, or thereabouts.
pub(crate) const MOST_STORED: usize = 1700;

/// What a stream, its end and a listener take beside the lines that are kept, in bytes of memory.
const PLACE: usize = 128;
const END_KEPT: usize = 128;
const LISTENER: usize = 80;

/// The line that ends a connection which asked for its end.
pub(crate) const BYE: &str = "{\"action\":\"close\"}\n";
/// Stands for the end of a connection's lines.
pub(crate) const END: &str = "(end)\n";

pub(crate) fn name(stream: usize) -> String {
    format!("s{stream}")
}

pub(crate) fn put_line(stream: &str, text: u16) -> String {
    format!("{{\"action\":\"put\",\"stream\":\"{stream}\",\"message\":{text}}}\n")
}

pub(crate) fn close_line(stream: &str, text: u16) -> String {
    format!("{{\"action\":\"close\",\"stream\":\"{stream}\",\"message\":{text}}}\n")
}

pub(crate) fn pong_line(text: u16) -> String {
    format!("{{\"action\":\"pong\",\"receipt\":{text}}}\n")
}

/// A line without the reason that an error gives, which is for people.
pub(crate) fn without_reason(line: &str) -> String {
    const REASON: &str = ",\"reason\":\"";
    let Some((before, reason)) = line.split_once(REASON) else { return line.to_owned() };
    let mut escaped = false;
    let end = reason.find(|character| {
        let ends = character == '"' && !escaped;
        escaped = character == '\\' && !escaped;
        ends
    });
    assert!(end.is_some_and(|end| end > 0), "a reason without words or end: {line}");
    format!("{before}{}", &reason[end.unwrap_or_default() + 1..])
}

/// The lines that connections were sent in one step, in order: to whom, and the text.
#[derive(Debug, Default)]
pub(crate) struct Delivered {
    log: Vec<(u32, String)>,
    deaf: BTreeSet<u32>,
}

impl Delivered {
    fn deliver(&mut self, to: u32, line: String) -> bool {
        if self.deaf.contains(&to) {
            return false;
        }
        self.log.push((to, line));
        true
    }

    fn finish(&mut self, to: u32, last: Option<String>) {
        for line in last.into_iter().chain([END.to_owned()]) {
            self.deliver(to, line);
        }
        self.deaf.insert(to);
    }

    /// What each connection has got since the last call; between connections the order is free.
    pub(crate) fn take(&mut self) -> BTreeMap<u32, String> {
        let mut all = BTreeMap::<u32, String>::new();
        for (to, line) in self.log.drain(..) {
            all.entry(to).or_default().push_str(&line);
        }
        all
    }
}

#[derive(Debug, Default, Clone)]
struct Stream {
    header: Option<String>,
    ended: Option<Ended>,
    listeners: BTreeSet<u32>,
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
}

/// The contract in plain maps.
#[derive(Debug, Default)]
pub(crate) struct Model {
    streams: BTreeMap<String, Stream>,
    pub(crate) delivered: Delivered,
    now: Duration,
}

impl Model {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn streams(&self) -> usize {
        self.streams.len()
    }

    /// What is kept of all streams, in bytes of memory.
    pub(crate) fn stored(&self) -> usize {
        self.streams.values().map(Stream::stored).sum()
    }

    /// Whether the connection has ended, or takes no more.
    pub(crate) fn is_deaf(&self, connection: u32) -> bool {
        self.delivered.deaf.contains(&connection)
    }

    pub(crate) fn step(&mut self, step: &Step) {
        match step {
            Step::Put { from, stream, text, header, receipt } => {
                let stream = name(*stream);
                if header.is_some_and(|header| !self.store(&stream, header)) {
                    return self.refuse(*from, &stream, *receipt);
                }
                let reached = self.broadcast(&stream, &put_line(&stream, *text));
                self.answer(*from, *receipt, Some(reached), None);
            }
            Step::Header { from, stream, text, receipt } => {
                let stream = name(*stream);
                if !self.store(&stream, *text) {
                    return self.refuse(*from, &stream, *receipt);
                }
                self.answer(*from, *receipt, None, None);
            }
            Step::Listen { from, stream, receipt } => self.listen(*from, &name(*stream), *receipt),
            Step::Hangup { from, stream, receipt } => {
                self.hang_up(*from, stream.map(name).as_deref());
                self.answer(*from, *receipt, None, None);
            }
            Step::Close { from, stream, text, receipt } => self.close(*from, &name(*stream), *text, *receipt),
            Step::Delete { from, stream, text, receipt } => {
                let stream = name(*stream);
                let reached = self.broadcast(&stream, &close_line(&stream, *text));
                self.streams.remove(&stream);
                self.answer(*from, *receipt, Some(reached), None);
            }
            Step::Ping { from, text } => {
                self.delivered.deliver(*from, pong_line(*text));
            }
            Step::Leave { from, last } => {
                self.hang_up(*from, None);
                self.delivered.finish(*from, last.then(|| BYE.to_owned()));
            }
            Step::Deafen { from } => {
                self.delivered.deaf.insert(*from);
            }
            Step::Reconnect { from } => {
                self.hang_up(*from, None);
                self.delivered.deaf.remove(from);
            }
            Step::Tick { seconds } => {
                self.now += Duration::from_secs(*seconds);
                let now = self.now;
                self.streams.retain(|_, stream| stream.ended.as_ref().is_none_or(|ended| ended.forget_at > now));
            }
        }
    }

    fn answer(&mut self, to: u32, receipt: bool, listeners: Option<usize>, state: Option<&str>) {
        if receipt {
            let listeners = listeners.map(|listeners| format!(",\"listeners\":{listeners}")).unwrap_or_default();
            let state = state.map(|state| format!(",\"state\":\"{state}\"")).unwrap_or_default();
            self.delivered.deliver(to, format!("{{\"action\":\"receipt\",\"receipt\":7{listeners}{state}}}\n"));
        }
    }

    fn refuse(&mut self, to: u32, stream: &str, receipt: bool) {
        let receipt = if receipt { ",\"receipt\":7" } else { "" };
        self.delivered
            .deliver(to, format!("{{\"action\":\"error\",\"message\":{{\"code\":\"limit\"}},\"stream\":\"{stream}\"{receipt}}}\n"));
    }

    fn room(&self, stream: &str) -> bool {
        self.streams.contains_key(stream) || self.streams.len() < MOST_STREAMS
    }

    /// Whether `more` bytes can be kept of a stream, and its place if there is none of that name.
    fn room_to_keep(&self, stream: &str, more: usize) -> bool {
        let place = if self.streams.contains_key(stream) { 0 } else { PLACE };
        self.stored() + place + more <= MOST_STORED
    }

    fn store(&mut self, stream: &str, text: u16) -> bool {
        let header = put_line(stream, text);
        let before = self.streams.get(stream).and_then(|stream| stream.header.as_ref()).map_or(0, |line| core::cost(line));
        if !self.room(stream) || !self.room_to_keep(stream, core::cost(&header).saturating_sub(before)) {
            return false;
        }
        let entry = self.streams.entry(stream.to_owned()).or_default();
        entry.header = Some(header);
        entry.ended = None;
        true
    }

    fn broadcast(&mut self, stream: &str, line: &str) -> usize {
        let listeners = self.streams.get(stream).map(|stream| stream.listeners.clone()).unwrap_or_default();
        listeners.iter().filter(|listener| self.delivered.deliver(**listener, line.to_owned())).count()
    }

    fn close(&mut self, from: u32, stream: &str, text: u16, receipt: bool) {
        if !self.room(stream) || !self.streams.contains_key(stream) && !self.room_to_keep(stream, END_KEPT) {
            return self.refuse(from, stream, receipt);
        }
        let line = close_line(stream, text);
        let reached = self.broadcast(stream, &line);
        let entry = self.streams.entry(stream.to_owned()).or_default();
        entry.listeners.clear();
        entry.ended = None;
        // The end of a stream that is there is never refused for want of room, but its message may be.
        let last = Some(line).filter(|line| self.stored() + END_KEPT + core::cost(line) <= MOST_STORED);
        let forget_at = self.now + ENDED_TIME;
        self.streams.entry(stream.to_owned()).or_default().ended = Some(Ended { last, forget_at });
        self.answer(from, receipt, Some(reached), None);
    }

    fn hang_up(&mut self, from: u32, stream: Option<&str>) {
        for (name, state) in &mut self.streams {
            if stream.is_none_or(|wanted| wanted == name) {
                state.listeners.remove(&from);
            }
        }
        self.streams.retain(|_, stream| stream.header.is_some() || stream.ended.is_some() || !stream.listeners.is_empty());
    }

    /// Leaves the first stream that the connection listens to. True if it listens to none after that.
    pub(crate) fn hang_up_first(&mut self, from: u32) -> bool {
        let listened =
            |model: &Self| model.streams.iter().find(|(_, stream)| stream.listeners.contains(&from)).map(|(name, _)| name.clone());
        if let Some(name) = listened(self) {
            self.hang_up(from, Some(&name));
        }
        listened(self).is_none()
    }

    fn listen(&mut self, from: u32, stream: &str, receipt: bool) {
        let state = self.streams.get(stream).cloned().unwrap_or_default();
        if let Some(ended) = state.ended {
            let last = ended.last.unwrap_or_else(|| format!("{{\"action\":\"close\",\"stream\":\"{stream}\"}}\n"));
            if let Some(header) = state.header {
                self.delivered.deliver(from, header);
            }
            self.answer(from, receipt, None, Some("ended"));
            self.delivered.deliver(from, last);
            return;
        }
        let listens = self.streams.values().filter(|stream| stream.listeners.contains(&from)).count();
        let known = state.listeners.contains(&from);
        if !known && (listens >= MOST_LISTENS || !self.room(stream) || !self.room_to_keep(stream, LISTENER)) {
            return self.refuse(from, stream, receipt);
        }
        self.streams.entry(stream.to_owned()).or_default().listeners.insert(from);
        let word = if state.header.is_some() { "running" } else { "waiting" };
        if let Some(header) = state.header {
            self.delivered.deliver(from, header);
        }
        self.answer(from, receipt, None, Some(word));
    }
}
