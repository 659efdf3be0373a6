//! How connections become listeners, what they are told then, and how they leave.

use msgstream::internal::wire::{Position, Start};

use super::directory::is_entry;
use super::lines::close_bare;
use super::prefixes::matches;
use super::stream::LISTENER;
use super::{Model, begin_latest_line, latest_line};

/// By what a listener is told where it begins.
pub(super) enum Told {
    Receipt,
    Joined,
}

pub(super) fn position_member(Position { epoch, sequence }: Position) -> String {
    format!(",\"position\":{{\"epoch\":\"{epoch}\",\"sequence\":{sequence}}}")
}

impl Model {
    pub(super) fn hang_up(&mut self, from: u32, stream: Option<&str>, may_come_back: bool) {
        if stream.is_none() {
            self.prefixes.retain(|(listener, _), _| *listener != from);
        }
        let prefixes = self.prefixes_of(from);
        for (name, state) in &mut self.streams {
            if stream.is_none_or(|wanted| wanted == name) {
                let was_named = if !is_entry(name) && prefixes.iter().any(|prefix| matches(prefix, name)) {
                    state.listeners.get_mut(&from).is_some_and(std::mem::take)
                } else {
                    state.listeners.remove(&from).unwrap_or(false)
                };
                let listeners = &state.listeners;
                state.latest.retain(|listener| listeners.contains_key(listener));
                // Of the directory there is nothing to come back to.
                if was_named && may_come_back && self.limits.replay.stream > 0 && !is_entry(name) {
                    state.listed = Some(self.now);
                }
            }
        }
        self.drop_empty();
    }

    pub(super) fn drop_empty(&mut self) {
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

    pub(super) fn listen(&mut self, from: u32, stream: &str, start: Start, receipt: bool) {
        if let Some(ended) = self.streams.get(stream).and_then(|state| state.ended.clone()) {
            let last = ended.last.unwrap_or_else(|| close_bare(stream));
            self.begin(from, stream, start, receipt.then_some(Told::Receipt));
            self.delivered.deliver(from, last);
            return;
        }
        self.tell_if_new(stream);
        let is_new = !self.streams.contains_key(stream);
        if !self.enter(from, stream, true, start.latest) {
            return self.refuse(from, "limit", stream, receipt);
        }
        if is_new {
            self.announce(stream);
        }
        self.begin(from, stream, start, receipt.then_some(Told::Receipt));
    }

    /// How many streams and prefixes a connection listens to.
    pub(super) fn listens(&self, from: u32) -> usize {
        self.streams.values().filter(|stream| stream.listeners.contains_key(&from)).count() + self.prefixes_of(from).len()
    }

    /// Makes a connection a listener. False if there is no room.
    pub(super) fn enter(&mut self, from: u32, stream: &str, named: bool, latest: bool) -> bool {
        let known = self.streams.get(stream).is_some_and(|state| state.listeners.contains_key(&from));
        if !known && (self.listens(from) >= self.limits.listens || !self.room(stream) || !self.room_to_keep(stream, LISTENER)) {
            return false;
        }
        let entry = self.entry(stream);
        let is_named = entry.listeners.entry(from).or_insert(false);
        *is_named |= named;
        // How one listens by the name is not changed by a prefix.
        if named || !*is_named {
            if latest {
                entry.latest.insert(from)
            } else {
                entry.latest.remove(&from)
            };
        }
        true
    }

    /// The header, the receipt or that it has joined, and the messages of the past that are asked for.
    pub(super) fn begin(&mut self, to: u32, stream: &str, start: Start, told: Option<Told>) {
        let state = self.streams[stream].clone();
        let oldest = state.sequence - state.window.len() as u64;
        let same = start.after.filter(|after| !is_entry(stream) && after.epoch == state.epoch && after.sequence <= state.sequence);
        let resumes = same.filter(|after| after.sequence >= oldest);
        let from = match resumes {
            Some(after) => after.sequence,
            None => oldest.max(state.sequence.saturating_sub(start.last.unwrap_or(0))),
        };
        if start.latest {
            self.delivered.deliver(to, begin_latest_line(stream));
        }
        let entry = self.entry_line(stream);
        let told_state = if entry.is_some() { "running" } else { state.state() };
        let header = entry.or(state.header.clone()).filter(|_| resumes.is_none());
        let told_header = if told_state == "ended" { format!(",\"header\":{}", header.is_some()) } else { String::new() };
        if let Some(header) = header {
            self.delivered.deliver(to, header);
        }
        let age = (self.now - state.since).as_millis() as f64 / 1000.0;
        let mut effect = format!(",\"state\":\"{told_state}\"{told_header},\"age\":{age}");
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
