//! A publishing connection of the closed loop: whole batches, written as fast as they are taken.

use anyhow::Result;

use super::content::{ID_NUMBER, bump, id, write_digits};
use super::plan::Plan;
use super::socket::{Answers, Socket};
use super::wire::STREAM_DIGITS;

/// A publisher and its batch.
pub(crate) struct LoadPublisher {
    socket: Socket,
    number: usize,
    /// A full batch of messages, of which only streams and ids change.
    batch: Vec<u8>,
    message: usize,
    stream_at: usize,
    id_at: usize,
    /// The part of the batch that is still to be written.
    unsent: std::ops::Range<usize>,
    /// The digits of the next message's number, its turn among the publisher's streams, and how many turns there are.
    digits: [u8; 10],
    turn: usize,
    turns: usize,
    /// Whether the last write took all it was given.
    writable: bool,
    carry: Vec<u8>,
    /// What is to be said between batches.
    extra: Vec<u8>,
    /// Messages handed to the socket.
    pub(crate) sent: u64,
    /// Messages that the broker answered, where it answers each.
    pub(crate) answered: u64,
    /// Answers to pings.
    pub(crate) pongs: u64,
}

impl LoadPublisher {
    /// A publisher on an open connection.
    pub(crate) fn new(plan: &Plan, number: usize, socket: Socket) -> Self {
        let mut template = plan.wire.published(plan.topology.stream(number, 0), &plan.content);
        let id_at = template.id_at();
        template.head[id_at..].copy_from_slice(&id(number, 0));
        let message = template.bytes();
        Self {
            socket,
            number,
            batch: message.repeat(plan.batch as usize),
            message: message.len(),
            stream_at: template.stream_at,
            id_at,
            unsent: 0..0,
            digits: [b'0'; 10],
            turn: 0,
            turns: plan.topology.turns(number),
            writable: true,
            carry: Vec::new(),
            extra: Vec::new(),
            sent: 0,
            answered: 0,
            pongs: 0,
        }
    }

    /// The connection.
    pub(crate) fn socket(&mut self) -> &mut Socket {
        &mut self.socket
    }

    /// Whether all has been written.
    pub(crate) fn is_done(&self) -> bool {
        self.unsent.is_empty() && self.extra.is_empty()
    }

    /// The stream of the next message.
    pub(crate) fn stream(&self, plan: &Plan) -> usize {
        plan.topology.stream(self.number, self.turn)
    }

    /// Prepares the next message of a batch, at the given place in it.
    pub(crate) fn stamp(&mut self, plan: &Plan, place: usize) {
        let at = place * self.message;
        if self.turns > 1 {
            let (stream, digits) = (self.stream(plan), at + self.stream_at);
            write_digits(&mut self.batch[digits..digits + STREAM_DIGITS], stream as u64);
        }
        let number = at + self.id_at + ID_NUMBER;
        self.batch[number..number + 10].copy_from_slice(&self.digits);
        self.turn += 1;
        if self.turn == self.turns {
            self.turn = 0;
            bump(&mut self.digits);
        }
        self.sent += 1;
    }

    /// Begins to write the first `count` messages of the batch.
    pub(crate) fn begin(&mut self, count: usize) -> Result<()> {
        self.unsent = 0..count * self.message;
        self.write()
    }

    /// Goes on writing, if the socket takes anything: first the batch, then what else is to be said.
    pub(crate) fn write(&mut self) -> Result<()> {
        self.socket.flush_some()?;
        while self.writable && !self.is_done() {
            // After a short write the socket is full, and an edge will tell when it no longer is.
            if self.unsent.is_empty() {
                let written = self.socket.write_some(&self.extra)?;
                self.extra.drain(..written);
                self.writable = self.extra.is_empty();
            } else {
                self.unsent.start += self.socket.write_some(&self.batch[self.unsent.clone()])?;
                self.writable = self.unsent.is_empty();
            }
        }
        Ok(())
    }

    /// The socket takes bytes again.
    pub(crate) fn set_writable(&mut self) -> Result<()> {
        self.writable = true;
        self.write()
    }

    /// Asks for an answer that proves all that was published to have taken effect.
    pub(crate) fn ping(&mut self, plan: &Plan) -> Result<()> {
        self.extra.extend(plan.wire.ping());
        self.write()
    }

    /// Reads what the broker answers.
    pub(crate) fn read(&mut self, plan: &Plan, scratch: &mut [u8]) -> Result<()> {
        while let Some(read) = self.socket.read_some(scratch)? {
            self.carry.extend_from_slice(&scratch[..read]);
            let answers = Answers::take(plan.wire, &mut self.carry)?;
            self.answered += answers.published;
            self.pongs += answers.pongs;
            for _ in 0..answers.pings {
                self.extra.extend_from_slice(plan.wire.pong());
            }
            if read < scratch.len() {
                break;
            }
        }
        self.write()
    }
}
