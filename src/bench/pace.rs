//! Publishing at a set rate, and the latency of what arrives.
//!
//! Latency counts from the time at which a message was *due*, not from when it was written: a broker that makes a
//! publisher wait would otherwise hide its worst moments (coordinated omission).

use std::num::NonZeroU64;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use hdrhistogram::Histogram;

use super::load::Load;
use super::plan::Plan;
use super::publisher::LoadPublisher;
use super::socket::Socket;

/// What a paced run has measured, in nanoseconds.
pub(crate) struct Paced {
    /// From the time a message was due to its arrival, once per delivery.
    pub(crate) latency: Histogram<u64>,
    /// From the time a message was due to the moment the generator began to write it: what the generator adds.
    pub(crate) lateness: Histogram<u64>,
    /// From the first message due to the last one received.
    pub(crate) elapsed: Duration,
}

/// The system's sleep is late by some 50 microseconds; the rest is spent looking at the clock.
const SPIN: Duration = Duration::from_micros(80);
/// The largest latency that the histogram tells apart.
const MOST: Duration = Duration::from_secs(100);

/// All connections of a paced run.
pub(crate) struct Pace<'p> {
    plan: &'p Plan,
    load: Load<'p>,
    publishers: Vec<LoadPublisher>,
}

impl<'p> Pace<'p> {
    /// Connects listeners, then publishers.
    ///
    /// # Errors
    /// If the broker cannot be reached or refuses.
    pub(crate) fn connect(plan: &'p Plan, listeners: &Plan) -> Result<Self> {
        let load = Load::connect(plan, listeners, 0)?;
        let mut publishers = Vec::with_capacity(plan.topology.publishers);
        for number in 0..plan.topology.publishers {
            let mut socket = Socket::open(plan, &[])?;
            socket.set_nonblocking()?;
            publishers.push(LoadPublisher::new(plan, number, socket));
        }
        Ok(Self { plan, load, publishers })
    }

    /// Publishes `total` messages, `interval` apart, and receives them all; the first `warmup` are not recorded.
    ///
    /// # Errors
    /// If one is lost, doubled, changed or out of order.
    pub(crate) fn run(self, total: u64, warmup: u64, interval: Duration, tick: &mut impl FnMut(u64)) -> Result<Paced> {
        let Self { plan, mut load, mut publishers } = self;
        let listeners = plan.topology.listeners as u64;
        let mut latency = histogram()?;
        let start = Instant::now() + Duration::from_millis(20);
        let due = |position: u64| start + Duration::from_nanos(interval.as_nanos() as u64 * position);
        let lateness = thread::scope(|scope| {
            let pacer = scope.spawn(|| pace(plan, &mut publishers, total, &due));
            let mut seen = |stream, publisher, number| {
                let position = plan.topology.position(publisher, stream, number);
                if position >= warmup {
                    latency.saturating_record(Instant::now().saturating_duration_since(due(position)).as_nanos() as u64);
                }
            };
            let received = load.receive(total * listeners, &mut seen, &mut |delivered| tick(delivered / listeners));
            let lateness = pacer.join().map_err(|_| anyhow!("the publishing thread has failed"))?;
            // What stopped the publisher explains why nothing more came.
            lateness.and_then(|lateness| received.map(|()| lateness))
        })?;
        let elapsed = start.elapsed();
        load.finish()?;
        Ok(Paced { latency, lateness, elapsed })
    }
}

/// Publishes each message when it is due, the publishers in turn. They stay connected: a broker may pass over what was said last by
/// someone who has gone without hearing the answer.
fn pace(plan: &Plan, publishers: &mut [LoadPublisher], total: u64, due: &dyn Fn(u64) -> Instant) -> Result<Histogram<u64>> {
    // Without this a sleep may be 50 microseconds late on purpose. Where it is refused the lateness will show it.
    rustix::thread::set_current_timer_slack(NonZeroU64::new(1)).ok();
    let mut lateness = histogram()?;
    let mut scratch = vec![0; 64 << 10];
    let count = publishers.len() as u64;
    for position in 0..total {
        let publisher = &mut publishers[(position % count) as usize];
        publisher.stamp(plan, 0);
        let due = due(position);
        thread::sleep(due.saturating_duration_since(Instant::now()).saturating_sub(SPIN));
        while Instant::now() < due {
            std::hint::spin_loop();
        }
        lateness.saturating_record(due.elapsed().as_nanos() as u64);
        publisher.begin(1)?;
        let given_up = Instant::now() + plan.timeout;
        while !publisher.is_done() {
            anyhow::ensure!(Instant::now() < given_up, "the broker takes no messages");
            thread::sleep(Duration::from_micros(20));
            publisher.set_writable()?;
        }
        if plan.wire.answers_each() || position % 256 < count {
            publisher.read(plan, &mut scratch)?;
        }
    }
    Ok(lateness)
}

/// Room for every latency that a run may meet, in nanoseconds.
pub(crate) fn histogram() -> Result<Histogram<u64>> {
    Histogram::new_with_bounds(100, MOST.as_nanos() as u64, 3).context("no histogram")
}
