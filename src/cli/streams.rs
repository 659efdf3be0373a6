//! Several streams that are listened to at once; from their next run on, if asked to.
//!
//! Nobody can listen to an ended stream: who joins it is told its end, and no more. So its next run is found by joining again
//! and again, until the stream is not ended any more, or tells another end.

use std::collections::VecDeque;
use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;

use crate::client::{Event, Joined, Listener, RemoteStream, Start, StreamState};
use crate::wire::ids::StreamName;
use crate::wire::units::Span;

use super::connecting::until;
use super::ending::Ending;
use super::exit::{Exit, Failure, OrExit};

/// How long to wait before an ended stream is joined again.
const PAUSE: Duration = Duration::from_millis(500);

/// What is heard of a stream.
#[derive(Debug)]
pub(super) enum Heard {
    /// How it stood when it was joined; before its events.
    Joined(Joined),
    /// Its last run had ended so before it was joined, and is passed over.
    Passed(Ending),
    Event(Event),
}

/// The streams, by their numbers.
pub(super) struct Streams {
    remote: RemoteStream,
    streams: Vec<Stream>,
    /// Whose turn it is.
    turn: usize,
    /// Only the newest messages are wanted.
    latest: bool,
}

struct Stream {
    name: StreamName,
    /// None once it has ended, or until it is joined again.
    listener: Option<Listener>,
    joined: bool,
    /// It has a header, or something was heard of it.
    is_begun: bool,
    /// Of a stream whose next run is waited for; none once that has begun.
    passing: Option<Passing>,
    /// Events of the next run that had to wait until it was known to be one.
    ready: VecDeque<Event>,
}

/// What is known of the run that is passed over.
#[derive(Default)]
struct Passing {
    /// What it left: its header and its end.
    left: Option<Vec<Event>>,
    /// What was told since the stream was joined this time.
    heard: Vec<Event>,
    /// It had ended by then.
    is_ended: bool,
    /// How long ago, as the broker says.
    age: Option<Duration>,
    /// It was said how the run ended.
    is_told: bool,
    /// When to join it again.
    again: Option<Instant>,
}

impl Streams {
    /// Listens to all of these from there, each once however often it is named. With `next`, a run that has ended already is passed over.
    pub(super) async fn listen(remote: &RemoteStream, names: &[String], next: bool, start: Start) -> Result<Self, Failure> {
        let mut streams: Vec<Stream> = Vec::with_capacity(names.len());
        for name in names {
            if streams.iter().any(|stream| stream.name.as_str() == name) {
                continue;
            }
            let name = StreamName::new(name).or_exit(Exit::Usage)?;
            let listener = Some(remote.listen_from(name.as_str(), start).await?);
            streams.push(Stream {
                name,
                listener,
                joined: false,
                is_begun: false,
                passing: next.then(Passing::default),
                ready: VecDeque::new(),
            });
        }
        Ok(Self { remote: remote.clone(), streams, turn: 0, latest: start.latest })
    }

    pub(super) fn names(&self) -> Vec<StreamName> {
        self.streams.iter().map(|stream| stream.name.clone()).collect()
    }

    /// Whether all have ended.
    pub(super) fn is_over(&self) -> bool {
        self.streams.iter().all(Stream::is_over)
    }

    /// The failure of one whose time is up.
    pub(super) fn late(&self, time: Option<Span>) -> Failure {
        let names: Vec<String> = self.streams.iter().filter(|stream| !stream.is_over()).map(Stream::standing).collect();
        let have = if names.len() == 1 { "has" } else { "have" };
        let time = time.map(|time| time.to_string()).unwrap_or_default();
        Failure::new(Exit::Timeout, format!("{} {have} not ended after {time}", names.join(", ")))
    }

    /// Listens to a stream no longer.
    pub(super) fn leave(&mut self, index: usize) {
        if let Some(stream) = self.streams.get_mut(index) {
            (stream.listener, stream.passing) = (None, None);
            stream.ready.clear();
        }
    }

    /// What is heard next, of each stream in its turn; waits for ever once all have ended. Dropped while it waits, it misses nothing.
    pub(super) async fn next(&mut self) -> Result<(usize, Heard), Failure> {
        loop {
            let again = self.streams.iter().filter_map(Stream::again).min();
            tokio::select! {
                biased;
                (index, heard) = heard(&mut self.streams, &mut self.turn) => {
                    if let Some(heard) = heard {
                        return Ok((index, heard));
                    }
                }
                () = until(again) => self.join_again().await?,
            }
        }
    }

    async fn join_again(&mut self) -> Result<(), Failure> {
        for stream in &mut self.streams {
            if stream.again().is_some_and(|again| again <= Instant::now()) {
                stream.listener = Some(self.remote.listen_from(stream.name.as_str(), Start::default().latest(self.latest)).await?);
                stream.joined = false;
                if let Some(passing) = &mut stream.passing {
                    passing.again = None;
                }
            }
        }
        Ok(())
    }
}

/// Why it cannot be told how a job ends.
pub(super) fn failure(name: &StreamName, event: &Event) -> Option<Failure> {
    match event {
        Event::CutOff(reason) => Some(Failure::cut_off(&format!("{name:?}"), reason)),
        Event::Lost { reason } => Some(Failure::lost(reason)),
        Event::Header(_) | Event::Message(_) | Event::Skipped { .. } | Event::Ended { .. } | Event::Reconnected { .. } => None,
    }
}

/// What one of the streams tells next; nothing if it is only to be joined again, later.
async fn heard(streams: &mut [Stream], turn: &mut usize) -> (usize, Option<Heard>) {
    let count = streams.len();
    if count == 0 {
        pending::<()>().await;
    }
    poll_fn(|cx| {
        for step in 0..count {
            let index = (*turn + step) % count;
            if let Some(Poll::Ready(heard)) = streams.get_mut(index).map(|stream| stream.poll(cx)) {
                *turn = index + 1;
                return Poll::Ready((index, heard));
            }
        }
        Poll::Pending
    })
    .await
}

impl Stream {
    fn is_over(&self) -> bool {
        self.listener.is_none() && self.again().is_none() && self.ready.is_empty()
    }

    /// Its name, and why nothing was heard of it.
    fn standing(&self) -> String {
        let is_passed = self.passing.as_ref().is_some_and(|passing| passing.is_told);
        let why = match (self.joined, self.is_begun) {
            _ if is_passed => " (its next run has not begun)",
            (false, false) => " (the broker has not answered)",
            (true, false) => " (not begun)",
            (_, true) => "",
        };
        format!("{:?}{why}", self.name)
    }

    fn again(&self) -> Option<Instant> {
        self.passing.as_ref()?.again
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Heard>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Poll::Ready(Some(Heard::Event(event)));
            }
            let Some(listener) = &mut self.listener else { return Poll::Pending };
            if !self.joined {
                let joined = pin!(listener.joined()).poll(cx);
                if let Poll::Ready(joined) = joined {
                    self.joined = true;
                    match joined.and_then(|joined| self.take_joined(joined, cx)) {
                        Some(heard) => return Poll::Ready(Some(heard)),
                        None => continue,
                    }
                }
            }
            let next = pin!(listener.next()).poll(cx);
            let Poll::Ready(event) = next else { return Poll::Pending };
            if event.as_ref().is_none_or(Event::is_last) {
                self.listener = None;
            }
            let heard = event.and_then(|event| self.take(event));
            if heard.is_some() || self.again().is_some() {
                return Poll::Ready(heard);
            }
        }
    }

    /// The stream was joined. What is told of a run that may be passed over waits.
    fn take_joined(&mut self, mut joined: Joined, cx: &mut Context<'_>) -> Option<Heard> {
        if joined.state == StreamState::Waiting {
            self.passing = None;
            if self.has_had_messages(joined, cx) {
                joined.state = StreamState::Running;
            }
        }
        self.is_begun |= joined.state == StreamState::Running;
        let Some(passing) = &mut self.passing else { return Some(Heard::Joined(joined)) };
        (passing.is_ended, passing.heard) = (joined.state == StreamState::Ended, Vec::new());
        passing.age = joined.age.filter(|_| passing.is_ended);
        None
    }

    /// Whether a stream without a header has begun all the same, as one that `put` writes has none. The last messages, if they were asked
    /// for, come together with the broker's answer.
    fn has_had_messages(&mut self, joined: Joined, cx: &mut Context<'_>) -> bool {
        if joined.position.is_some_and(|position| position.sequence > 0) {
            return true;
        }
        let Some(listener) = &mut self.listener else { return false };
        let Poll::Ready(Some(event)) = pin!(listener.next()).poll(cx) else { return false };
        let is_message = matches!(event, Event::Message(_));
        if event.is_last() {
            self.listener = None;
        }
        self.ready.push_back(event);
        is_message
    }

    /// Takes an event; none if it is of a run that is passed over.
    fn take(&mut self, event: Event) -> Option<Heard> {
        self.is_begun |= matches!(event, Event::Header(_) | Event::Message(_));
        let Some(passing) = &mut self.passing else { return Some(Heard::Event(event)) };
        match &event {
            Event::Ended { .. } => return self.take_end(event),
            Event::Header(content) if passing.is_ended || Ending::of_content(content).is_some() => {
                let ending = Ending::of_content(content);
                passing.heard.push(event);
                return ending.and_then(|ending| passing.tell(ending));
            }
            // The run has said how it ended, and its stream is about to.
            Event::Message(content) if !passing.heard.is_empty() && Ending::of_content(content).is_some() => return None,
            Event::Reconnected { .. } => passing.heard.clear(),
            Event::Skipped { .. } => {}
            Event::Header(_) | Event::Message(_) | Event::CutOff(_) | Event::Lost { .. } => self.passing = None,
        }
        Some(Heard::Event(event))
    }

    /// The stream has ended. The same end as before is of the same run; another is that of the next, which is over already.
    fn take_end(&mut self, event: Event) -> Option<Heard> {
        let passing = self.passing.as_mut()?;
        let ending = Ending::of_event(&event);
        passing.heard.push(event);
        let heard = std::mem::take(&mut passing.heard);
        match &passing.left {
            Some(left) if *left != heard => {
                self.passing = None;
                self.ready.extend(heard);
                return self.ready.pop_front().map(Heard::Event);
            }
            Some(_) => {}
            None => passing.left = Some(heard),
        }
        passing.again = Some(Instant::now() + PAUSE);
        ending.and_then(|ending| passing.tell(ending))
    }
}

impl Passing {
    /// Tells once how the run ended that is passed over.
    fn tell(&mut self, ending: Ending) -> Option<Heard> {
        (!std::mem::replace(&mut self.is_told, true)).then_some(Heard::Passed(Ending { age: self.age, ..ending }))
    }
}
