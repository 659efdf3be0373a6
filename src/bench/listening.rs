//! Connections of listeners: within a WebSocket or as events, if the plan says so.

use std::io::Write;
use std::thread;

use anyhow::{Context, Result, anyhow, bail};

use super::carried::{Asked, By, Carried};
use super::plan::Plan;
use super::socket::Socket;

/// How many are connected at a time within something else. Mosquitto looks at its WebSockets only every tenth of a second while it has
/// nothing to do, several times for each.
const AT_A_TIME: usize = 32;

impl Socket {
    /// Connects listeners, each to its streams, and waits until all have been answered.
    ///
    /// # Errors
    /// If the broker cannot be reached, refuses, or does not answer in time.
    pub(crate) fn listen_all(plan: &Plan, wanted: &[Vec<usize>]) -> Result<Vec<Self>> {
        let at_a_time = if plan.by == By::Socket { 1 } else { AT_A_TIME };
        let part = wanted.len().div_ceil(at_a_time).max(1);
        thread::scope(|scope| {
            let listen = |part: &[Vec<usize>]| part.iter().map(|streams| Self::listen(plan, streams)).collect::<Result<Vec<_>>>();
            let parts: Vec<_> = wanted.chunks(part).map(|part| scope.spawn(move || listen(part))).collect();
            let mut all = Vec::with_capacity(wanted.len());
            for part in parts {
                all.append(&mut part.join().map_err(|_| anyhow!("a connecting thread has failed"))??);
            }
            Ok(all)
        })
    }

    /// Connects as one listener to these streams, by what the plan says, and waits for the answer.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    fn listen(plan: &Plan, streams: &[usize]) -> Result<Self> {
        let words: Vec<_> = streams.iter().map(|stream| plan.wire.listen(*stream)).collect();
        if plan.by == By::Socket {
            return Self::open(plan, &words);
        }
        let Self::Tcp(socket) = Self::connect(plan)? else {
            bail!("{} is no plain TCP address, as listeners by {:?} need", plan.server, plan.by)
        };
        let stream = streams.first().copied().unwrap_or_default();
        let path = plan.wire.path(stream);
        let asked = Asked {
            path: path.as_deref().unwrap_or(plan.wire.entrance()),
            subprotocol: plan.wire.subprotocol(),
            label: plan.wire.label(stream),
        };
        let mut socket = Self::Carried(Box::new(Carried::open(socket, plan.by, &asked, plan.timeout)?));
        let says = [&plan.wire.hello()[..], &words.concat(), &plan.wire.ping()].concat();
        if !says.is_empty() {
            socket.write_all(&says).context("the broker closed the connection")?;
        }
        if !says.is_empty() || plan.wire.tells_joins() {
            socket.await_pong(plan.wire, plan.timeout)?;
        }
        Ok(socket)
    }
}
