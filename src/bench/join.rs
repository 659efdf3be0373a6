//! Joining: connections that leave a stream and join it again, each time receiving its header.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use mio::{Events, Interest, Poll, Token};

use super::content::id;
use super::load::Watch;
use super::plan::Plan;
use super::socket::Socket;
use super::wire::Unit;

/// Connections that join again and again.
pub(crate) struct Joiners<'p> {
    plan: &'p Plan,
    poll: Poll,
    events: Events,
    scratch: Vec<u8>,
    all: Vec<Joiner>,
    /// How every header ends.
    end: Vec<u8>,
    joins: u64,
}

struct Joiner {
    socket: Socket,
    /// Hang up and listen, in one write.
    rejoin: Vec<u8>,
    carry: Vec<u8>,
}

impl<'p> Joiners<'p> {
    /// Stores the headers of all streams and opens the connections.
    ///
    /// # Errors
    /// Also if the protocol has no headers.
    pub(crate) fn connect(plan: &'p Plan) -> Result<Self> {
        let topology = plan.topology;
        let store = |stream| plan.wire.store(stream, &plan.content).context("this protocol stores nothing for those who join later");
        let headers: Vec<_> = (0..topology.streams).map(store).collect::<Result<_>>()?;
        Socket::open(plan, &headers)?;
        let poll = Poll::new()?;
        let mut all = Vec::new();
        for stream in 0..topology.streams {
            for _ in 0..topology.listeners {
                let mut socket = Socket::open(plan, &[])?;
                socket.register(poll.registry(), Token(all.len()), Interest::READABLE)?;
                let rejoin = [plan.wire.hangup(stream), plan.wire.listen(stream)].concat();
                all.push(Joiner { socket, rejoin, carry: Vec::new() });
            }
        }
        let template = plan.wire.delivered(0, &plan.content);
        let end = [&id(0, 0)[..], &template.tail].concat();
        Ok(Self { plan, poll, events: Events::with_capacity(1024), scratch: vec![0; 256 << 10], all, end, joins: 0 })
    }

    /// Joins until it was done `joins` times more, each connection as often as it can.
    pub(crate) fn run(&mut self, joins: u64, tick: &mut impl FnMut(u64)) -> Result<()> {
        let goal = self.joins + joins;
        let mut begun = self.joins;
        for number in 0..self.all.len() {
            if begun < goal {
                self.all[number].begin()?;
                begun += 1;
            }
        }
        let mut watch = Watch::new(self.plan.timeout);
        while self.joins < goal {
            if let Err(error) = self.poll.poll(&mut self.events, Some(Duration::from_millis(50))) {
                if error.kind() == std::io::ErrorKind::Interrupted {
                    continue;
                }
                return Err(error.into());
            }
            for event in &self.events {
                let Token(number) = event.token();
                let done = self.all[number].read(self.plan, &mut self.scratch, &self.end)?;
                self.joins += done;
                if done > 0 && begun < goal {
                    self.all[number].begin()?;
                    begun += 1;
                }
            }
            if watch.moved(self.joins)? {
                tick(self.joins);
            }
        }
        Ok(())
    }
}

impl Joiner {
    fn begin(&mut self) -> Result<()> {
        if self.socket.write_some(&self.rejoin)? < self.rejoin.len() {
            bail!("the broker takes no requests");
        }
        Ok(())
    }

    /// Reads what is there and says how many headers it held.
    fn read(&mut self, plan: &Plan, scratch: &mut [u8], end: &[u8]) -> Result<u64> {
        let mut headers = 0;
        while let Some(read) = self.socket.read_some(scratch)? {
            self.carry.extend_from_slice(&scratch[..read]);
            let mut at = 0;
            while let Some((length, unit)) = plan.wire.unit(&self.carry[at..])? {
                match unit {
                    Unit::Delivered(length) if self.carry[at..at + length].ends_with(end) => headers += 1,
                    Unit::Delivered(_) => bail!("a header was changed on its way"),
                    Unit::Failure(text) => bail!("the broker said {text:?}"),
                    Unit::Published | Unit::Pong | Unit::Ping | Unit::Noise => {}
                }
                at += length;
            }
            self.carry.drain(..at);
            if read < scratch.len() {
                break;
            }
        }
        Ok(headers)
    }
}

/// After how many connections progress is shown.
const TOGETHER: usize = 256;

/// Opens `count` listening connections, lets the broker settle, and holds them open.
///
/// # Errors
/// If one is refused.
pub(crate) fn idle(plan: &Plan, count: usize, tick: &mut impl FnMut(u64)) -> Result<Vec<Socket>> {
    let wanted: Vec<_> = (0..count).map(|number| vec![number % plan.topology.streams]).collect();
    let mut all = Vec::with_capacity(count);
    for part in wanted.chunks(TOGETHER) {
        all.append(&mut Socket::listen_all(plan, part)?);
        tick(all.len() as u64);
    }
    // Brokers tidy up on timers of a second or so.
    std::thread::sleep(Duration::from_millis(1500));
    Ok(all)
}
