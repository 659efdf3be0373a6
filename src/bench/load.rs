//! The closed loop: publishers go on as long as no listener is further behind than the window, and everything is checked.
//!
//! One thread does all of it, so that on a small machine the broker has the rest to itself.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use mio::{Events, Interest, Poll, Token};

use super::check::Checker;
use super::plan::Plan;
use super::publisher::LoadPublisher;
use super::socket::Socket;

/// All connections of a run.
pub(crate) struct Load<'p> {
    plan: &'p Plan,
    /// What listeners answer to pings.
    pong: &'static [u8],
    poll: Poll,
    events: Events,
    scratch: Vec<u8>,
    publishers: Vec<LoadPublisher>,
    listeners: Vec<LoadListener>,
    /// Messages that each listening connection has received.
    received: Vec<u64>,
    /// Messages published to each block of streams.
    published: Vec<u64>,
    /// All that was received.
    delivered: u64,
}

struct LoadListener {
    socket: Socket,
    checker: Checker,
}

/// As much as loopback gives at once.
const SCRATCH: usize = 256 << 10;
/// How often the loop looks up when nothing happens.
const TICK: Duration = Duration::from_millis(50);
/// How long after the last message a further one, which nobody sent, would still be noticed.
const GRACE: Duration = Duration::from_millis(20);

impl<'p> Load<'p> {
    /// Connects all listeners, as `heard` says, then, if there are to be any, all publishers.
    pub(crate) fn connect(plan: &'p Plan, heard: &Plan, publishers: usize) -> Result<Self> {
        let topology = &plan.topology;
        let poll = Poll::new()?;
        let mut listeners = Vec::with_capacity(topology.connections());
        for block in 0..if topology.listeners == 0 { 0 } else { topology.blocks() } {
            let streams: Vec<_> = topology.streams_of(block).collect();
            for mut socket in Socket::listen_all(heard, &vec![streams; topology.listeners])? {
                socket.register(poll.registry(), Token(publishers + listeners.len()), Interest::READABLE)?;
                listeners.push(LoadListener { socket, checker: Checker::new(heard.wire, *topology, block, &plan.content) });
            }
        }
        let mut all = Vec::with_capacity(publishers);
        for number in 0..publishers {
            let mut publisher = LoadPublisher::new(plan, number, Socket::open(plan, &[])?);
            publisher.socket().register(poll.registry(), Token(number), Interest::READABLE | Interest::WRITABLE)?;
            all.push(publisher);
        }
        Ok(Self {
            plan,
            pong: heard.wire.pong(),
            poll,
            events: Events::with_capacity(1024),
            scratch: vec![0; SCRATCH],
            publishers: all,
            received: vec![0; listeners.len()],
            listeners,
            published: vec![0; topology.blocks()],
            delivered: 0,
        })
    }

    /// Publishes `messages` more, spread evenly over the publishers, and returns when all are where they should be.
    /// `tick` hears now and then how many messages are through.
    pub(crate) fn run(&mut self, messages: u64, tick: &mut impl FnMut(u64)) -> Result<()> {
        let listeners = self.plan.topology.listeners as u64;
        let goals: Vec<u64> = (0..self.publishers.len() as u64)
            .zip(&self.publishers)
            .map(|(number, publisher)| publisher.sent + share(messages, number, self.publishers.len() as u64))
            .collect();
        let goal = self.delivered + messages * listeners;
        let mut watch = Watch::new(self.plan.timeout);
        loop {
            let mut busy = false;
            for (number, goal) in goals.iter().enumerate() {
                busy |= self.publish(number, *goal)?;
            }
            let published = self.publishers.iter().map(|publisher| publisher.sent).sum::<u64>();
            if self.delivered >= goal && self.all_sent(&goals) {
                break;
            }
            self.turn(if busy { Duration::ZERO } else { TICK }, &mut |_, _, _| {})?;
            if watch.moved(published + self.delivered)? {
                tick(self.delivered.checked_div(listeners).unwrap_or(published));
            }
        }
        if listeners == 0 { self.barrier(&mut watch) } else { Ok(()) }
    }

    /// Receives until `goal` deliveries were seen in all; each is shown to `seen` with stream, publisher and number.
    pub(crate) fn receive(&mut self, goal: u64, seen: &mut impl FnMut(usize, usize, u64), tick: &mut impl FnMut(u64)) -> Result<()> {
        let mut watch = Watch::new(self.plan.timeout);
        while self.delivered < goal {
            self.turn(TICK, seen)?;
            if watch.moved(self.delivered)? {
                tick(self.delivered);
            }
        }
        Ok(())
    }

    /// Makes sure that nothing comes after the last message.
    pub(crate) fn finish(&mut self) -> Result<()> {
        let end = Instant::now() + GRACE;
        while Instant::now() < end {
            let before = self.delivered;
            self.turn(GRACE, &mut |_, _, _| {})?;
            if self.delivered != before {
                bail!("more messages came than were published");
            }
        }
        Ok(())
    }

    fn all_sent(&self, goals: &[u64]) -> bool {
        self.publishers.iter().zip(goals).all(|(publisher, goal)| publisher.sent == *goal && publisher.is_done())
    }

    /// Lets one publisher write what the window allows; says whether it might write more at once.
    fn publish(&mut self, number: usize, goal: u64) -> Result<bool> {
        let (plan, publisher) = (self.plan, &mut self.publishers[number]);
        publisher.write()?;
        if !publisher.is_done() || publisher.sent == goal {
            return Ok(false);
        }
        let wanted = plan.batch.min(goal - publisher.sent);
        let (mut block, mut room) = (usize::MAX, 0);
        let mut count = 0;
        while count < wanted {
            let next = plan.topology.block_of(publisher.stream(plan));
            if next != block {
                block = next;
                room = room_of(plan, block, &self.received, self.published[block]);
            }
            // A window that is nearly full is left to empty, or batches would become ever smaller.
            if room == 0 || (count == 0 && room < wanted.min(plan.window / 2)) {
                break;
            }
            publisher.stamp(plan, count as usize);
            self.published[block] += 1;
            room -= 1;
            count += 1;
        }
        if count == 0 {
            return Ok(false);
        }
        publisher.begin(count as usize)?;
        Ok(publisher.is_done())
    }

    /// Waits for readiness and serves it.
    fn turn(&mut self, wait: Duration, seen: &mut impl FnMut(usize, usize, u64)) -> Result<()> {
        if let Err(error) = self.poll.poll(&mut self.events, Some(wait)) {
            return if error.kind() == std::io::ErrorKind::Interrupted { Ok(()) } else { Err(error.into()) };
        }
        for event in &self.events {
            let Token(token) = event.token();
            let Some(number) = token.checked_sub(self.publishers.len()) else {
                let publisher = &mut self.publishers[token];
                if event.is_readable() {
                    publisher.read(self.plan, &mut self.scratch)?;
                }
                if event.is_writable() {
                    publisher.set_writable()?;
                }
                continue;
            };
            let listener = &mut self.listeners[number];
            let mut count = 0;
            while let Some(read) = listener.socket.read_some(&mut self.scratch)? {
                listener.checker.feed(&self.scratch[..read], &mut |stream, publisher, message| {
                    count += 1;
                    seen(stream, publisher, message);
                })?;
                // Less than was asked for: there is no more, and an edge will tell when there is.
                if read < SCRATCH {
                    break;
                }
            }
            self.received[number] += count;
            self.delivered += count;
            if listener.checker.take_ping() {
                listener.socket.write_some(self.pong)?;
            }
        }
        Ok(())
    }

    /// Waits until the broker has taken in all that was published, where no listener can tell.
    fn barrier(&mut self, watch: &mut Watch) -> Result<()> {
        let wire = self.plan.wire;
        if wire.ping().is_empty() {
            return Ok(());
        }
        let pongs: Vec<u64> = self.publishers.iter().map(|publisher| publisher.pongs + 1).collect();
        for publisher in &mut self.publishers {
            publisher.ping(self.plan)?;
        }
        while self.publishers.iter().zip(&pongs).any(|(publisher, pongs)| publisher.pongs < *pongs) {
            self.turn(TICK, &mut |_, _, _| {})?;
            watch.moved(self.publishers.iter().map(|publisher| publisher.answered + publisher.pongs).sum())?;
        }
        if wire.answers_each() && self.publishers.iter().any(|publisher| publisher.answered != publisher.sent) {
            bail!("the broker answered fewer messages than were published");
        }
        Ok(())
    }
}

/// The part of `total` that falls to one of `parts`.
pub(crate) fn share(total: u64, part: u64, parts: u64) -> u64 {
    total / parts + u64::from(part < total % parts)
}

/// How many messages may be published to a block before its slowest listener is a window behind.
fn room_of(plan: &Plan, block: usize, received: &[u64], published: u64) -> u64 {
    let listeners = plan.topology.listeners;
    let slowest = received.get(block * listeners..(block + 1) * listeners).and_then(|all| all.iter().min());
    slowest.map_or(u64::MAX, |slowest| plan.window.saturating_sub(published - slowest))
}

/// Notices when nothing moves any more, and when it is time to show progress.
pub(crate) struct Watch {
    timeout: Duration,
    last: u64,
    moved: Instant,
    shown: Instant,
}

impl Watch {
    /// A watch that gives up after that long.
    pub(crate) fn new(timeout: Duration) -> Self {
        let now = Instant::now();
        Self { timeout, last: u64::MAX, moved: now, shown: now }
    }

    /// Notes how far things are; says whether to show it.
    ///
    /// # Errors
    /// If they have been there for too long.
    pub(crate) fn moved(&mut self, progress: u64) -> Result<bool> {
        let now = Instant::now();
        if progress != self.last {
            (self.last, self.moved) = (progress, now);
        } else if now - self.moved > self.timeout {
            bail!("nothing has moved for {:?}: messages were lost, or the broker stands still", self.timeout);
        }
        let show = now - self.shown >= Duration::from_millis(100);
        if show {
            self.shown = now;
        }
        Ok(show)
    }
}
