//! The listeners of prefixes on one connection, and what is known of their streams.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use crate::client::gathered::Gathered;
use crate::client::options::Options;
use crate::client::target::Target;
use crate::job::content::Content;
use crate::wire::ids::{Prefix, StreamName};
use crate::wire::subscriber::{Back, Event, From, Listened, Seat};
use crate::wire::{Position, Start};

/// What a listener remembers of ended streams is so small a part of what may wait for it.
const PART_FOR_ENDS: usize = 16;

/// The listeners of prefixes on one connection.
#[derive(Debug, Default)]
pub(super) struct Prefixes {
    pub(super) members: Vec<Member>,
    /// The listens and hangups of prefixes under way, in their order. The broker does one after the other: those of a listen join streams
    /// once it is the first.
    pub(super) under_way: VecDeque<UnderWay>,
    /// Those that listened to a stream by a prefix when the connection was lost, and wait for the word that it was joined again.
    pub(super) returning: BTreeMap<String, Returning>,
    /// What came last, if the next line tells whether it is a header.
    pub(super) held: Option<(String, Content)>,
    /// The broker was asked for a next line.
    pub(super) has_asked: bool,
    /// The number of the latest listen.
    pub(super) latest: u64,
    /// How many streams without a header have been joined since it was last asked which of them there are, and how many there were then.
    pub(super) unsure: usize,
    pub(super) sure: usize,
    /// The longest line that is written.
    pub(super) longest: usize,
    /// The most that is remembered of ended streams, in bytes.
    pub(super) ends: usize,
}

/// A listen or a hangup that is not answered yet.
#[derive(Debug)]
pub(super) struct UnderWay {
    pub(super) receipt: u64,
    pub(super) prefix: Prefix,
    /// Its number, if it is a listen.
    pub(super) listen: Option<u64>,
}

/// One listener.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) prefix: Prefix,
    pub(super) gathered: Arc<Gathered>,
    /// The receipt of its listen, until that has come.
    pub(super) waits_for: Option<u64>,
    /// Where it is to begin in some streams, until they are joined.
    pub(super) after: BTreeMap<Arc<str>, Position>,
    /// So many of the last messages of the others are wanted, while it joins those that there are.
    pub(super) last: Option<u64>,
    /// It has joined all before, and the connection was lost since, for this reason.
    pub(super) comes_back: Option<String>,
    pub(super) ends: Ends,
}

/// Where the connection was in the streams that it listened to, and who listened.
pub(super) type Known = BTreeMap<String, (Position, Vec<Target>)>;

#[derive(Debug)]
pub(super) struct Returning {
    /// None: they have been told that messages may be missing.
    pub(super) back: Option<Back>,
    pub(super) seats: Vec<Seat<Target>>,
}

/// The streams that have ended, with where they stood, so that none is told twice to have ended. The oldest are forgotten.
#[derive(Debug, Default)]
pub(super) struct Ends {
    pub(super) positions: HashMap<Arc<str>, Position>,
    pub(super) order: VecDeque<Arc<str>>,
    pub(super) bytes: usize,
}

/// So many streams may be remembered that are no more, beside as many as there are.
const UNSURE: usize = 1000;

/// What an end takes beside its name, in bytes.
const END: usize = 96;

impl Ends {
    pub(super) fn note(&mut self, stream: &str, position: Position, most: usize) {
        if let Some(known) = self.positions.get_mut(stream) {
            *known = position;
            return;
        }
        let stream: Arc<str> = stream.into();
        self.bytes += stream.len() + END;
        self.order.push_back(Arc::clone(&stream));
        self.positions.insert(stream, position);
        while self.bytes > most {
            let Some(oldest) = self.order.pop_front() else { return };
            self.positions.remove(&oldest);
            self.bytes -= oldest.len() + END;
        }
    }
}

impl Member {
    /// Where it begins in a stream that has been joined.
    pub(super) fn begins(&mut self, stream: &str) -> From {
        let after = self.after.remove(stream);
        match &self.comes_back {
            _ if self.waits_for.is_none() => From::Start(Start::default()),
            Some(reason) => From::Birth(reason.clone()),
            None => From::Start(Start { after, last: self.last, latest: self.gathered.is_latest() }),
        }
    }

    /// Whether it joins a stream that the broker says was joined, while this listen is the first under way.
    pub(super) fn may_join(&self, listening: Option<u64>) -> bool {
        self.waits_for.is_none() || self.waits_for == listening
    }

    pub(super) fn overlaps(&self, other: &Self) -> bool {
        let (one, two) = (self.prefix.as_str(), other.prefix.as_str());
        one.starts_with(two) || two.starts_with(one)
    }
}

impl Prefixes {
    pub(super) fn new(options: &Options) -> Self {
        Self { longest: options.longest_action.0, ends: options.listener_queue.0 / PART_FOR_ENDS, ..Self::default() }
    }

    pub(super) fn of<'a>(&'a self, stream: &str) -> impl Iterator<Item = &'a Member> {
        let stream = StreamName::new(stream).ok();
        self.members.iter().filter(move |member| stream.as_ref().is_some_and(|stream| member.prefix.matches(stream)))
    }

    /// Whether somebody listens to a prefix of this stream.
    pub(super) fn match_any(&self, stream: &str) -> bool {
        !self.members.is_empty() && self.of(stream).next().is_some()
    }

    /// Whether somebody listens to a prefix of this stream who wants each message.
    pub(super) fn want_each(&self, stream: &str) -> bool {
        !self.members.is_empty() && self.of(stream).any(|member| !member.gathered.is_latest())
    }

    /// Holds what may be a header back.
    pub(super) fn hold(&mut self, stream: String, content: Content) {
        self.held = Some((stream, content));
    }

    /// The connection was lost: its next line would have told. A message comes again.
    pub(super) fn let_go(&mut self) {
        (self.held, self.has_asked) = (None, false);
    }

    /// Those who listen to the stream by a prefix are about to be told that it has ended.
    pub(super) fn note_end(&mut self, stream: &str, listened: &Listened<Target>) {
        let Some(position) = listened.position() else { return };
        for member in &mut self.members {
            if listened.all().any(|target| target.is_by(&member.gathered)) {
                member.ends.note(stream, position, self.ends);
            }
        }
    }

    /// The connection has ended for good.
    pub(super) fn end(&mut self, last: &Event) {
        for member in self.members.drain(..) {
            member.gathered.end(last.clone());
        }
        self.returning.clear();
        self.held = None;
    }

    /// The listen that the broker is at, or will be next.
    pub(super) fn listening(&self) -> Option<u64> {
        self.under_way.front().filter(|first| first.listen.is_some()).map(|first| first.receipt)
    }

    /// Takes the first of what is under way, if this is its receipt.
    pub(super) fn answered(&mut self, receipt: u64) -> Option<UnderWay> {
        self.under_way.front().filter(|first| first.receipt == receipt)?;
        self.under_way.pop_front()
    }

    /// Whether so many streams have been joined that the broker may have forgotten without a word that it is worth asking.
    pub(super) fn is_unsure(&self) -> bool {
        self.unsure > UNSURE.max(self.sure) && self.under_way.is_empty()
    }

    /// Whether the broker may send the newest only to this listener: not if another one wants each message of some of its streams.
    pub(super) fn may_replace(&self, member: &Member) -> bool {
        member.gathered.is_latest() && !self.members.iter().any(|other| !other.gathered.is_latest() && member.overlaps(other))
    }
}
