//! How long a bystander waits for an answer while others keep the broker busy.
//!
//! [`worker`]s write the bursts that [`burst`] makes, in a closed loop; the [`crowd`] receives what comes of them, and counts
//! bytes instead of checking them, as the figure that matters is another: the [`bystander`], which has nothing to do with any
//! of it, pings.

mod burst;
mod bystander;
mod crowd;
mod report;
mod tally;
mod worker;

use std::thread;
use std::time::Instant;

use anyhow::{Result, anyhow};

use super::args::Args;
use super::meter::Meter;
use super::plan::Plan;
use super::workload::Workload;
use burst::{Burst, listens};
use bystander::Bystander;
use crowd::Crowd;
use report::BystanderReport;
use tally::Tally;
use worker::Worker;

/// Measures the bystander beside the work and prints what it found.
///
/// # Errors
/// If the broker cannot be reached, refuses, or ends a connection.
pub(crate) fn run(args: &Args, plan: &Plan, listeners: &Plan, work: Workload) -> Result<()> {
    let burst = Burst::new(plan.protocol, work, plan.wire.ping());
    let words = listens(listeners.protocol, work.streams());
    let workers = if work == Workload::Nothing { 0 } else { args.publishers };
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
        // First, since an error of the listeners explains the errors of the others.
        draining.join().map_err(died)??;
        Ok::<_, anyhow::Error>((pings?, bursts?))
    })?;
    let elapsed = start.elapsed();
    let shape = report::Shape { protocol: plan.protocol, work, listeners: args.listeners, messages: bursts * burst.messages, bursts };
    Ok(BystanderReport::new(&shape, elapsed, &pings, &meter.stop()?).print(args.json)?)
}
