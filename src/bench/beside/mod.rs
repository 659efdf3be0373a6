//! How long a bystander waits for an answer while others keep the broker busy.
//!
//! [`worker`]s write the bursts that [`work`] makes, in a closed loop; the [`crowd`] receives what comes of them, and counts
//! bytes instead of checking them, as the figure that matters is another: the [`bystander`], which has nothing to do with any
//! of it, pings.

mod bystander;
mod crowd;
mod report;
mod work;
mod worker;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

use super::Meter;
use super::args::{Args, Plan};
use bystander::Bystander;
use crowd::Crowd;
use report::Report;
pub(crate) use work::Work;
use work::{Burst, listens};
use worker::Worker;

/// Measures the bystander beside the work and prints what it found.
///
/// # Errors
/// If the broker cannot be reached, refuses, or ends a connection.
pub(crate) fn run(args: &Args, plan: &Plan, listeners: &Plan, work: Work) -> Result<()> {
    let burst = Burst::new(plan.protocol, work, plan.wire.ping());
    let words = listens(listeners.protocol, work.streams());
    let workers = if work == Work::Nothing { 0 } else { args.publishers };
    super::process::allow_connections(args.listeners + workers + 2)?;

    let mut bystander = Bystander::connect(plan)?;
    let mut workers = (0..workers).map(|_| Worker::connect(plan, &burst)).collect::<Result<Vec<_>>>()?;
    let delivered = match workers.first_mut() {
        Some(worker) if burst.messages > 0 => worker.probe(listeners, &words)?,
        _ => 0,
    };
    let mut crowd = Crowd::connect(listeners, &words, args.listeners)?;
    let per_burst = delivered * burst.messages * args.listeners as u64;

    let (meter, start) = (Meter::start(args)?, Instant::now());
    let tally = Tally::new(start + args.duration.0, plan.timeout);
    let (pings, bursts) = thread::scope(|scope| {
        let draining = scope.spawn(|| tally.guard(|| crowd.drain(&tally)));
        let working: Vec<_> = workers.iter_mut().map(|worker| scope.spawn(|| tally.guard(|| worker.work(per_burst, &tally)))).collect();
        let pings = tally.guard(|| bystander.ping(&tally));
        let died = |_| anyhow!("a thread of the generator has failed");
        let bursts = working.into_iter().map(|worker| worker.join().map_err(died)?).sum::<Result<u64>>();
        tally.end();
        // What befell the listeners explains what befell the others.
        draining.join().map_err(died)??;
        Ok::<_, anyhow::Error>((pings?, bursts?))
    })?;
    let elapsed = start.elapsed();
    let shape = report::Shape { protocol: plan.protocol, work, listeners: args.listeners, messages: bursts * burst.messages, bursts };
    Ok(Report::new(&shape, elapsed, &pings, &meter.stop()?).print(args.json)?)
}

/// What the threads of a run tell each other.
struct Tally {
    /// When nothing new is begun any more.
    end: Instant,
    /// When nothing is waited for any more.
    given_up: Instant,
    /// Bytes that all listeners together have received.
    received: Mutex<u64>,
    moved: Condvar,
    /// Bytes that will have been received once all bursts so far have arrived.
    expected: AtomicU64,
    ended: AtomicBool,
}

/// How soon a thread that waits for the broker notices the end of the run.
const TICK: Duration = Duration::from_millis(50);

impl Tally {
    /// A run until `end`, after which what has begun may take as long as `patience` allows.
    fn new(end: Instant, patience: Duration) -> Self {
        Self {
            end,
            given_up: end + patience,
            received: Mutex::default(),
            moved: Condvar::new(),
            expected: AtomicU64::new(0),
            ended: AtomicBool::new(false),
        }
    }

    /// Ends the run for all if one thread fails.
    fn guard<T>(&self, thread: impl FnOnce() -> Result<T>) -> Result<T> {
        let outcome = thread();
        if outcome.is_err() {
            self.end();
        }
        outcome
    }

    fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }

    /// Whether all is done, or has taken too long, or cannot go on.
    fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed) || Instant::now() >= self.given_up
    }

    /// Notes what the listeners will receive; returns how much that makes in all.
    fn expect(&self, bytes: u64) -> u64 {
        self.expected.fetch_add(bytes, Ordering::Relaxed) + bytes
    }

    fn add(&self, bytes: u64) {
        *self.received.lock().unwrap_or_else(PoisonError::into_inner) += bytes;
        self.moved.notify_all();
    }

    /// Waits until the listeners have received that much in all; says whether they have before the run ended.
    fn await_received(&self, goal: u64) -> bool {
        let mut received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        while *received < goal && !self.has_ended() {
            received = self.moved.wait_timeout(received, TICK).unwrap_or_else(PoisonError::into_inner).0;
        }
        *received >= goal
    }
}
