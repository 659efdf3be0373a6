//! All streams whose names begin so, by numbers that they have as long as they are shown.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::client::{Event, PrefixListener, RemoteStream, Starts, Waits};
use crate::wire::ids::StreamName;
use crate::wire::units::Span;

use super::exit::{Exit, Failure};
use super::streams::Heard;

/// So many streams that have ended are remembered, since they are counted below the bars; the number of the oldest is given to the next.
const MOST_ENDED: usize = 100;

/// The streams.
pub(super) struct Prefixed {
    listener: PrefixListener,
    numbers: HashMap<Arc<str>, usize>,
    /// How many numbers there are.
    count: usize,
    ended: VecDeque<(usize, Arc<str>)>,
}

impl Prefixed {
    pub(super) async fn listen(remote: &RemoteStream, prefix: &str, starts: Starts) -> Result<Self, Failure> {
        let listener = remote.listen_prefix_from(prefix, starts).await?;
        Ok(Self { listener, numbers: HashMap::new(), count: 0, ended: VecDeque::new() })
    }

    /// What is heard next, and of which stream. Dropped while it waits, it misses nothing.
    pub(super) async fn next(&mut self) -> Result<(usize, StreamName, Heard), Failure> {
        let (stream, heard) = loop {
            match self.listener.next_of_all().await {
                Some((stream, Waits::Event(event))) => break (stream, Heard::Event(event)),
                Some((stream, Waits::Joined(joined))) => break (stream, Heard::Joined(joined)),
                Some((stream, Waits::Forgotten)) => {
                    let index = self.number(&stream);
                    self.ended.push_back((index, stream));
                }
                None => return Err(Failure::lost("the broker has said all that it will")),
            }
        };
        let Ok(name) = StreamName::new(&stream) else { return Err(self.failure(heard)) };
        let index = self.number(&stream);
        if let Heard::Event(event) = &heard
            && event.is_last()
        {
            self.ended.push_back((index, stream));
        }
        Ok((index, name, heard))
    }

    /// The failure of one whose time is up.
    pub(super) fn late(&self, time: Option<Span>) -> Failure {
        let time = time.map(|time| time.to_string()).unwrap_or_default();
        Failure::new(Exit::Timeout, format!("{time} are over; streams that begin with {:?} may go on", self.listener.prefix()))
    }

    /// The number of a stream: its own if it is begun again, one of a stream that has ended, or a new one.
    fn number(&mut self, stream: &Arc<str>) -> usize {
        if let Some(index) = self.numbers.get(stream) {
            self.ended.retain(|(ended, _)| ended != index);
            return *index;
        }
        let free = if self.ended.len() > MOST_ENDED { self.ended.pop_front() } else { None };
        let index = match free {
            Some((index, oldest)) => {
                self.numbers.remove(&oldest);
                index
            }
            None => self.count,
        };
        self.count = self.count.max(index + 1);
        self.numbers.insert(Arc::clone(stream), index);
        index
    }

    /// Why nothing more comes of any of them.
    fn failure(&self, heard: Heard) -> Failure {
        match heard {
            Heard::Event(Event::CutOff(reason)) => Failure::cut_off(&format!("the prefix {:?}", self.listener.prefix()), &reason),
            Heard::Event(Event::Lost { reason }) => Failure::lost(&reason),
            _ => Failure::lost("what it said cannot be understood"),
        }
    }
}
