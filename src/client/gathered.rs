//! What waits for the listener of a prefix: the events of each stream in their order, of one stream after the other in turns.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::wire::subscriber::{Event, Joined, Reason};
use crate::wire::units::ByteSize;
use crate::wire::{Position, Positions};

use super::inbox::too_slow;
use super::waiting::{Waiting, Waits, is_newest};

/// The queues between the connection, which fills them, and the listener.
#[derive(Debug)]
pub(super) struct Gathered {
    /// The most that may wait in all streams together, and that the streams themselves may take, in bytes.
    limit: usize,
    /// Only the newest message of each stream is wanted.
    latest: bool,
    queues: Mutex<Queues>,
}

#[derive(Debug, Default)]
struct Queues {
    streams: BTreeMap<Arc<str>, Waiting>,
    /// The streams of which something waits, each once, in turns.
    turns: VecDeque<Arc<str>>,
    /// What all streams take.
    bytes: usize,
    /// How many streams there were when the listener had joined all; none until then.
    joined: Option<usize>,
    /// Nothing more is taken.
    is_over: bool,
    /// What is told when all that waits has been taken.
    last: Option<Event>,
    waker: Option<Waker>,
}

/// About what the listener of a prefix remembers of a stream beside its name, in bytes.
const STREAM: usize = size_of::<Waiting>() + size_of::<Arc<str>>() + 64;

/// The name of all streams together.
fn all() -> Arc<str> {
    Arc::from("")
}

impl Gathered {
    pub(super) fn new(ByteSize(limit): ByteSize, latest: bool) -> Arc<Self> {
        Arc::new(Self { limit, latest, queues: Mutex::default() })
    }

    pub(super) fn is_latest(&self) -> bool {
        self.latest
    }

    /// Queues an event of a stream. False if nothing more is taken of it.
    pub(super) fn push(&self, stream: &Arc<str>, event: Event) -> bool {
        let mut queues = self.lock();
        if queues.is_over {
            return false;
        }
        let bytes = queues.bytes;
        let is_idle = queues.turns.is_empty();
        let is_alone = queues.turns.len() <= 1 && queues.turns.front().is_none_or(|waits| waits == stream);
        let (mut goes_on, mut is_slow) = (!event.is_last(), false);
        queues.with(stream, |waiting| {
            let before = waiting.bytes();
            let Some(event) = waiting.meet(event, self.latest) else { return };
            // What it replaces has made room. Those of other streams take theirs.
            let room = self.limit.saturating_sub((bytes + waiting.bytes()).saturating_sub(before));
            let is_free = event.is_last() || self.latest && is_newest(&event) && is_alone || is_idle;
            is_slow = !is_free && event.cost() > room;
            if !is_slow {
                waiting.push(event);
            }
        });
        if is_slow {
            goes_on = false;
            queues.end(Event::CutOff(too_slow(self.limit)));
        }
        queues.wake();
        goes_on
    }

    /// A stream was joined, or joined again.
    pub(super) fn join(&self, stream: &Arc<str>, joined: Joined) {
        let mut queues = self.lock();
        if queues.is_over {
            return;
        }
        queues.with(stream, |waiting| waiting.join(joined, true));
        if queues.bytes > self.limit {
            let limit = self.limit;
            let reason =
                format!("the streams of this prefix take more than {limit} bytes in their listener's program (Options::listener_queue)");
            queues.end(Event::CutOff(Reason { code: "slow_listener".to_owned(), reason }));
        }
        queues.wake();
    }

    /// The broker has forgotten a stream without a word.
    pub(super) fn forget(&self, stream: &Arc<str>) {
        let mut queues = self.lock();
        queues.with(stream, Waiting::forget);
        queues.wake();
    }

    /// All streams that there were have been joined.
    pub(super) fn all_joined(&self, streams: usize) {
        let mut queues = self.lock();
        queues.joined.get_or_insert(streams);
        queues.wake();
    }

    /// Nothing comes any more: this is the last event, behind what waits.
    pub(super) fn end(&self, last: Event) {
        let mut queues = self.lock();
        queues.end(last);
        queues.wake();
    }

    pub(super) fn is_over(&self) -> bool {
        self.lock().is_over
    }

    /// What comes next, and of which stream; none after the last.
    pub(super) fn poll_next(&self, cx: &Context<'_>) -> Poll<Option<(Arc<str>, Waits)>> {
        let mut queues = self.lock();
        while let Some(stream) = queues.turns.pop_front() {
            if let Some(first) = queues.pop(&stream) {
                return Poll::Ready(Some((stream, first)));
            }
        }
        if queues.is_over {
            return Poll::Ready(queues.last.take().map(|last| (all(), Waits::Event(last))));
        }
        queues.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    /// How many streams there were; none if the listener was refused.
    pub(super) fn poll_joined(&self, cx: &Context<'_>) -> Poll<Option<usize>> {
        let mut queues = self.lock();
        if queues.joined.is_some() || queues.is_over {
            return Poll::Ready(queues.joined);
        }
        queues.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Where the listener is in each stream.
    pub(super) fn positions(&self) -> Positions {
        let queues = self.lock();
        let position = |(stream, waiting): (&Arc<str>, &Waiting)| -> Option<(Arc<str>, Position)> {
            waiting.position().map(|position| (Arc::clone(stream), position))
        };
        queues.streams.iter().filter_map(position).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Queues> {
        // Nothing under this lock can panic half way.
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queues {
    /// Does something to what waits of a stream, and keeps account of it.
    fn with(&mut self, stream: &Arc<str>, act: impl FnOnce(&mut Waiting)) {
        if !self.streams.contains_key(stream) {
            self.bytes += stream.len() + STREAM;
        }
        let waiting = self.streams.entry(Arc::clone(stream)).or_default();
        let (before, was_empty) = (waiting.bytes(), waiting.is_empty());
        act(waiting);
        self.bytes = self.bytes + waiting.bytes() - before;
        if was_empty && !waiting.is_empty() {
            self.turns.push_back(Arc::clone(stream));
        }
    }

    /// Takes what comes first of a stream, which has had its turn. One that has ended is forgotten, unless it has begun again.
    fn pop(&mut self, stream: &Arc<str>) -> Option<Waits> {
        let waiting = self.streams.get_mut(stream)?;
        let before = waiting.bytes();
        let first = waiting.pop();
        self.bytes = (self.bytes + waiting.bytes()).saturating_sub(before);
        let has_ended = match &first {
            Some(Waits::Event(event)) => event.is_last(),
            Some(Waits::Forgotten) => true,
            Some(Waits::Joined(_)) | None => false,
        };
        if has_ended {
            waiting.begin_anew();
        }
        match (waiting.is_empty(), &first) {
            // The word that it was joined comes together with what follows.
            (false, Some(Waits::Joined(_))) => self.turns.push_front(Arc::clone(stream)),
            (false, _) => self.turns.push_back(Arc::clone(stream)),
            (true, _) if has_ended => {
                self.streams.remove(stream);
                self.bytes = self.bytes.saturating_sub(stream.len() + STREAM);
            }
            (true, _) => {}
        }
        first
    }

    fn end(&mut self, last: Event) {
        if !std::mem::replace(&mut self.is_over, true) {
            self.last = Some(last);
        }
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::content::Content;
    use crate::wire::{Epoch, StreamState};

    fn joined() -> Joined {
        let position = Some(Position { epoch: Epoch::new(1), sequence: 0 });
        Joined { position, ..Joined::new(StreamState::Waiting) }
    }

    fn next(gathered: &Gathered) -> Option<(Arc<str>, Waits)> {
        match gathered.poll_next(&Context::from_waker(Waker::noop())) {
            Poll::Ready(next) => next,
            Poll::Pending => None,
        }
    }

    /// However fast they are read, streams that are listened to take no more than what may wait.
    #[test]
    fn streams_have_a_limit_also_if_nothing_waits() {
        let gathered = Gathered::new(ByteSize(10 * STREAM), false);
        let mut streams = 0;
        while !gathered.is_over() && streams < 100 {
            gathered.join(&format!("s{streams}").into(), joined());
            assert!(matches!(next(&gathered), Some((_, Waits::Joined(_)))));
            streams += 1;
        }
        assert!((5..=10).contains(&streams), "{streams}");
        assert!(matches!(next(&gathered), Some((all, Waits::Event(Event::CutOff(_)))) if all.is_empty()));
    }

    /// The newest message of a stream takes the place of the one before, and those of many streams together no more than may wait.
    #[test]
    fn the_newest_of_all_streams_have_a_limit() {
        let text = |length: usize| Event::Message(Content::from_json(&format!("\"{}\"", "x".repeat(length))).unwrap());
        let limit = 100 * STREAM;
        let gathered = Gathered::new(ByteSize(limit), true);
        let push = |stream: &str, length: usize| {
            gathered.push(&stream.into(), text(length));
            !gathered.is_over()
        };
        // The only one that waits has room, however large it is.
        assert!(push("a", 2 * limit) && push("a", 2 * limit) && push("a", limit / 3));
        for _ in 0..100 {
            assert!(push("b", limit / 3) && push("a", limit / 3));
        }
        assert!(!push("c", limit / 2));
        assert!(gathered.lock().bytes <= limit);
    }

    /// What has ended or was forgotten takes nothing more.
    #[test]
    fn all_that_was_counted_is_given_back() {
        let gathered = Gathered::new(ByteSize(1 << 20), false);
        let streams: [Arc<str>; 2] = ["ended".into(), "forgotten".into()];
        for stream in &streams {
            gathered.join(stream, joined());
            assert!(gathered.push(stream, Event::Message(Content::from_json("1").unwrap())));
        }
        assert!(!gathered.push(&streams[0], Event::Ended { message: None }));
        gathered.forget(&streams[1]);
        while next(&gathered).is_some() {}
        let queues = gathered.lock();
        assert_eq!((queues.bytes, queues.streams.len(), queues.turns.len()), (0, 0, 0));
    }
}
