//! What a listener receives, checked: every message of every publisher, once, in order, unchanged.
//!
//! The checker knows the next message of each publisher byte by byte, so that a message costs it two comparisons and
//! a digit. Only what does not match is looked at closely.

use std::cmp::Ordering;

use thiserror::Error;

use super::content::{ID, ID_NUMBER, LoadContent, bump, id, read_digits};
use super::topology::Topology;
use super::wire::{Dialect, STREAM_DIGITS, Unit};

/// Why a run has failed.
#[derive(Debug, PartialEq, Eq, Error)]
pub(crate) enum Violation {
    /// Messages are missing, or come later than one that was sent after them.
    #[error("stream {stream}, publisher {publisher}: message {got} came when {expected} was due (lost, or out of order)")]
    Gap {
        /// The stream's number.
        stream: usize,
        /// The publisher's number.
        publisher: usize,
        /// The message that was due.
        expected: u64,
        /// The one that came.
        got: u64,
    },
    /// A message came again, or too late.
    #[error("stream {stream}, publisher {publisher}: message {got} came when {expected} was due (doubled, or out of order)")]
    Repeat {
        /// The stream's number.
        stream: usize,
        /// The publisher's number.
        publisher: usize,
        /// The message that was due.
        expected: u64,
        /// The one that came.
        got: u64,
    },
    /// A message's content is not what was sent.
    #[error("stream {stream}, publisher {publisher}: message {number} was changed on its way")]
    Changed {
        /// The stream's number.
        stream: usize,
        /// The publisher's number.
        publisher: usize,
        /// The message's number.
        number: u64,
    },
    /// The broker said something that a listener should not hear.
    #[error("the broker said {0:?}")]
    Broker(String),
}

/// What one listening connection has received and is to receive next.
pub(crate) struct Checker {
    wire: &'static dyn Dialect,
    topology: Topology,
    block: usize,
    /// The start of the next message of each stream and publisher, up to and including the id, one after the other.
    heads: Vec<u8>,
    /// The number of that message.
    next: Vec<u64>,
    /// The lengths of a head and of what follows it.
    head: usize,
    tail: usize,
    /// The last bytes of every message.
    end: Vec<u8>,
    stream_at: usize,
    /// Whose message is expected to come next. Only a guess.
    guess: usize,
    /// A head, or another unit, that is not whole yet.
    carry: Vec<u8>,
    /// What is still to come of a message whose head was right.
    skip: usize,
    /// Whether the broker has asked for a sign of life.
    pinged: bool,
}

/// How much of a message's end is compared. All of a small one; comparing a megabyte would cost more than receiving it.
const COMPARED: usize = 1024;

impl Checker {
    /// A checker for a connection that listens to the streams of a block.
    pub(crate) fn new(wire: &'static dyn Dialect, topology: Topology, block: usize, content: &LoadContent) -> Self {
        let places = topology.streams_of(block).len();
        let ranks = topology.publishers_per_stream();
        let template = wire.delivered(block, content);
        let mut heads = Vec::with_capacity(places * ranks * template.head.len());
        for stream in topology.streams_of(block) {
            let mut head = wire.delivered(stream, content).head;
            for rank in 0..ranks {
                let publisher = topology.publisher(stream, rank).unwrap_or_default();
                head[template.id_at()..].copy_from_slice(&id(publisher, 0));
                heads.extend_from_slice(&head);
            }
        }
        Self {
            wire,
            topology,
            block,
            heads,
            next: vec![0; places * ranks],
            head: template.head.len(),
            tail: template.tail.len(),
            end: template.tail[template.tail.len().saturating_sub(COMPARED)..].to_vec(),
            stream_at: template.stream_at,
            guess: 0,
            carry: Vec::new(),
            skip: 0,
            pinged: false,
        }
    }

    /// Takes what a read has given; calls `seen` with stream, publisher and number of each message once it is whole,
    /// or all but whole.
    ///
    /// # Errors
    /// A [`Violation`], if it is not what should come.
    pub(crate) fn feed(&mut self, mut bytes: &[u8], seen: &mut impl FnMut(usize, usize, u64)) -> Result<(), Violation> {
        loop {
            bytes = self.finish_tail(bytes)?;
            if self.carry.is_empty() {
                bytes = self.whole_messages(bytes, seen)?;
            }
            if bytes.is_empty() {
                return Ok(());
            }
            let missing = self.head.saturating_sub(self.carry.len()).min(bytes.len());
            self.carry.extend_from_slice(&bytes[..missing]);
            bytes = &bytes[missing..];
            if self.is_message_so_far() {
                if self.carry.len() < self.head {
                    return Ok(());
                }
                let carry = std::mem::take(&mut self.carry);
                let pair = self.expect(&carry)?;
                self.count(pair, seen);
                self.skip = self.tail;
                self.carry = carry;
                self.carry.clear();
            } else {
                self.carry.extend_from_slice(bytes);
                let carry = std::mem::take(&mut self.carry);
                match self.wire.unit(&carry).map_err(|error| Violation::Broker(error.to_string()))? {
                    None => {
                        self.carry = carry;
                        return Ok(());
                    }
                    Some((_, Unit::Failure(text))) => return Err(Violation::Broker(text)),
                    Some((length, Unit::Delivered(_))) => {
                        return Err(Violation::Broker(String::from_utf8_lossy(&carry[..length.min(200)]).into_owned()));
                    }
                    Some((length, unit)) => {
                        self.pinged |= unit == Unit::Ping;
                        return self.feed(&carry[length..], seen);
                    }
                }
            }
        }
    }

    /// Whether the broker has asked for a sign of life since the last call.
    pub(crate) fn take_ping(&mut self) -> bool {
        std::mem::take(&mut self.pinged)
    }

    /// The path of nearly all messages: those that lie whole in what was read.
    fn whole_messages<'b>(&mut self, mut bytes: &'b [u8], seen: &mut impl FnMut(usize, usize, u64)) -> Result<&'b [u8], Violation> {
        while let Some((message, rest)) = bytes.split_at_checked(self.head + self.tail) {
            let head = &message[..self.head];
            let at = self.guess * self.head;
            let pair = if head == &self.heads[at..at + self.head] {
                self.guess
            } else if head[..4] == self.heads[..4] {
                self.expect(head)?
            } else {
                return Ok(bytes);
            };
            if !message[self.head..].ends_with(&self.end) {
                return Err(self.changed(pair));
            }
            self.count(pair, seen);
            bytes = rest;
        }
        Ok(bytes)
    }

    fn finish_tail<'b>(&mut self, bytes: &'b [u8]) -> Result<&'b [u8], Violation> {
        let taken = self.skip.min(bytes.len());
        // What lies within the compared end, of what is taken: compared where it stands.
        let left = self.skip - taken;
        let within = self.end.len().saturating_sub(left).min(taken);
        if within > 0 {
            let end = self.end.len() - left;
            if bytes[taken - within..taken] != self.end[end - within..end] {
                return Err(self.changed(self.guess));
            }
        }
        self.skip = left;
        Ok(&bytes[taken..])
    }

    /// Whether the carry may be the start of a message, as opposed to something else that the broker says.
    fn is_message_so_far(&self) -> bool {
        let known = self.carry.len().min(self.stream_at);
        self.carry[..known] == self.heads[..known]
    }

    /// Finds whose message a head begins, and checks that it is the next one.
    fn expect(&mut self, head: &[u8]) -> Result<usize, Violation> {
        let foreign = || Violation::Broker(String::from_utf8_lossy(head).into_owned());
        let id_at = self.head - ID;
        let stream = read_digits(&head[self.stream_at..self.stream_at + STREAM_DIGITS]).ok_or_else(foreign)? as usize;
        let publisher = read_digits(&head[id_at + 1..id_at + 5]).ok_or_else(foreign)? as usize;
        let got = read_digits(&head[id_at + ID_NUMBER..]).ok_or_else(foreign)?;
        let ranks = self.topology.publishers_per_stream();
        let rank = self.topology.rank(publisher);
        let pair = self.topology.place_of(stream) * ranks + rank;
        let known = self.heads.get(pair * self.head..(pair + 1) * self.head).ok_or_else(foreign)?;
        if rank >= ranks || head[..id_at + ID_NUMBER] != known[..id_at + ID_NUMBER] {
            return Err(foreign());
        }
        self.guess = pair;
        let expected = self.next[pair];
        match got.cmp(&expected) {
            Ordering::Equal => Ok(pair),
            Ordering::Greater => Err(Violation::Gap { stream, publisher, expected, got }),
            Ordering::Less => Err(Violation::Repeat { stream, publisher, expected, got }),
        }
    }

    fn count(&mut self, pair: usize, seen: &mut impl FnMut(usize, usize, u64)) {
        let (stream, publisher) = self.pair(pair);
        seen(stream, publisher, self.next[pair]);
        self.next[pair] += 1;
        let end = (pair + 1) * self.head;
        bump(&mut self.heads[end - ID + ID_NUMBER..end]);
    }

    fn pair(&self, pair: usize) -> (usize, usize) {
        let ranks = self.topology.publishers_per_stream();
        let stream = self.topology.stream_at(self.block, pair / ranks);
        (stream, self.topology.publisher(stream, pair % ranks).unwrap_or_default())
    }

    fn changed(&self, pair: usize) -> Violation {
        let (stream, publisher) = self.pair(pair);
        Violation::Changed { stream, publisher, number: self.next[pair] }
    }
}

#[cfg(test)]
mod tests {
    use super::super::content::ContentKind;
    use super::super::wire;
    use super::super::wire::Protocol;
    use super::*;

    const TOPOLOGY: Topology = Topology { publishers: 3, streams: 2, listeners: 1, block: 2 };

    fn message(stream: usize, publisher: usize, number: u64) -> Vec<u8> {
        let content = LoadContent::json(ContentKind::Progress, 108).unwrap();
        let mut template = wire::of(Protocol::Nats).delivered(stream, &content);
        let at = template.id_at();
        template.head[at..].copy_from_slice(&id(publisher, number));
        template.bytes()
    }

    /// Feeds the bytes in pieces of every size up to 300, which must make no difference.
    fn check(bytes: &[u8]) -> Result<u64, Violation> {
        let content = LoadContent::json(ContentKind::Progress, 108).unwrap();
        let mut results = (1..300).map(|size| {
            let mut checker = Checker::new(wire::of(Protocol::Nats), TOPOLOGY, 0, &content);
            let mut count = 0;
            bytes.chunks(size).try_for_each(|piece| checker.feed(piece, &mut |_, _, _| count += 1)).map(|()| count)
        });
        let first = results.next().unwrap();
        assert!(results.all(|result| result.is_ok() == first.is_ok()));
        first
    }

    #[test]
    fn several_publishers_and_streams_are_told_apart() {
        let all = [
            message(0, 0, 0),
            b"PING
"
            .to_vec(),
            message(1, 1, 0),
            message(0, 2, 0),
            message(0, 0, 1),
            message(0, 2, 1),
        ];
        assert_eq!(check(&all.concat()), Ok(5));
    }

    #[test]
    fn each_fault_is_found() {
        let (zero, one, two) = (message(0, 2, 0), message(0, 2, 1), message(0, 2, 2));
        let lost = Violation::Gap { stream: 0, publisher: 2, expected: 1, got: 2 };
        assert_eq!(check(&[zero.clone(), two.clone()].concat()), Err(lost));
        let doubled = Violation::Repeat { stream: 0, publisher: 2, expected: 1, got: 0 };
        assert_eq!(check(&[zero.clone(), zero.clone()].concat()), Err(doubled));
        let swapped = Violation::Gap { stream: 0, publisher: 2, expected: 1, got: 2 };
        assert_eq!(check(&[zero.clone(), two, one].concat()), Err(swapped));
        let mut changed = zero.clone();
        changed[100] ^= 1;
        assert!(check(&changed).is_err());
        assert!(
            check(
                b"-ERR 'Slow Consumer'
"
            )
            .is_err()
        );
        // A stream or a publisher that this connection does not listen to.
        assert!(check(&message(0, 1, 0)).is_err());
        assert!(check(&message(7, 0, 0)).is_err());
    }
}
