//! How the directory is told: to those who join, and to all who listen when something has changed.

use std::time::Duration;

use crate::wire::ids::{ConnectionId, Prefix, StreamName};
use crate::wire::json_lines::ENCODER;
use crate::wire::{Effect, Encode, Event, Frame, Position, Start, StreamState};

use super::budget::{Budget, JOIN, PUSH};
use super::directory::{self, BEHIND_ENTRIES};
use super::input::Deliver;
use super::machine::Core;

impl Core {
    /// Sets the time at the beginning of the core's clock, since 1970.
    pub fn set_beginning(&mut self, began: Duration) {
        self.began = began;
    }

    /// How long it is until there is something to do though nothing comes: somebody listens to the directory, and is to be told what has
    /// changed, or that a stream is forgotten.
    pub fn until_news(&self) -> Option<Duration> {
        if !self.directory.is_watched() {
            return None;
        }
        let ended = self.ended.first().map(|(forget_at, _)| *forget_at);
        let past = self.past.listed.first().map(|(second, _)| Duration::from_secs((*second).into()) + self.past.limits.time);
        [self.directory.due(), ended, past].into_iter().flatten().min().map(|due| due.saturating_sub(self.now))
    }

    /// Tells those who listen to the directory what has changed, as far as the budget goes.
    pub fn publish(&mut self, budget: &mut Budget, deliver: &mut impl Deliver) {
        while !budget.is_spent() {
            let Some((stream, is_new)) = self.directory.next(self.now) else { return };
            budget.spend(JOIN);
            self.publish_one(&stream, is_new, budget, deliver);
        }
    }

    /// Whether there is something to tell now.
    pub fn has_news(&self) -> bool {
        self.directory.due().is_some_and(|due| due <= self.now)
    }

    /// Somebody asks for a stream of the directory. Of one that is new, nobody learns before those who listen already.
    pub(super) fn publish_if_new(&mut self, entry: &StreamName, budget: &mut Budget, deliver: &mut impl Deliver) {
        if !self.directory.is_watched() {
            return;
        }
        if let Some(stream) = directory::subject(entry).filter(|stream| self.directory.say_early(stream, self.now)) {
            self.publish_one(&stream, true, budget, deliver);
        }
    }

    fn publish_one(&mut self, stream: &StreamName, is_new: bool, budget: &mut Budget, deliver: &mut impl Deliver) {
        let Some(entry) = directory::entry(stream) else { return };
        let told = self.entry(&entry);
        let end = || frame(&Event::Close { stream: &entry, message: None });
        for listener in self.prefixes.joining(&entry, budget) {
            // One that listens to it by its name too is told as such.
            if self.listens(listener, &entry) {
                continue;
            }
            budget.spend(JOIN);
            let latest = self.prefixes.wants_latest(listener, &entry, budget);
            match &told {
                Some(told) if is_new => {
                    self.join_entry(listener, &entry, told, Start { latest, ..Start::default() }, deliver);
                }
                Some(told) if latest => {
                    deliver.latest(listener, &entry, told, 1);
                }
                Some(told) => {
                    deliver.frame(listener, told);
                }
                None if is_new => {}
                None => {
                    deliver.frame(listener, &end());
                }
            }
        }
        match (self.streams.get(&entry), told) {
            (None, _) => {}
            (Some(_), Some(told)) => self.deliver_entry(&entry, &told, budget, deliver),
            (Some(_), None) if is_new => {}
            (Some(_), None) => {
                self.dismiss(&entry, &end(), budget, deliver);
                self.remove(&entry);
            }
        }
    }

    /// Tells those who listen to one of the directory's streams by its name. Nothing of it is kept: how it stands is all there is to know.
    fn deliver_entry(&mut self, entry: &StreamName, told: &Frame, budget: &mut Budget, deliver: &mut impl Deliver) {
        let Some(stream) = self.streams.get_mut(entry) else { return };
        budget.spend(PUSH * stream.listeners.len());
        stream.run.sequence += 1;
        let (each, latest) = stream.audience();
        for listener in each {
            deliver.frame(*listener, told);
        }
        for listener in latest {
            deliver.latest(*listener, entry, told, 1);
        }
    }

    /// So many fewer listen to the directory.
    pub(super) fn unwatch(&mut self, count: usize) {
        for changed in self.directory.unwatch(count).into_iter().flatten() {
            self.order.waste(changed);
        }
    }

    /// What one of the directory's streams tells now. None if it is none of them, or if its stream is not there.
    pub(super) fn entry(&self, entry: &StreamName) -> Option<Frame> {
        let stream = self.streams.get(&directory::subject(entry)?)?;
        let content = directory::content(stream, self.began, self.shared.as_ref().map(|shared| &*shared.node));
        Some(frame(&Event::Put { stream: entry, message: &content }))
    }

    /// Joins one of the directory's streams on the way of a listener. Returns how many bytes that has queued, if there is something to
    /// tell.
    pub(super) fn walk_to_entry(
        &mut self,
        to: ConnectionId,
        entry: &StreamName,
        start: Start,
        budget: &mut Budget,
        deliver: &mut impl Deliver,
    ) -> Option<usize> {
        self.publish_if_new(entry, budget, deliver);
        let header = self.entry(entry)?;
        self.join_entry(to, entry, &header, start, deliver);
        Some(header.bytes().len())
    }

    fn join_entry(&mut self, to: ConnectionId, entry: &StreamName, header: &Frame, start: Start, deliver: &mut impl Deliver) {
        if start.latest {
            deliver.begin_latest(to, entry);
        }
        deliver.frame(to, header);
        // It is made anew each time, so that nothing can be resumed: each has an epoch of its own.
        let position = Some(Position { epoch: self.epochs.draw(), sequence: 0 });
        let effect = Effect { state: Some(StreamState::Running), resumed: start.after.map(|_| false), position, ..Effect::default() };
        deliver.event(to, &Event::Joined { stream: entry, effect });
    }

    /// The next stream that a prefix matches, those of the directory included, behind the one where one is.
    pub(super) fn next_of(&self, prefix: &Prefix, at: Option<&StreamName>) -> Option<StreamName> {
        let Some(subjects) = directory::subjects(prefix) else { return self.order.next(prefix, at).cloned() };
        // Those that somebody waits for by the name are no others.
        let stored = match self.order.next(prefix, at).filter(|name| directory::is_entry(name)) {
            Some(_) => self.order.from(BEHIND_ENTRIES).filter(|name| prefix.matches(name)),
            None => self.order.next(prefix, at),
        };
        let behind = at.and_then(directory::subject);
        let is_past = behind.is_none() && at.is_some_and(|at| at.as_str() >= BEHIND_ENTRIES);
        let subject = if is_past { None } else { self.order.next(&subjects, behind.as_ref()) };
        let entry = subject.and_then(directory::entry);
        match (entry, stored) {
            (Some(entry), Some(stored)) => Some(entry.min(stored.clone())),
            (entry, stored) => entry.or_else(|| stored.cloned()),
        }
    }
}

fn frame(event: &Event<'_>) -> Frame {
    let mut bytes = Vec::with_capacity(256);
    ENCODER.encode(event, &mut bytes);
    Frame::new(bytes.into_boxed_slice(), 1, &ENCODER)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::broker::core::{CoreLimits, Epochs, Input, ReplayLimits};
    use crate::wire::ErrorCode;

    /// What the only listener was told.
    #[derive(Default)]
    struct Heard(Vec<String>);

    impl Deliver for Heard {
        fn frame(&mut self, _: ConnectionId, frame: &Frame) -> bool {
            self.0.push(String::from_utf8(frame.bytes().to_vec()).unwrap());
            true
        }

        fn event(&mut self, _: ConnectionId, event: &Event<'_>) {
            if let Event::Joined { stream, .. } = event {
                self.0.push(format!("joined {stream}"));
            }
        }

        fn latest(&mut self, to: ConnectionId, _: &StreamName, newest: &Frame, _: u64) -> bool {
            self.frame(to, newest)
        }

        fn begin_latest(&mut self, _: ConnectionId, _: &StreamName) {}

        fn finish(&mut self, _: ConnectionId, _: Option<&Frame>) {}

        fn end(&mut self, _: ConnectionId, _: ErrorCode, _: &str) {}
    }

    struct Broker(Core);

    impl Broker {
        fn new(streams: usize) -> Self {
            let replay = ReplayLimits { stream: 1000, total: 1 << 20, time: Duration::from_secs(100) };
            let ended_time = Duration::from_secs(50);
            let limits = CoreLimits { streams: 10_000, listens: 10, stored: usize::MAX, ended_time, replay, ..CoreLimits::default() };
            let mut broker = Self(Core::new(limits, Arc::default(), Epochs::new(0)));
            (0..streams).for_each(|number| broker.header(&number.to_string()));
            broker
        }

        fn input(&mut self, input: Input) -> Vec<String> {
            let (mut heard, mut left) = (Heard::default(), Some(input));
            while let Some(input) = left {
                left = self.0.handle(ConnectionId(0), input, &mut Budget::unlimited(), &mut heard);
                self.0.assert_invariants();
            }
            heard.0
        }

        fn header(&mut self, stream: &str) {
            let stream = StreamName::new(stream).unwrap();
            let header = Frame::lasting(Box::from(&b"{}\n"[..]), &ENCODER);
            self.input(Input::Header { stream, header, of: None, absent: false, receipt: None });
        }

        fn close(&mut self, stream: &str, forgets: bool) {
            let stream = StreamName::new(stream).unwrap();
            let last = Frame::lasting(Box::from(&b"{}\n"[..]), &ENCODER);
            self.input(if forgets {
                Input::Delete { stream, last, of: None, receipt: None }
            } else {
                Input::Close { stream, last, of: None, receipt: None }
            });
        }

        fn listen(&mut self, prefix: &str) -> Vec<String> {
            self.input(Input::ListenPrefix { prefix: Prefix::new(prefix), start: None, receipt: None, begun: false })
        }

        /// What is told at a time: by state, or what else it is.
        fn told(&mut self, second: u64) -> Vec<String> {
            self.0.set_time(Duration::from_secs(second));
            self.0.forget(&mut Budget::unlimited());
            let mut heard = Heard::default();
            self.0.publish(&mut Budget::unlimited(), &mut heard);
            self.0.assert_invariants();
            let short = |line: &String| match line.split_once("\"state\":\"") {
                Some((_, state)) => state.split('"').next().unwrap().to_owned(),
                None => line.trim().to_owned(),
            };
            heard.0.iter().map(short).collect()
        }
    }

    #[test]
    fn what_changes_within_a_second_is_told_once() {
        let mut broker = Broker::new(2);
        assert_eq!(broker.listen("$streams/").len(), 4);
        broker.header("0");
        assert_eq!(broker.told(10), ["running"]);
        broker.header("0");
        broker.close("0", false);
        assert_eq!((broker.told(10), broker.0.until_news()), (vec![], Some(Duration::from_secs(1))));
        assert_eq!((broker.told(11), broker.told(12)), (vec!["ended".to_owned()], vec![]));
        // It comes and goes, and nobody hears of it.
        broker.header("new");
        broker.close("new", true);
        // It goes and comes, and is another.
        broker.close("1", true);
        broker.header("1");
        assert_eq!(broker.told(13), ["running"]);
        broker.header("new");
        assert_eq!(broker.told(14), ["running", "joined $streams/new"]);
    }

    #[test]
    fn the_directory_tells_on_its_own_that_a_stream_is_forgotten() {
        let mut broker = Broker::new(1);
        broker.listen("$streams/");
        broker.close("0", false);
        assert_eq!((broker.told(0), broker.0.until_news()), (vec!["ended".to_owned()], Some(Duration::from_secs(50))));
        assert_eq!(broker.told(50), [r#"{"action":"close","stream":"$streams/0"}"#]);
        assert_eq!(broker.0.until_news(), None);
    }

    #[test]
    fn nothing_is_noted_for_nobody() {
        let mut broker = Broker::new(1000);
        assert_eq!(broker.0.until_news(), None);
        broker.listen("$streams/");
        (0..1000).for_each(|number| broker.header(&number.to_string()));
        assert!(broker.0.has_news());
        broker.input(Input::Leave { orderly: false, last: None, receipt: None });
        assert!(broker.0.until_news().is_none() && !broker.0.has_news() && broker.told(1).is_empty());
        assert!(!broker.0.has_forgettable(), "nor is what was noted kept");
    }

    #[test]
    fn it_is_told_in_pieces() {
        let mut broker = Broker::new(1000);
        broker.listen("$");
        (0..1000).for_each(|number| broker.header(&number.to_string()));
        let (mut heard, mut turns) = (Heard::default(), 0);
        while broker.0.has_news() {
            broker.0.publish(&mut Budget::new(20_000), &mut heard);
            turns += 1;
        }
        assert!(turns > 40 && heard.0.len() == 1000, "{turns} turns, {} told", heard.0.len());
    }

    // Seen to fail: it was joined on the way, and again when it was told to all; and with a listener that was told of all streams but
    // those of the last second, as somebody else listened.
    #[test]
    fn what_is_new_is_joined_once_by_one_that_is_on_its_way() {
        let mut broker = Broker::new(0);
        broker.listen("$streams/x");
        broker.header("new");
        let joined = broker.listen("$streams/");
        assert_eq!((joined.len(), joined[1].as_str(), broker.told(0)), (2, "joined $streams/new", vec![]));
        broker.header("new");
        assert_eq!((broker.told(0), broker.told(1)), (vec![], vec!["running".to_owned()]), "and no more often than once a second");
    }

    // Seen to fail: it was told that nothing was missing, since nobody had noted what changed while it was away.
    #[test]
    fn one_that_comes_back_to_a_stream_of_the_directory_is_told_how_it_stands_now() {
        let mut broker = Broker::new(1);
        let entry = StreamName::new("$streams/0").unwrap();
        let listen = |start| Input::Listen { stream: entry.clone(), start, receipt: None };
        assert_eq!(broker.input(listen(None)).len(), 1);
        let after = broker.0.streams.get(&entry).map(|stream| stream.run.position());
        broker.input(Input::Leave { orderly: false, last: None, receipt: None });
        broker.close("0", false);
        let told = broker.input(listen(Some(Box::new(Start { after, last: Some(9), ..Start::default() }))));
        assert!(told.len() == 1 && told[0].contains(r#""state":"ended""#), "{told:?}");
    }
}
