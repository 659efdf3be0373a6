//! What a program hears that asks for its events: lines become events of a stream, or of all streams of a prefix.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use crate::job::content::Content;
use crate::wire::subscriber::{Event, Joined, Listened, Reason, Reply, Take, read};
use crate::wire::{ErrorCode, Position, Positions, Start, Starts};

use super::reading::Reading;
use super::sink::LISTEN;

/// About what is remembered of a stream beside its name, in bytes of memory.
const STREAM: usize = 128;

/// What is listened to.
pub(super) enum Aim {
    Stream(Arc<str>, Start),
    /// All streams whose names begin so.
    Prefix(Starts),
}

/// See the module.
pub(super) struct Hearing {
    reading: Reading,
    aim: Aim,
    heard: Arc<Heard>,
    /// The latest put, until the next line tells whether it is the header of a stream that is joined.
    held: Option<(Arc<str>, Content)>,
    /// How the listen was answered.
    answer: Option<Answer>,
    /// Where the program is in each stream, behind the events that it has taken.
    positions: BTreeMap<Arc<str>, Position>,
    /// What the names of these take, in bytes of memory.
    remembered: usize,
    is_over: bool,
}

/// How the listen of a stream or of a prefix was answered.
#[derive(Debug, Clone, Copy)]
pub(super) enum Answer {
    Stream(Joined),
    Prefix(usize),
}

/// What was heard and not taken yet.
#[derive(Default)]
struct Heard(Mutex<Queue>);

#[derive(Default)]
struct Queue {
    waiting: VecDeque<(Arc<str>, Waits)>,
    bytes: usize,
}

enum Waits {
    Event(Event),
    /// From here on is counted.
    Position(Option<Position>),
}

/// The listener of one stream.
struct Ear {
    stream: Arc<str>,
    heard: Arc<Heard>,
}

impl Take for Ear {
    fn take(&self, event: Event) -> bool {
        let goes_on = !event.is_last();
        self.heard.push(&self.stream, Waits::Event(event));
        goes_on
    }

    fn joined(&self, joined: Joined) {
        self.heard.push(&self.stream, Waits::Position(joined.position));
    }
}

impl Heard {
    fn push(&self, stream: &Arc<str>, waits: Waits) {
        let mut queue = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        queue.bytes += waits.cost();
        queue.waiting.push_back((Arc::clone(stream), waits));
    }

    fn pop(&self) -> Option<(Arc<str>, Waits)> {
        let mut queue = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (stream, waits) = queue.waiting.pop_front()?;
        queue.bytes = queue.bytes.saturating_sub(waits.cost());
        Some((stream, waits))
    }

    fn bytes(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).bytes
    }
}

impl Waits {
    fn cost(&self) -> usize {
        match self {
            Self::Event(event) => event.cost(),
            Self::Position(_) => size_of::<Self>(),
        }
    }
}

impl Hearing {
    pub(super) fn new(reading: Reading, aim: Aim) -> Self {
        Self { reading, aim, heard: Arc::default(), held: None, answer: None, positions: BTreeMap::new(), remembered: 0, is_over: false }
    }

    /// The next event, with its stream's name; none after the last. An event of no stream has the empty name, and is the last.
    pub(super) fn poll_next(&mut self, cx: &Context<'_>) -> Poll<Option<(Arc<str>, Event)>> {
        loop {
            match self.heard.pop() {
                Some((stream, Waits::Event(event))) => {
                    self.pass(&stream, &event);
                    self.reading.rest();
                    return Poll::Ready(Some((stream, event)));
                }
                Some((stream, Waits::Position(position))) => self.stand(&stream, position),
                None if self.is_over => return Poll::Ready(None),
                None if self.poll_hear(cx).is_pending() => return Poll::Pending,
                None => {}
            }
        }
    }

    /// How the listen was answered; none if it was refused. What comes before that waits to be taken, within the limit of an outbox.
    pub(super) fn poll_answer(&mut self, cx: &Context<'_>) -> Poll<Option<Answer>> {
        while self.answer.is_none() && !self.is_over {
            if self.heard.bytes() > self.reading.limit() {
                self.too_much("waited for this listener while its program waited for it to be joined");
            } else if self.poll_hear(cx).is_pending() {
                return Poll::Pending;
            }
        }
        Poll::Ready(self.answer)
    }

    /// Where the program is in each stream.
    pub(super) fn positions(&self) -> Positions {
        self.positions.iter().map(|(stream, position)| (Arc::clone(stream), *position)).collect()
    }

    /// Where it is in one.
    pub(super) fn position(&self, stream: &str) -> Option<Position> {
        self.positions.get(stream).copied()
    }

    /// Hears the next line, or that there is none now.
    fn poll_hear(&mut self, cx: &Context<'_>) -> Poll<()> {
        let reply = match self.reading.poll_line(cx) {
            Poll::Ready(line) => line.map(read),
            // A stream is joined in one step, header and all: what nothing follows is a message.
            Poll::Pending if self.held.is_some() => {
                self.tell_held();
                return Poll::Ready(());
            }
            Poll::Pending => return Poll::Pending,
        };
        match reply {
            Some(Ok(reply)) => self.hear(reply),
            Some(Err(error)) => self.end(Event::Lost { reason: format!("a line of the broker cannot be read: {error}") }),
            None => self.end(Event::Lost {
                reason: "the broker dropped what waited for this listener: it has failed, was stopped at once, or needed the memory"
                    .to_owned(),
            }),
        }
        Poll::Ready(())
    }

    fn hear(&mut self, reply: Reply) {
        match (reply, &self.aim) {
            (Reply::Put { stream, message }, _) => {
                self.tell_held();
                self.held = Some((stream.into(), message));
            }
            (Reply::Joined { stream, answer }, Aim::Prefix(starts)) => {
                let start = if self.answer.is_none() { starts.of(&stream) } else { Start::default() };
                self.join(&stream.into(), start, answer.joined());
            }
            (Reply::Receipt { answer, .. }, Aim::Stream(stream, start)) => {
                let (stream, start, joined) = (Arc::clone(stream), *start, answer.joined());
                self.answer = Some(Answer::Stream(joined));
                self.join(&stream, start, joined);
            }
            (Reply::Receipt { answer, .. }, Aim::Prefix(_)) => {
                self.tell_held();
                self.answer = Some(Answer::Prefix(answer.streams.unwrap_or(0)));
            }
            (Reply::Skipped { stream, messages }, _) => self.tell(&stream.into(), Event::Skipped { messages }),
            (Reply::Close { stream, message }, aim) => {
                let is_all = matches!(aim, Aim::Stream(..));
                self.tell(&stream.into(), Event::Ended { message });
                if is_all {
                    self.hang_up();
                }
            }
            // A stream could not be joined; the others go on.
            (Reply::Error { reason, stream: Some(stream), receipt: None }, _) => self.tell(&stream.into(), Event::CutOff(reason)),
            (Reply::Error { reason, .. } | Reply::CloseConnection(Some(reason)), _) => self.end(Event::CutOff(reason)),
            (Reply::CloseConnection(None) | Reply::Joined { .. } | Reply::Session { .. } | Reply::Pong { .. } | Reply::Unknown, _) => {}
        }
    }

    /// A stream was joined, behind its header if it has one.
    fn join(&mut self, stream: &Arc<str>, start: Start, joined: Joined) {
        let header = self.held.take_if(|(held, _)| joined.has_header && held == stream).map(|(_, header)| header);
        self.tell_held();
        let mut listened = Listened::default();
        listened.join(LISTEN, start, vec![Ear { stream: Arc::clone(stream), heard: Arc::clone(&self.heard) }]);
        if let Some(header) = header {
            listened.put(header);
        }
        listened.joined(LISTEN, joined);
    }

    fn tell_held(&mut self) {
        if let Some((stream, message)) = self.held.take() {
            self.heard.push(&stream, Waits::Event(Event::Message(message)));
        }
    }

    fn tell(&mut self, stream: &Arc<str>, event: Event) {
        self.tell_held();
        self.heard.push(stream, Waits::Event(event));
    }

    /// The last event, which is of all streams together.
    fn end(&mut self, last: Event) {
        self.tell(&Arc::from(""), last);
        self.hang_up();
    }

    fn hang_up(&mut self) {
        self.is_over = true;
        self.reading.end();
    }

    fn too_much(&mut self, what: &str) {
        let reason = format!("more than {} bytes {what} (outbox.limit)", self.reading.limit());
        self.end(Event::CutOff(Reason { code: ErrorCode::SlowListener.as_str().to_owned(), reason }));
    }

    /// The program takes an event.
    fn pass(&mut self, stream: &Arc<str>, event: &Event) {
        if event.is_last() && self.positions.remove(stream).is_some() {
            self.remembered -= stream.len() + STREAM;
        } else if let Some(position) = self.positions.get_mut(stream) {
            position.sequence = position.sequence.saturating_add(event.passes());
        }
    }

    /// The program is there in a stream.
    fn stand(&mut self, stream: &Arc<str>, position: Option<Position>) {
        let Some(position) = position else { return };
        if self.positions.insert(Arc::clone(stream), position).is_none() {
            self.remembered += stream.len() + STREAM;
        }
        // Those that are forgotten without a word are not told to have ended.
        if self.remembered > self.reading.limit() && !self.is_over {
            self.too_much("are taken by the streams of this prefix");
        }
    }
}
