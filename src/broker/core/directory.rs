//! The directory: for each stream S a stream `$streams/S`, which tells how S stands.
//!
//! Its streams are not kept: what they say is made of the streams themselves when somebody joins or something has changed. Only the
//! names of those that have changed are kept, and only while somebody listens.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Serialize;

use crate::wire::ids::{Prefix, StreamName};
use crate::wire::{Epoch, Position};

use super::past::seconds;
use super::stream::{Run, Stream};

/// How the names of its streams begin, ...
const ENTRIES: &str = "$streams/";

/// ... and the first text behind all of them, in the order of texts.
pub(super) const BEHIND_ENTRIES: &str = "$streams0";

/// How long nothing more is said of a stream after what has changed in it was.
const PAUSE: Duration = Duration::from_secs(1);

/// What the directory remembers of streams that have changed.
#[derive(Debug, Default)]
pub(super) struct Directory {
    /// How many listen to one of its streams by the name, or to a prefix of them.
    watchers: usize,
    /// The streams that have changed since it was last said what has.
    changed: BTreeSet<StreamName>,
    /// Those of them that were not there then.
    new: BTreeSet<StreamName>,
    /// What is being said: the streams that had changed, and those of them that are new.
    saying: (BTreeSet<StreamName>, BTreeSet<StreamName>),
    /// When saying began, on the core's clock.
    said_at: Option<Duration>,
    /// The new streams of which something was said before its time, for the sake of one that asked.
    early: BTreeSet<StreamName>,
    /// When that was last.
    early_at: Duration,
}

impl Directory {
    /// Whether anybody listens.
    pub(super) fn is_watched(&self) -> bool {
        self.watchers > 0
    }

    /// So many listeners have come.
    pub(super) fn watch(&mut self, count: usize) {
        self.watchers += count;
    }

    /// So many have gone. After the last one, what has changed is of no interest; it is returned to be dropped.
    pub(super) fn unwatch(&mut self, count: usize) -> Option<[BTreeSet<StreamName>; 5]> {
        self.watchers -= count;
        if count == 0 || self.is_watched() {
            return None;
        }
        let Self { changed, new, saying: (one, other), early, .. } = std::mem::take(self);
        Some([changed, new, one, other, early])
    }

    /// What must hold when so many listen.
    #[cfg(any(test, debug_assertions))]
    pub(super) fn assert_watchers(&self, watchers: usize) {
        assert_eq!(self.watchers, watchers, "those who listen to the directory are miscounted");
        assert!(self.is_watched() || self.due().is_none(), "what has changed is kept for nobody");
        assert!(self.new.is_subset(&self.changed) && self.saying.1.is_subset(&self.saying.0), "what is new has not changed");
    }

    /// Something has changed in a stream.
    pub(super) fn note(&mut self, stream: &StreamName) {
        if self.is_watched() && !stream.is_reserved() {
            self.changed.insert(stream.clone());
        }
    }

    /// A stream has come into being.
    pub(super) fn note_new(&mut self, stream: &StreamName) {
        if self.is_watched() && !stream.is_reserved() && self.changed.insert(stream.clone()) && !self.saying.0.contains(stream) {
            self.new.insert(stream.clone());
        }
    }

    /// A stream was forgotten. Of one that was new nothing is ever said.
    pub(super) fn note_gone(&mut self, stream: &StreamName) {
        self.note(stream);
        if self.new.remove(stream) || self.saying.1.contains(stream) {
            self.changed.remove(stream);
        }
    }

    /// Somebody asks for a stream. True if nothing has been said of it yet, as it is new: then it is to be said at once, and nothing more
    /// before the pause is over.
    pub(super) fn say_early(&mut self, stream: &StreamName, now: Duration) -> bool {
        let is_unsaid = self.new.remove(stream) || self.saying.1.remove(stream);
        if is_unsaid {
            self.changed.remove(stream);
            self.saying.0.remove(stream);
            self.early.insert(stream.clone());
            self.early_at = now;
        }
        is_unsaid
    }

    /// When there is something to say, on the core's clock.
    pub(super) fn due(&self) -> Option<Duration> {
        if !self.saying.0.is_empty() {
            return Some(Duration::ZERO);
        }
        (!self.changed.is_empty()).then(|| self.said_at.map_or(Duration::ZERO, |said_at| said_at + PAUSE))
    }

    /// The next stream of which is to be said what has changed, and whether it is new.
    pub(super) fn next(&mut self, now: Duration) -> Option<(StreamName, bool)> {
        if self.saying.0.is_empty() {
            if self.due().is_none_or(|due| due > now) {
                return None;
            }
            self.saying = (std::mem::take(&mut self.changed), std::mem::take(&mut self.new));
            self.said_at = Some(now);
            let early = std::mem::take(&mut self.early);
            if self.early_at + PAUSE > now {
                self.changed.extend(early.into_iter().filter(|stream| self.saying.0.remove(stream)));
            }
        }
        let stream = self.saying.0.pop_first()?;
        let is_new = self.saying.1.remove(&stream);
        // It is told as it stands now.
        self.changed.remove(&stream);
        Some((stream, is_new))
    }
}

/// The stream that one of the directory's streams tells of. The broker's own streams are not in the directory.
pub(super) fn subject(entry: &StreamName) -> Option<StreamName> {
    StreamName::new(entry.as_str().strip_prefix(ENTRIES)?).ok().filter(|stream| !stream.is_reserved())
}

/// The stream of the directory that tells of a stream.
pub(super) fn entry(stream: &StreamName) -> Option<StreamName> {
    StreamName::new(&format!("{ENTRIES}{stream}")).ok()
}

/// Whether a stream is one of the directory's, or would be.
pub(super) fn is_entry(stream: &StreamName) -> bool {
    stream.as_str().starts_with(ENTRIES)
}

/// The prefix of the streams of whose entries a prefix is one; none if of no entries.
pub(super) fn subjects(prefix: &Prefix) -> Option<Prefix> {
    let prefix = prefix.as_str();
    match prefix.strip_prefix(ENTRIES) {
        Some(rest) => Some(Prefix::new(rest)).filter(|_| !rest.starts_with('$')),
        None => (!prefix.is_empty() && ENTRIES.starts_with(prefix)).then(|| Prefix::new("")),
    }
}

/// What the directory says of a stream. Times are in seconds since 1970.
#[derive(Serialize)]
struct Entry<'a> {
    state: &'static str,
    listeners: usize,
    messages: u64,
    bytes: u64,
    position: EntryPosition,
    header_time: Option<u64>,
    message_time: Option<u64>,
    /// The listeners by node, if it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    nodes: Option<BTreeMap<&'a str, usize>>,
}

#[derive(Serialize)]
struct EntryPosition {
    epoch: String,
    sequence: u64,
}

/// The same as JSON text. `began` is the time at the beginning of the core's clock, and `node` what this broker is called if it is a node.
pub(super) fn content(stream: &Stream, began: Duration, node: Option<&str>) -> Vec<u8> {
    let Stream { header, listeners, run } = stream;
    let Run { sequence, bytes, header_at, window, .. } = &**run;
    let Position { epoch, .. } = run.position();
    let time = |second: u32| (began + Duration::from_secs(second.into())).as_secs();
    let entry = Entry {
        state: stream.state().as_str(),
        listeners: listeners.len() + run.elsewhere(),
        messages: *sequence,
        bytes: *bytes,
        position: EntryPosition { epoch: Epoch::to_string(&epoch), sequence: *sequence },
        header_time: header.is_some().then(|| time(*header_at)),
        message_time: window.as_ref().map(|window| time(seconds(window.latest()))),
        nodes: node.map(|node| {
            let here = Some((node, listeners.len())).filter(|(_, count)| *count > 0);
            let elsewhere = run.common.iter().flat_map(|common| &common.elsewhere).map(|(node, count)| (&**node, *count as usize));
            elsewhere.chain(here).collect()
        }),
    };
    // What is made of texts and numbers can always be written.
    serde_json::to_vec(&entry).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> StreamName {
        StreamName::new(text).unwrap()
    }

    #[test]
    fn entries_are_of_streams_that_are_not_the_brokers_own() {
        for (stream, of) in
            [("$streams/a", Some("a")), ("$streams/a/$b", Some("a/$b")), ("$streams/$a", None), ("$streams/", None), ("$stream", None)]
        {
            assert_eq!(subject(&name(stream)), of.map(name), "{stream}");
        }
        let of = |prefix: &str| subjects(&Prefix::new(prefix)).map(|prefix| prefix.as_str().to_owned());
        assert_eq!(["$", "$streams", "$streams/", "$streams/fit-"].map(of), ["", "", "", "fit-"].map(|prefix| Some(prefix.to_owned())));
        assert_eq!(["", "$streams/$", "$x", "$streams0", "streams/"].map(of), [const { None }; 5]);
        assert!(name(ENTRIES) < name(BEHIND_ENTRIES) && name("$streams/\u{10ffff}") < name(BEHIND_ENTRIES));
    }

    #[test]
    fn each_stream_is_told_of_once_a_second() {
        let (mut directory, second) = (Directory::default(), Duration::from_secs(1));
        directory.note(&name("a"));
        assert_eq!(directory.due(), None, "nobody listens");
        directory.watch(1);
        directory.note(&name("b"));
        directory.note_new(&name("a"));
        directory.note(&name("a"));
        assert_eq!(directory.next(second), Some((name("a"), true)));
        directory.note(&name("a"));
        assert_eq!((directory.next(second), directory.next(second)), (Some((name("b"), false)), None));
        assert_eq!((directory.due(), directory.next(2 * second)), (Some(2 * second), Some((name("a"), false))));
        directory.note_new(&name("c"));
        directory.note_gone(&name("c"));
        assert_eq!(directory.due(), None, "of what came and went nothing is said");
        directory.note_gone(&name("b"));
        assert!(directory.due().is_some() && directory.unwatch(1).is_some() && directory.due().is_none());
    }

    #[test]
    fn what_changes_while_others_are_told_of_is_told_with_them_or_not_at_all() {
        let mut directory = Directory::default();
        let next = |directory: &mut Directory| directory.next(Duration::from_secs(1)).map(|(stream, is_new)| (stream.to_string(), is_new));
        directory.watch(1);
        directory.note(&name("a"));
        ["b", "c", "d"].iter().for_each(|new| directory.note_new(&name(new)));
        assert_eq!(next(&mut directory), Some(("a".to_owned(), false)));
        // It changes; it goes; it goes and comes.
        directory.note(&name("b"));
        directory.note_gone(&name("c"));
        directory.note_gone(&name("d"));
        directory.note_new(&name("d"));
        directory.assert_watchers(1);
        let told = ["b", "c", "d"].map(|new| Some((new.to_owned(), true)));
        assert_eq!([next(&mut directory), next(&mut directory), next(&mut directory)], told);
        directory.assert_watchers(1);
        assert_eq!((next(&mut directory), directory.due()), (None, None), "it is told as it stands when its turn comes");
    }
}
