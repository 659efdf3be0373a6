//! The directory, as the contract has it: for each stream one of the broker's own, which tells how it stands.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use msgstream::internal::wire::{Epoch, Position, Start};

use super::lines::close_bare;
use super::listening::position_member;
use super::{Model, begin_latest_line, latest_line};

/// How the names of its streams begin.
const ENTRIES: &str = "$streams/";

/// The time at the beginning of a history.
pub(crate) const BEGINNING: Duration = Duration::from_secs(1000);

/// Between two messages of one stream.
const PAUSE: Duration = Duration::from_secs(1);

/// What of a stream is told: another one is a change.
type Standing = (Epoch, u64, u64, Vec<u32>);

/// What is known of those who listen, as long as somebody does.
#[derive(Debug)]
pub(super) struct Directory {
    /// How each stream stood after the last step.
    seen: BTreeMap<String, Standing>,
    /// The streams that they know of.
    known: BTreeSet<String>,
    /// What they have yet to be told.
    changed: BTreeSet<String>,
    /// The streams that they have been told of since the second began, and when that was last.
    early: BTreeSet<String>,
    early_at: Duration,
    /// When the second began.
    told_at: Option<Duration>,
}

/// The stream that one of the directory's tells of.
pub(super) fn subject(name: &str) -> Option<&str> {
    name.strip_prefix(ENTRIES).filter(|subject| !subject.is_empty() && !subject.starts_with('$'))
}

pub(super) fn is_entry(name: &str) -> bool {
    name.starts_with(ENTRIES)
}

pub(super) fn entry(stream: &str) -> String {
    format!("{ENTRIES}{stream}")
}

impl Model {
    fn is_watched(&self) -> bool {
        let of_entries = |prefix: &str| match prefix.strip_prefix(ENTRIES) {
            Some(rest) => !rest.starts_with('$'),
            None => !prefix.is_empty() && ENTRIES.starts_with(prefix),
        };
        let by_name = self.streams.iter().any(|(name, stream)| is_entry(name) && !stream.listeners.is_empty());
        by_name || self.prefixes.keys().any(|(_, prefix)| of_entries(prefix))
    }

    fn standings(&self) -> BTreeMap<String, Standing> {
        let streams = self.streams.iter().filter(|(name, _)| !name.starts_with('$'));
        let standing = |stream: &super::Stream| {
            let listeners = stream.listeners.keys().copied().collect();
            (stream.epoch, stream.sequence, stream.touched, listeners)
        };
        streams.map(|(name, stream)| (name.clone(), standing(stream))).collect()
    }

    /// What a stream of the directory says now, if there is the one that it tells of.
    pub(super) fn entry_line(&self, entry: &str) -> Option<String> {
        let stream = self.streams.get(subject(entry)?)?;
        let second = |at: Duration| (BEGINNING + at).as_secs().to_string();
        let header_time = stream.header.as_ref().map_or("null".to_owned(), |_| second(stream.header_at));
        let message_time = stream.window.last().map_or("null".to_owned(), |(_, at)| second(*at));
        let (state, listeners, messages, bytes) = (stream.state(), stream.listeners.len(), stream.sequence, stream.bytes);
        let (position, times) =
            (position_member(stream.position()), format!("\"header_time\":{header_time},\"message_time\":{message_time}"));
        Some(format!(
            "{{\"action\":\"put\",\"stream\":\"{entry}\",\"message\":{{\"state\":\"{state}\",\"listeners\":{listeners},\"messages\":{messages},\"bytes\":{bytes}{position},{times}}}}}\n"
        ))
    }

    /// After each step: what has changed is told, unless a second is not over yet.
    pub(super) fn tell_directory(&mut self) {
        let (now, standings) = (self.now, self.standings());
        if !self.is_watched() {
            self.directory = None;
            return;
        }
        let known = standings.keys().cloned().collect();
        let directory = self.directory.get_or_insert_with(|| Directory {
            seen: standings.clone(),
            known,
            changed: BTreeSet::new(),
            early: BTreeSet::new(),
            early_at: Duration::ZERO,
            told_at: None,
        });
        let names: BTreeSet<_> = standings.keys().chain(directory.seen.keys()).cloned().collect();
        directory.changed.extend(names.into_iter().filter(|name| standings.get(name) != directory.seen.get(name)));
        // Of what has come and gone nobody hears.
        directory.changed.retain(|name| directory.known.contains(name) || standings.contains_key(name));
        directory.seen = standings;
        if directory.changed.is_empty() || directory.told_at.is_some_and(|told_at| told_at + PAUSE > now) {
            return;
        }
        directory.told_at = Some(now);
        let mut early = std::mem::take(&mut directory.early);
        early.retain(|_| directory.early_at + PAUSE > now);
        let (later, now): (BTreeSet<_>, BTreeSet<_>) =
            std::mem::take(&mut directory.changed).into_iter().partition(|name| early.contains(name));
        directory.changed = later;
        now.iter().for_each(|stream| self.tell(stream));
        if !self.is_watched() {
            self.directory = None;
        }
    }

    /// Somebody begins to listen to a stream of the directory, who must not learn before the others that there is one.
    pub(super) fn tell_if_new(&mut self, entry: &str) {
        let Some(stream) = subject(entry).filter(|stream| self.streams.contains_key(*stream)) else { return };
        let now = self.now;
        let Some(directory) = self.directory.as_mut().filter(|directory| !directory.known.contains(stream)) else { return };
        directory.changed.remove(stream);
        directory.early.insert(stream.to_owned());
        directory.early_at = now;
        self.tell(stream);
    }

    fn tell(&mut self, stream: &str) {
        let (entry, is_known) = (entry(stream), self.directory.as_ref().is_some_and(|directory| directory.known.contains(stream)));
        let line = self.entry_line(&entry);
        let by_name = self.streams.get(&entry).map(|entry| entry.listeners.clone()).unwrap_or_default();
        for connection in (0..super::CONNECTIONS).filter(|connection| !by_name.contains_key(connection)) {
            if !self.hears_of(connection, &entry) {
                continue;
            }
            let latest = self.wants_latest(connection, &entry);
            match &line {
                Some(_) if !is_known => self.join_entry(connection, &entry, Start { latest, ..Start::default() }),
                Some(line) => {
                    let line = if latest { latest_line(line, 1) } else { line.clone() };
                    self.delivered.deliver(connection, line);
                }
                None => {
                    self.delivered.deliver(connection, close_bare(&entry));
                }
            }
        }
        match &line {
            Some(line) => {
                self.publish(&entry, line);
                if let Some(entry) = self.streams.get_mut(&entry) {
                    entry.sequence += 1;
                }
            }
            None => {
                self.broadcast(&entry, &close_bare(&entry));
                self.streams.remove(&entry);
            }
        }
        if let Some(directory) = &mut self.directory {
            if line.is_some() {
                directory.known.insert(stream.to_owned())
            } else {
                directory.known.remove(stream)
            };
        }
    }

    /// Joins a stream of the directory by a prefix.
    pub(super) fn join_entry(&mut self, to: u32, entry: &str, start: Start) {
        let Some(line) = self.entry_line(entry) else { return };
        if start.latest {
            self.delivered.deliver(to, begin_latest_line(entry));
        }
        self.delivered.deliver(to, line);
        // Nothing is resumed, so that each has an epoch of its own.
        let position = position_member(Position { epoch: self.epochs.draw(), sequence: 0 });
        let resumed = if start.after.is_some() { ",\"resumed\":false" } else { "" };
        let joined = format!("{{\"action\":\"joined\",\"stream\":\"{entry}\",\"state\":\"running\"{resumed}{position}}}\n");
        self.delivered.deliver(to, joined);
    }
}
