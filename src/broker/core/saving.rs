//! How what has changed is handed to whoever keeps it beyond this life of the broker: stream by stream, as each stands when it is asked
//! for, so that what was replaced meanwhile is never handed over.

use std::time::Duration;

use crate::wire::SessionName;
use crate::wire::ids::StreamName;

use super::changes::Mark;
use super::machine::Core;
use super::past::seconds;
use super::saved::{Change, SavedEnd, SavedStream, SavedWill, SavedWindow, StreamChange};
use super::stream::Stream;
use super::wills::Owner;

impl Core {
    /// From now on what changes is noted, for somebody who saves it.
    pub fn keep_changes(&mut self) {
        debug_assert!(self.streams.len() == 0, "what there is already is not noted");
        self.changes.keep();
    }

    /// Whether there is something to save that nobody has been told of. Asked once.
    pub fn take_news(&mut self) -> bool {
        self.changes.take_news()
    }

    /// Begins to save all that has changed, and where streams are that have had messages, if `moved`. The changes follow by
    /// [`next_change`](Self::next_change). False if not all of the last save were taken: then the rest of them follow, and nothing else.
    pub fn begin_save(&mut self, moved: bool) -> bool {
        self.changes.begin(moved)
    }

    /// Whether something has changed that is not being saved.
    pub fn has_unsaved(&self) -> bool {
        self.changes.has_more()
    }

    /// The next change, none after the last one.
    pub fn next_change(&mut self) -> Option<Change> {
        let name = self.changes.next()?;
        let owner = self.wills.get_mut(&name).map(|will| {
            will.is_stored = true;
            (will.owner, will.last.clone())
        });
        let will = owner.map(|(owner, last)| SavedWill { session: self.session_of(owner), last });
        let Some(Stream { header, run, .. }) = self.streams.get_mut(&name) else {
            return Some(Change { name, stream: StreamChange::Forgotten, will });
        };
        let mark = std::mem::replace(&mut run.mark, Mark::Saved);
        let has_content = header.is_some() || run.ended.is_some();
        let is_moved = mark == Mark::Moved && run.is_stored;
        run.is_stored = has_content;
        let stream = match self.streams.get(&name) {
            Some(stream) if has_content && is_moved => StreamChange::Moved { position: stream.run.position(), bytes: stream.run.bytes },
            Some(stream) if has_content => StreamChange::Stands(saved(stream)),
            Some(_) | None => StreamChange::Forgotten,
        };
        Some(Change { name, stream, will })
    }

    /// This was not saved, and is to be saved again.
    pub fn unsaved(&mut self, name: &StreamName) {
        // It may have been saved all the same, and then is to be taken back.
        self.note_gone(name, true);
    }

    /// All streams, those first in which something happened last: what is kept of the others may be left out if there is no time.
    pub fn latest_first(&self) -> Vec<StreamName> {
        let happened = |stream: &Stream| stream.run.window.as_ref().map_or(stream.run.header_at, |window| seconds(window.latest()));
        let streams = self.streams.iter().filter(|named| !named.name.is_reserved());
        let mut names: Vec<_> = streams.map(|named| (happened(&named.stream), named.name.clone())).collect();
        names.sort_unstable_by(|one, other| other.cmp(one));
        names.into_iter().map(|(_, name)| name).collect()
    }

    /// What is kept of a stream's messages. To be asked once nothing changes any more, and all that had changed was saved.
    pub fn window(&self, name: &StreamName) -> Option<SavedWindow> {
        let stream = self.streams.get(name)?;
        let runs = stream.run.window.as_ref().map_or(Vec::new(), |window| window.runs().collect());
        // One that only has messages is not saved while the broker runs: what is stored of it, if anything, is of another life.
        let has_content = stream.header.is_some() || stream.run.ended.is_some();
        let is_as_stored = has_content && stream.run.is_stored;
        Some(SavedWindow { name: name.clone(), stream: (!is_as_stored).then(|| saved(stream)), runs })
    }

    /// All sessions to which somebody may come back, and how many of their lines were taken.
    pub fn saved_sessions(&self) -> impl Iterator<Item = (&SessionName, u64)> {
        self.sessions.iter()
    }

    /// The time on the core's clock, and how long after 1970 that began.
    pub fn clock(&self) -> (Duration, Duration) {
        (self.now, self.began)
    }

    fn session_of(&self, owner: Owner) -> Option<SessionName> {
        match owner {
            Owner::Session(key) => self.sessions.name_of(key).cloned(),
            Owner::Connection(_) => None,
        }
    }

    /// A stream or a will may be gone.
    pub(super) fn note_gone(&mut self, name: &StreamName, is_stored: bool) {
        match (self.streams.get_mut(name), self.wills.get(name)) {
            (None, None) => self.changes.note_gone(name, is_stored),
            (stream, _) => {
                if let Some(stream) = stream {
                    stream.run.mark = Mark::Changed;
                }
                self.changes.note(name, is_stored);
            }
        }
    }

    /// Something of a stream has changed that is to be saved.
    pub(super) fn note_change(&mut self, name: &StreamName) {
        if let Some(run) = self.streams.get_mut(name).map(|stream| &mut stream.run).filter(|run| run.mark != Mark::Changed) {
            run.mark = Mark::Changed;
            self.changes.note(name, run.is_stored);
        }
    }
}

pub(super) fn saved(Stream { header, run, .. }: &Stream) -> SavedStream {
    SavedStream {
        position: run.position(),
        bytes: run.bytes,
        since: run.since,
        header_at: run.header_at,
        header: header.clone(),
        is_old: run.is_old,
        ended: run.ended.as_ref().map(|ended| SavedEnd { forget_at: ended.forget_at, last: ended.last.clone() }),
    }
}

#[cfg(test)]
mod tests;
