//! The load generator: loads a broker and checks all that it delivers. `msgstream bench` is its command line.
//!
//! [`args`] makes a [`plan`] of the options; [`load`] (as fast as it goes), [`pace`] (at a rate) and [`join`] carry it out
//! over [`socket`]s, within what [`carried`] knows if that is asked for; [`check`] holds listeners' messages against what was published; [`wire`] knows the protocols.
//! [`beside`] asks what others feel of the load.

mod args;
mod beside;
mod carried;
mod check;
mod content;
mod encrypted;
mod join;
mod listening;
mod load;
mod meter;
mod pace;
mod plan;
mod process;
mod publisher;
mod report;
mod socket;
mod topology;
mod wire;
mod workload;

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use indicatif::{ProgressBar, ProgressStyle};

pub(crate) use args::Args;
use meter::Meter;
use plan::Plan;
use report::{Latency, Report};

/// Why there is no report.
#[derive(Debug)]
pub(crate) enum BenchError {
    /// The options contradict each other, or ask for what cannot be.
    Options(anyhow::Error),
    /// The broker cannot be reached, refuses, or has lost, doubled, changed or reordered a message.
    Run(anyhow::Error),
}

/// Does what the options say and prints what it found.
///
/// # Errors
/// See [`BenchError`].
pub(crate) fn run(args: &Args) -> Result<(), BenchError> {
    let plan = args.plan().map_err(BenchError::Options)?;
    if let Some(work) = args.beside {
        let listeners = args.listeners_plan().map_err(BenchError::Options)?;
        return beside::run(args, &plan, &listeners, work).map_err(BenchError::Run);
    }
    let listeners = args.listeners_plan().map_err(BenchError::Options)?;
    measure(args, plan, &listeners).map_err(BenchError::Run)
}

fn measure(args: &Args, mut plan: Plan, listeners: &Plan) -> Result<()> {
    process::allow_connections(args.idle.map_or(plan.topology.connections() + plan.topology.publishers, |idle| idle + 1))?;
    let report = Report {
        protocol: format!("{:?}", plan.protocol).to_lowercase(),
        publishers: args.publishers,
        streams: args.streams,
        listeners: plan.topology.listeners,
        size: plan.content.len(),
        ..Report::default()
    };
    let report = if let Some(connections) = args.idle {
        idle(args, listeners, connections, report)?
    } else if args.join {
        join(args, &plan, report)?
    } else if let Some(rate) = args.rate {
        plan.batch = 1;
        paced(args, &plan, listeners, rate, report)?
    } else {
        load(args, &plan, listeners, report)?
    };
    Ok(report.print(args.json)?)
}

fn load(args: &Args, plan: &Plan, listeners: &Plan, mut report: Report) -> Result<Report> {
    let mut load = load::Load::connect(plan, listeners, plan.topology.publishers)?;
    if args.warmup > 0 {
        load.run(args.warmup, &mut |_| {})?;
    }
    let bar = bar(args.messages + args.warmup);
    let meter = Meter::start(args)?;
    let start = Instant::now();
    load.run(args.messages, &mut |done| bar.set_position(done))?;
    let elapsed = start.elapsed();
    let costs = meter.stop()?;
    load.finish()?;
    bar.finish_and_clear();
    report.messages = args.messages;
    let listeners = plan.topology.listeners as u64;
    let (unit, units) = if listeners == 0 { ("message", args.messages) } else { ("delivery", args.messages * listeners) };
    Ok(report.finish(unit, units, elapsed, &costs))
}

fn paced(args: &Args, plan: &Plan, listeners: &Plan, rate: f64, mut report: Report) -> Result<Report> {
    let messages = (rate * args.duration.0.as_secs_f64()).ceil() as u64;
    ensure!(messages > 0, "--rate and --duration make less than one message");
    let bar = bar(args.warmup + messages);
    let pace = pace::Pace::connect(plan, listeners)?;
    let meter = Meter::start(args)?;
    let interval = Duration::from_secs_f64(1.0 / rate);
    let paced = pace.run(args.warmup + messages, args.warmup, interval, &mut |done| bar.set_position(done))?;
    let costs = meter.stop()?;
    bar.finish_and_clear();
    report.messages = args.warmup + messages;
    report.latency = Some(Latency::new(&paced.latency, &paced.lateness));
    let deliveries = report.messages * plan.topology.listeners as u64;
    Ok(report.finish("delivery", deliveries, paced.elapsed, &costs))
}

fn join(args: &Args, plan: &Plan, report: Report) -> Result<Report> {
    let mut joiners = join::Joiners::connect(plan)?;
    if args.warmup > 0 {
        joiners.run(args.warmup, &mut |_| {})?;
    }
    let bar = bar(args.messages + args.warmup);
    let meter = Meter::start(args)?;
    let start = Instant::now();
    joiners.run(args.messages, &mut |done| bar.set_position(done))?;
    let elapsed = start.elapsed();
    let costs = meter.stop()?;
    bar.finish_and_clear();
    Ok(report.finish("join", args.messages, elapsed, &costs))
}

fn idle(args: &Args, plan: &Plan, connections: usize, report: Report) -> Result<Report> {
    let bar = bar(connections as u64);
    // Code that is loaded with the first connection is not what the others cost.
    let _first = join::idle(plan, 1, &mut |_| {})?;
    let meter = Meter::start(args)?;
    let start = Instant::now();
    let held = join::idle(plan, connections, &mut |done| bar.set_position(done))?;
    let elapsed = start.elapsed();
    let costs = meter.stop()?;
    bar.finish_and_clear();
    Ok(report.finish("connection", held.len() as u64, elapsed, &costs))
}

/// A progress bar on a terminal, and nothing elsewhere.
fn bar(length: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{wide_bar} {human_pos} of {human_len}, {eta} left");
    ProgressBar::new(length).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
