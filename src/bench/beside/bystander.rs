//! The bystander: a connection that pings at a steady pace, whether or not the ping before was answered.
//!
//! Pings that waited for each other would be few while the broker stands still, and hide how long it does (coordinated
//! omission).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use hdrhistogram::Histogram;
use mio::{Events, Interest, Poll, Token};

use super::super::pace::histogram;
use super::super::plan::Plan;
use super::super::socket::{Answers, Socket};
use super::tally::{TICK, Tally};

/// A connection with nothing to do but to ping.
pub(crate) struct Bystander<'p> {
    plan: &'p Plan,
    socket: Socket,
    poll: Poll,
    carry: Vec<u8>,
    scratch: Vec<u8>,
    /// When the pings that are not answered yet were written.
    waiting: VecDeque<Instant>,
    pings: Pings,
}

/// How long pings have taken, in nanoseconds.
pub(crate) struct Pings {
    /// From the write of a ping to its answer. One without an answer counts as long as it was waited for.
    pub(crate) round_trip: Histogram<u64>,
    /// From the time a ping was due to its write: what the generator's own machine adds.
    pub(crate) lateness: Histogram<u64>,
    /// Pings without an answer when the run gave up.
    pub(crate) unanswered: u64,
}

/// From one ping to the next.
const PERIOD: Duration = Duration::from_millis(5);

impl<'p> Bystander<'p> {
    /// Connects.
    pub(crate) fn connect(plan: &'p Plan) -> Result<Self> {
        let (mut socket, poll) = (Socket::open(plan, &[])?, Poll::new()?);
        socket.register(poll.registry(), Token(0), Interest::READABLE)?;
        let pings = Pings { round_trip: histogram()?, lateness: histogram()?, unanswered: 0 };
        Ok(Self { plan, socket, poll, carry: Vec::new(), scratch: vec![0; 64 << 10], waiting: VecDeque::new(), pings })
    }

    /// Pings until the time is over, then waits for the answers as long as the run allows.
    ///
    /// # Errors
    /// If the broker refuses or ends the connection.
    pub(crate) fn ping(&mut self, tally: &Tally) -> Result<Pings> {
        let (ping, mut events) = (self.plan.wire.ping(), Events::with_capacity(1));
        let mut due = Instant::now();
        loop {
            let now = Instant::now();
            let goes_on = now < tally.end;
            if tally.has_ended() || (!goes_on && self.waiting.is_empty()) {
                return Ok(self.give_up());
            }
            if goes_on && due <= now {
                ensure!(self.socket.write_some(&ping)? == ping.len(), "the broker takes no pings");
                self.waiting.push_back(now);
                self.pings.lateness.saturating_record((now - due).as_nanos() as u64);
                due += PERIOD;
            }
            let pause = if goes_on { due.saturating_duration_since(now) } else { TICK };
            match self.poll.poll(&mut events, Some(pause)) {
                Err(error) if error.kind() != std::io::ErrorKind::Interrupted => return Err(error.into()),
                _ => self.read()?,
            }
        }
    }

    fn read(&mut self) -> Result<()> {
        while let Some(read) = self.socket.read_some(&mut self.scratch)? {
            let now = Instant::now();
            self.carry.extend_from_slice(&self.scratch[..read]);
            let answers = Answers::take(self.plan.wire, &mut self.carry)?;
            if answers.pings > 0 {
                self.socket.write_some(self.plan.wire.pong())?;
            }
            for sent in self.waiting.drain(..self.waiting.len().min(answers.pongs as usize)) {
                self.pings.round_trip.saturating_record((now - sent).as_nanos() as u64);
            }
        }
        Ok(())
    }

    /// Counts what has no answer, and hands the figures over.
    fn give_up(&mut self) -> Pings {
        let Pings { round_trip, lateness, .. } = &mut self.pings;
        let unanswered = self.waiting.len() as u64;
        for sent in self.waiting.drain(..) {
            round_trip.saturating_record(sent.elapsed().as_nanos() as u64);
        }
        Pings { round_trip: round_trip.clone(), lateness: lateness.clone(), unanswered }
    }
}
