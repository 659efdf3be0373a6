//! The listeners: one thread that reads all that comes, as fast as it can, and counts it.

use anyhow::Result;
use mio::{Events, Interest, Poll, Token};

use super::super::plan::Plan;
use super::super::socket::Socket;
use super::tally::{TICK, Tally};

/// All listening connections.
pub(crate) struct Crowd {
    poll: Poll,
    sockets: Vec<Socket>,
}

/// As much as loopback gives at once.
const SCRATCH: usize = 256 << 10;

impl Crowd {
    /// Connects that many listeners, each of which says `words`.
    pub(crate) fn connect(plan: &Plan, words: &[Vec<u8>], count: usize) -> Result<Self> {
        let poll = Poll::new()?;
        let mut sockets = Vec::with_capacity(count);
        for number in 0..count {
            let mut socket = Socket::open(plan, words)?;
            socket.register(poll.registry(), Token(number), Interest::READABLE)?;
            sockets.push(socket);
        }
        Ok(Self { poll, sockets })
    }

    /// Reads until the run ends. A broker's own pings, which NATS sends to each connection once, count as what they are not:
    /// six bytes beside tens of thousands.
    pub(crate) fn drain(&mut self, tally: &Tally) -> Result<()> {
        let (mut events, mut scratch) = (Events::with_capacity(256), vec![0; SCRATCH]);
        while !tally.has_ended() {
            if let Err(error) = self.poll.poll(&mut events, Some(TICK)) {
                if error.kind() == std::io::ErrorKind::Interrupted {
                    continue;
                }
                return Err(error.into());
            }
            let mut received = 0;
            for event in &events {
                let Token(number) = event.token();
                while let Some(read) = self.sockets[number].read_some(&mut scratch)? {
                    received += read as u64;
                    // Less than was asked for: there is no more, and an edge will tell when there is.
                    if read < SCRATCH {
                        break;
                    }
                }
            }
            tally.add(received);
        }
        Ok(())
    }
}
