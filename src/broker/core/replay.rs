//! When the past of streams is given up: what is too old, and what takes too much room.
//!
//! A stream with a past stands in a list by the second in which something last happened in it. The list is put right when it is looked
//! at, not with each message: what is looked at first may have moved on meanwhile, and is then put where it belongs.

use std::time::Duration;

use crate::wire::ids::StreamName;

use super::machine::Core;
use super::past::seconds;
use super::table::Named;

/// How many streams are looked at, at most, to find one that can be given up.
const LOOKS: usize = 64;

/// In which second the last message of a stream was delivered, if any is kept.
fn latest(named: &Named) -> Option<u32> {
    named.stream.run.window.as_ref().map(|window| seconds(window.latest()))
}

impl Core {
    /// What the windows of all streams take, in bytes of memory.
    pub fn replayable(&self) -> usize {
        self.past.bytes
    }

    /// Whether there is a stream whose past may be over.
    pub(super) fn has_old_past(&self) -> bool {
        self.past.listed.first().is_some_and(|(at, _)| self.past.is_over(*at, self.now))
    }

    /// Looks at the stream in which nothing has happened for longest, and gives up its past if that is too old. False if none is.
    pub(super) fn forget_old_past(&mut self) -> bool {
        if !self.has_old_past() {
            return false;
        }
        let Some((listed, name, Some(named))) = self.past.take_first(&mut self.streams) else { return true };
        match latest(named) {
            Some(latest) if latest > listed && !self.past.is_over(latest, self.now) => {
                self.past.list(named, Duration::from_secs(latest.into()));
            }
            _ => self.give_up(&name),
        }
        true
    }

    /// Gives up the past of a stream that is not listed any more, and the stream with it if it has nothing else.
    fn give_up(&mut self, name: &StreamName) {
        let Some(stream) = self.streams.get_mut(name) else { return };
        self.past.clear(&mut stream.run, &self.queues);
        if stream.is_empty() && stream.run.common.is_none() {
            self.remove(name);
        }
    }

    /// Makes room where all windows together take too much: the stream that has been without listener and message for longest gives its
    /// up first; if a short search finds no other, the one that took the room gives up its first messages.
    pub(super) fn relieve_windows(&mut self, newest: &StreamName) {
        for _ in 0..LOOKS {
            if self.past.bytes <= self.past.limits.total {
                return;
            }
            let Some((listed, name, Some(named))) = self.past.take_first(&mut self.streams) else { break };
            let happened = if named.stream.listeners.is_empty() { latest(named) } else { Some(seconds(self.now)) };
            match happened.filter(|happened| *happened > listed) {
                Some(happened) => self.past.list(named, Duration::from_secs(happened.into())),
                None if name == *newest => {
                    self.past.list(named, self.now);
                    break;
                }
                None => self.give_up(&name),
            }
        }
        let Some(stream) = self.streams.get_mut(newest) else { return };
        while self.past.bytes > self.past.limits.total {
            let Some(window) = stream.run.window.as_mut() else { return };
            let before = window.bytes();
            if !window.pop(&self.queues) {
                return self.past.clear(&mut stream.run, &self.queues);
            }
            self.past.bytes = self.past.bytes + window.bytes() - before;
        }
    }

    /// Forgets a stream that has nothing but its past, to make room for others. False if a short search finds none. `wanted` stays.
    pub(super) fn forget_past_only(&mut self, wanted: Option<&StreamName>) -> bool {
        if self.shared.is_some() {
            // Other nodes would not know.
            return false;
        }
        // Twice, since the first look may only find that something has happened since.
        for _ in 0..LOOKS.min(2 * self.past.listed.len()) {
            let Some((listed, name, Some(named))) = self.past.take_first(&mut self.streams) else { return false };
            let is_free = named.stream.is_empty() && wanted != Some(&name);
            let happened = if is_free { latest(named).unwrap_or(listed) } else { seconds(self.now) };
            if is_free && happened <= listed {
                self.give_up(&name);
                return true;
            }
            self.past.list(named, Duration::from_secs(happened.into()));
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::broker::core::past::WINDOW;
    use crate::broker::core::tests::Counter;
    use crate::broker::core::window::Window;
    use crate::broker::core::{Budget, CoreLimits, Epochs, Input, ReplayLimits};
    use crate::wire::ids::ConnectionId;
    use crate::wire::json_lines::ENCODER;
    use crate::wire::{Epoch, Frame, Gauge, ReceiptId, Start};

    struct Broker(Core);

    impl Broker {
        /// Room for `messages` in `windows` windows, and for so many streams.
        fn new(messages: usize, windows: usize, streams: usize) -> Self {
            let total = messages * cost() + windows * WINDOW;
            let replay = ReplayLimits { stream: usize::MAX, total, time: Duration::from_secs(100) };
            let limits = CoreLimits { streams, listens: 1000, stored: usize::MAX, replay, ..CoreLimits::default() };
            Self(Core::new(limits, Arc::default(), Epochs::new(0)))
        }

        fn input(&mut self, input: Input) -> u32 {
            let mut delivered = Counter::default();
            self.0.handle(ConnectionId(0), input, &mut Budget::unlimited(), &mut delivered);
            self.0.assert_invariants();
            delivered.0
        }

        fn put(&mut self, stream: &str, second: u64) {
            self.0.set_time(Duration::from_secs(second));
            self.input(Input::put(name(stream), message(), None, None));
        }

        fn listen(&mut self, stream: &str, last: u64) -> u32 {
            let start = Some(Box::new(Start { last: Some(last), ..Start::default() }));
            self.input(Input::Listen { stream: name(stream), start, receipt: Some(ReceiptId::new("1")) })
        }

        /// How many messages a stream has in its window.
        fn kept(&mut self, stream: &str) -> u64 {
            self.0.streams.get(&name(stream)).map_or(0, |stream| stream.run.window.as_ref().map_or(0, |window| window.messages()))
        }
    }

    fn name(stream: &str) -> StreamName {
        StreamName::new(stream).unwrap()
    }

    /// One that is kept by itself.
    fn message() -> Frame {
        Frame::new(vec![b'\n'; 2000].into_boxed_slice(), 1, &ENCODER)
    }

    /// What it takes to keep one.
    fn cost() -> usize {
        let mut window = Window::default();
        window.push(&message(), Duration::ZERO, 0, &Gauge::default());
        window.bytes()
    }

    #[test]
    fn who_has_been_without_listener_and_message_for_longest_gives_its_past_up() {
        let mut broker = Broker::new(6, 3, 100);
        for (second, stream) in (0..).zip(["watched", "quiet", "busy", "watched", "quiet", "busy"]) {
            broker.put(stream, second);
        }
        assert_eq!(broker.listen("watched", 0), 0);
        // Quiet is not the first that there was, nor the first in the list.
        for second in 10..13 {
            broker.put("busy", second);
        }
        assert_eq!(["watched", "quiet", "busy"].map(|stream| broker.kept(stream)), [2, 0, 4]);
        assert_eq!(broker.0.streams(), 2, "nothing is left of one that had only its past");
    }

    #[test]
    fn a_thousand_streams_with_listeners_take_no_more_than_there_is() {
        let mut broker = Broker::new(500, 500, 2000);
        for number in 0..1000 {
            broker.put(&number.to_string(), number);
            broker.listen(&number.to_string(), 0);
            assert!(broker.0.replayable() <= 500 * (cost() + WINDOW));
        }
        assert!(broker.0.replayable() > 490 * (cost() + WINDOW));
    }

    #[test]
    fn a_stream_of_which_only_the_past_is_left_makes_room_for_another() {
        let mut broker = Broker::new(100, 100, 2);
        for (second, stream) in (0..).zip(["first", "second", "third", "second"]) {
            broker.put(stream, second);
        }
        assert_eq!(["first", "second", "third"].map(|stream| broker.kept(stream)), [0, 2, 1]);
        let header = Frame::lasting(Box::from(&b"{}\n"[..]), &ENCODER);
        broker.input(Input::Header { stream: name("fourth"), header, of: None, absent: false, receipt: None });
        assert_eq!((broker.kept("third"), broker.0.streams()), (0, 2), "the one that is used is kept");
    }

    // Seen to fail: what was asked for made room for the asking, and was lost.
    #[test]
    fn a_stream_does_not_make_room_for_what_is_wanted_of_it() {
        let mut broker = Broker::new(100, 100, 100);
        broker.put("stream", 0);
        broker.0.limits.stored = broker.0.stored() + 10;
        let header = Frame::lasting(vec![b'\n'; 100].into_boxed_slice(), &ENCODER);
        broker.input(Input::Header { stream: name("stream"), header, of: None, absent: false, receipt: None });
        broker.listen("stream", 1);
        assert_eq!((broker.kept("stream"), broker.0.listeners(&name("stream")).len()), (1, 0));
    }

    // Seen to fail: it was forgotten ten minutes after its listener had left for the first time.
    #[test]
    fn a_stream_is_remembered_from_when_its_last_listener_left() {
        let mut broker = Broker::new(100, 100, 100);
        for left_at in [0, 60, 99] {
            broker.0.set_time(Duration::from_secs(left_at));
            broker.listen("waiting", 0);
            broker.input(Input::Leave { orderly: false, last: None, receipt: None });
        }
        for (second, streams) in [(198, 1), (199, 0)] {
            broker.0.set_time(Duration::from_secs(second));
            broker.0.forget(&mut Budget::unlimited());
            assert_eq!(broker.0.streams(), streams, "after {second} s");
        }
    }

    // Seen to fail: it was forgotten when the other one hung up, and the one that came back was told of a gap.
    #[test]
    fn a_stream_is_remembered_for_a_listener_that_was_lost_before_another_hung_up() {
        let mut broker = Broker::new(100, 100, 100);
        broker.listen("waiting", 0);
        let (lost, mut delivered) = (ConnectionId(1), Counter::default());
        for input in [
            Input::Listen { stream: name("waiting"), start: None, receipt: None },
            Input::Leave { orderly: false, last: None, receipt: None },
        ] {
            broker.0.handle(lost, input, &mut Budget::unlimited(), &mut delivered);
        }
        broker.input(Input::Hangup { stream: None, receipt: None });
        assert_eq!(broker.0.streams(), 1);
        broker.0.set_time(Duration::from_secs(100));
        broker.0.forget(&mut Budget::unlimited());
        assert_eq!(broker.0.streams(), 0);
    }

    // Seen to fail: 2,000 messages that were refused cost no more than one.
    #[test]
    fn what_is_refused_is_paid_for_message_by_message() {
        let mut broker = Broker::new(100, 100, 100);
        let (run, mut budget) = (Frame::new(vec![b'\n'; 2000].into_boxed_slice(), 2000, &ENCODER), Budget::new(100_000));
        let stale = Input::Put { stream: name("s"), run, of: Some(Epoch::new(1)), extras: Vec::new() };
        broker.0.handle(ConnectionId(0), stale, &mut budget, &mut Counter::default());
        assert!(budget.is_spent());
    }

    // Seen to fail: a search through 64 streams cost nothing, however often it was in vain.
    #[test]
    fn whoever_needs_room_pays_for_the_search() {
        let mut broker = Broker::new(1000, 1000, 64);
        for number in 0..64 {
            broker.put(&number.to_string(), number);
            broker.listen(&number.to_string(), 0);
        }
        let mut spent = |stream: &str| {
            let mut budget = Budget::new(10_000);
            broker.0.handle(ConnectionId(0), Input::put(name(stream), message(), None, None), &mut budget, &mut Counter::default());
            budget.is_spent()
        };
        assert_eq!([spent("1"), spent("unseen"), spent("1"), spent("1")], [false, false, true, false]);
    }

    #[test]
    fn what_is_too_old_is_forgotten_and_its_stream_with_it() {
        let mut broker = Broker::new(100, 100, 100);
        broker.put("stream", 0);
        broker.put("stream", 90);
        broker.put("other", 95);
        for (second, streams) in [(100, 2), (189, 2), (190, 1), (195, 0)] {
            broker.0.set_time(Duration::from_secs(second));
            broker.0.forget(&mut Budget::unlimited());
            broker.0.assert_invariants();
            assert_eq!(broker.0.streams(), streams, "after {second} s");
        }
        assert_eq!((broker.0.replayable(), broker.0.stored()), (0, 0));
    }
}
