//! What is kept of streams, whether there is room for it, and how streams end.

use super::limits::ENDED_TIME;
use super::stream::{END_KEPT, Ended, PLACE};
use super::{Model, Terms, close_line, core, latest_line, prefixes, put_line};

impl Model {
    /// A message counts, and is kept until nothing more has come for a time.
    pub(super) fn keep(&mut self, stream: &str, line: String) {
        let (now, is_remembering) = (self.now, self.is_remembering());
        let Some(stream) = self.streams.get_mut(stream).filter(|stream| stream.ended.is_none()) else { return };
        stream.sequence += 1;
        stream.bytes += line.len() as u64;
        if is_remembering {
            stream.window.push((line, now));
            stream.listed.get_or_insert(now);
        }
    }

    pub(super) fn room(&self, stream: &str) -> bool {
        self.streams.contains_key(stream) || self.streams.len() < self.limits.streams
    }

    /// Whether `more` bytes can be kept of a stream, and its place if there is none of that name.
    pub(super) fn room_to_keep(&self, stream: &str, more: usize) -> bool {
        let order = if self.prefixes.is_empty() { 0 } else { prefixes::ORDERED };
        let place = if self.streams.contains_key(stream) { 0 } else { PLACE + order };
        self.stored() + place + more <= self.limits.stored
    }

    /// Whether a run begins with this header. None if there is no room for it.
    pub(super) fn store(&mut self, stream: &str, text: u16) -> Option<bool> {
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
            (entry.epoch, entry.sequence, entry.bytes, entry.window, entry.since) = (epoch, 0, 0, Vec::new(), now);
        }
        let entry = self.entry(stream);
        entry.header_at = now;
        entry.touched += 1;
        if entry.header.replace(header).is_none() {
            entry.since = now;
        }
        Some(begins)
    }

    /// A message for those who get each, and for those who get the latest.
    pub(super) fn publish(&mut self, stream: &str, line: &str) -> usize {
        let latest = self.streams.get(stream).map(|stream| stream.latest.clone()).unwrap_or_default();
        let listeners = self.streams.get(stream).map(|stream| stream.listeners.clone()).unwrap_or_default();
        let line_for = |listener| if latest.contains(listener) { latest_line(line, 1) } else { line.to_owned() };
        listeners.keys().filter(|listener| self.delivered.deliver(**listener, line_for(listener))).count()
    }

    pub(super) fn broadcast(&mut self, stream: &str, line: &str) -> usize {
        let listeners = self.streams.get(stream).map(|stream| stream.listeners.clone()).unwrap_or_default();
        listeners.keys().filter(|listener| self.delivered.deliver(**listener, line.to_owned())).count()
    }

    pub(super) fn close(&mut self, from: u32, stream: &str, text: u16, terms: &Terms, receipt: bool) {
        match self.end(stream, text, terms) {
            Ok(reached) => self.answer(from, receipt, &format!(",\"listeners\":{reached}"), None),
            Err(code) => self.refuse(from, code, stream, receipt),
        }
    }

    pub(super) fn has_ended(&self, stream: &str) -> bool {
        self.streams.get(stream).is_some_and(|stream| stream.ended.is_some())
    }

    /// Ends a stream. Returns how many were told, or why it is refused.
    pub(super) fn end(&mut self, stream: &str, text: u16, terms: &Terms) -> Result<usize, &'static str> {
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
        self.entry(stream).touched += 1;
        self.entry(stream).ended = Some(Ended { last, forget_at });
        if is_new {
            self.announce(stream);
        }
        Ok(reached)
    }
}
