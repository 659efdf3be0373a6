//! A connection that keeps the broker busy: writes a burst, waits until it is answered and delivered, and writes the next.

use std::io::{ErrorKind, Read, Write};
use std::time::Instant;

use anyhow::{Result, bail};

use super::super::plan::Plan;
use super::super::socket::Socket;
use super::super::wire::Unit;
use super::burst::Burst;
use super::tally::{TICK, Tally};

/// A connection and its burst.
pub(crate) struct Worker<'p> {
    plan: &'p Plan,
    burst: &'p Burst,
    socket: Socket,
    scratch: Vec<u8>,
    carry: Vec<u8>,
}

impl<'p> Worker<'p> {
    /// Connects and greets.
    pub(crate) fn connect(plan: &'p Plan, burst: &'p Burst) -> Result<Self> {
        let socket = Socket::open(plan, std::slice::from_ref(&burst.greeting))?;
        Ok(Self { plan, burst, socket, scratch: vec![0; 64 << 10], carry: Vec::new() })
    }

    /// Publishes one message to a listener that is there for that, and returns the size that it has there.
    pub(crate) fn probe(&mut self, listeners: &Plan, words: &[Vec<u8>]) -> Result<u64> {
        let mut listener = Socket::open(listeners, words)?;
        self.socket.write_all(&self.burst.sample)?;
        let mut carry = Vec::new();
        loop {
            let read = listener.read(&mut self.scratch)?;
            if read == 0 {
                bail!("the broker closed a connection");
            }
            carry.extend_from_slice(&self.scratch[..read]);
            while let Some((length, unit)) = listeners.wire.unit(&carry)? {
                match unit {
                    Unit::Delivered(size) => return Ok(size as u64),
                    Unit::Failure(text) => bail!("the broker said {text:?}"),
                    Unit::Published | Unit::Pong | Unit::Ping | Unit::Noise => drop(carry.drain(..length)),
                }
            }
        }
    }

    /// Writes bursts, each of which brings that many bytes to all listeners together, until the time is over: at least one.
    /// Returns how many were answered and delivered.
    pub(crate) fn work(&mut self, per_burst: u64, tally: &Tally) -> Result<u64> {
        self.socket.set_patience(TICK)?;
        let mut bursts = 0;
        loop {
            let goal = tally.expect(per_burst);
            if !self.write(tally)? || !self.await_answers(tally)? || !tally.await_received(goal) {
                return Ok(bursts);
            }
            bursts += 1;
            if Instant::now() >= tally.end {
                return Ok(bursts);
            }
        }
    }

    /// Writes a burst; says whether it was taken before it was given up.
    fn write(&mut self, tally: &Tally) -> Result<bool> {
        let mut unsent = &self.burst.bytes[..];
        while !unsent.is_empty() {
            if tally.has_ended() {
                return Ok(false);
            }
            unsent = &unsent[self.socket.write_some(unsent)?..];
        }
        Ok(true)
    }

    /// Reads until the last ping of a burst is answered; says whether it was before it was given up.
    fn await_answers(&mut self, tally: &Tally) -> Result<bool> {
        let mut pongs = 0;
        while pongs < self.burst.pings {
            if tally.has_ended() {
                return Ok(false);
            }
            match self.socket.read(&mut self.scratch) {
                Ok(0) => bail!("the broker closed a connection"),
                Ok(read) => self.carry.extend_from_slice(&self.scratch[..read]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => continue,
                Err(error) => return Err(error.into()),
            }
            pongs += self.take_answers()?;
        }
        Ok(true)
    }

    /// Takes whole answers; returns how many were to pings.
    fn take_answers(&mut self) -> Result<u64> {
        let (mut pongs, mut at) = (0, 0);
        while let Some((length, unit)) = self.plan.wire.unit(&self.carry[at..])? {
            match unit {
                Unit::Pong => pongs += 1,
                Unit::Ping => drop(self.socket.write_some(self.plan.wire.pong())?),
                Unit::Failure(text) if !self.burst.is_wrong || is_farewell(&text) => bail!("the broker said {text:?}"),
                Unit::Failure(_) | Unit::Published | Unit::Delivered(_) | Unit::Noise => {}
            }
            at += length;
        }
        self.carry.drain(..at);
        Ok(pongs)
    }
}

/// Whether the broker ends the connection, which no wrong line is meant to bring about.
fn is_farewell(text: &str) -> bool {
    text.starts_with("{\"action\":\"close\"")
}
