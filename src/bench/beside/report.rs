//! What a bystander has felt, for people and for machines.

use std::io::{self, Write};
use std::time::Duration;

use clap::ValueEnum;
use serde::Serialize;

use super::super::report::Costs;
use super::super::wire::Protocol;
use super::super::workload::Workload;
use super::bystander::Pings;

/// What was done.
pub(crate) struct Shape {
    pub(crate) protocol: Protocol,
    pub(crate) work: Workload,
    pub(crate) listeners: usize,
    /// Messages in whole bursts.
    pub(crate) messages: u64,
    pub(crate) bursts: u64,
}

/// What a run has found. Times are in microseconds, unless their name says otherwise.
#[derive(Debug, Serialize)]
pub(crate) struct BystanderReport {
    protocol: String,
    work: String,
    listeners: usize,
    seconds: f64,
    /// Bursts that were answered and delivered, and the messages in them.
    bursts: u64,
    messages: u64,
    deliveries: u64,
    pings: u64,
    /// Pings without an answer at the end. They count as long as they were waited for.
    unanswered: u64,
    p50: f64,
    p99: f64,
    worst: f64,
    /// How late the bystander itself was to write, 99 in 100.
    generator_p99: f64,
    broker: Option<BrokerUsage>,
}

/// What a run has cost the broker.
#[derive(Debug, Serialize)]
struct BrokerUsage {
    cpu_seconds: f64,
    resident_peak: u64,
}

impl BystanderReport {
    /// Puts the figures together.
    pub(crate) fn new(shape: &Shape, elapsed: Duration, pings: &Pings, costs: &Costs) -> Self {
        let microseconds = |nanoseconds: u64| nanoseconds as f64 / 1000.0;
        let at = |quantile| microseconds(pings.round_trip.value_at_quantile(quantile));
        Self {
            protocol: name(shape.protocol),
            work: name(shape.work),
            listeners: shape.listeners,
            seconds: elapsed.as_secs_f64(),
            bursts: shape.bursts,
            messages: shape.messages,
            deliveries: shape.messages * shape.listeners as u64,
            pings: pings.round_trip.len(),
            unanswered: pings.unanswered,
            p50: at(0.5),
            p99: at(0.99),
            worst: microseconds(pings.round_trip.max()),
            generator_p99: microseconds(pings.lateness.value_at_quantile(0.99)),
            broker: costs.broker.map(|(before, after)| BrokerUsage {
                cpu_seconds: after.cpu.saturating_sub(before.cpu).as_secs_f64(),
                resident_peak: after.peak,
            }),
        }
    }

    /// Writes it to the standard output.
    ///
    /// # Errors
    /// If that is closed.
    pub(crate) fn print(&self, json: bool) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if json {
            return writeln!(out, "{}", serde_json::to_string(self)?);
        }
        let Self { protocol, work, listeners, bursts, deliveries, pings, unanswered, p50, p99, worst, generator_p99, .. } = self;
        writeln!(out, "{protocol}: {listeners} listeners, beside {work}")?;
        writeln!(out, "  {bursts} bursts, {deliveries} deliveries in {:.2} s", self.seconds)?;
        writeln!(out, "  {pings} pings in microseconds: p50 {p50:.0}, p99 {p99:.0}, worst {worst:.0}; {unanswered} unanswered")?;
        writeln!(out, "  (the bystander itself was late by {generator_p99:.0} at p99)")?;
        if let Some(broker) = &self.broker {
            let mebibytes = broker.resident_peak as f64 / (1 << 20) as f64;
            writeln!(out, "  broker: {:.2} s of CPU, {mebibytes:.1} MiB resident at most", broker.cpu_seconds)?;
        }
        Ok(())
    }
}

/// A choice as it is typed.
fn name(choice: impl ValueEnum) -> String {
    choice.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}
