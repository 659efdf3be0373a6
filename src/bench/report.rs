//! What a run has found, for people and for machines.

use std::io::{self, Write};
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::process::Sample;

/// What a run has found.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    /// The protocol.
    pub(crate) protocol: String,
    /// The shape of the run.
    pub(crate) publishers: usize,
    /// Streams.
    pub(crate) streams: usize,
    /// Listening connections per stream.
    pub(crate) listeners: usize,
    /// Bytes of a message's content.
    pub(crate) size: usize,
    /// Messages published; 0 where that is not what was measured.
    pub(crate) messages: u64,
    /// What costs are counted for: `delivery`, `message`, `join` or `connection`.
    pub(crate) unit: &'static str,
    /// How many of them there were.
    pub(crate) units: u64,
    /// How long it took, in seconds.
    pub(crate) seconds: f64,
    /// Units per second.
    pub(crate) units_per_second: f64,
    /// Content per second, in millions of bytes.
    pub(crate) megabytes_per_second: f64,
    /// The generator's own CPU time per unit, in microseconds.
    pub(crate) generator_us_per_unit: f64,
    /// The broker's costs, where its process is known.
    pub(crate) broker: Option<BrokerCosts>,
    /// Latency, where the rate was set.
    pub(crate) latency: Option<Latency>,
}

/// What a run has cost the broker.
#[derive(Debug, Serialize)]
pub(crate) struct BrokerCosts {
    /// CPU time per unit, in microseconds.
    pub(crate) us_per_unit: f64,
    /// CPU time, in seconds.
    pub(crate) cpu_seconds: f64,
    /// Resident memory before the run, in bytes.
    pub(crate) resident_before: u64,
    /// Resident memory after it, in bytes.
    pub(crate) resident_after: u64,
    /// The most resident memory there ever was, in bytes.
    pub(crate) resident_peak: u64,
    /// Growth of resident memory per unit, in bytes, where units are connections.
    pub(crate) bytes_per_connection: Option<f64>,
}

/// Latency in microseconds, from the time at which a message was due.
#[derive(Debug, Serialize)]
pub(crate) struct Latency {
    /// The median.
    pub p50: f64,
    /// Nine in ten were quicker.
    pub p90: f64,
    /// 99 in 100 were quicker.
    pub p99: f64,
    /// 999 in 1,000 were quicker.
    pub p999: f64,
    /// The slowest.
    pub(crate) max: f64,
    /// How late the generator itself began to write, 99 in 100.
    pub generator_p99: f64,
}

impl Latency {
    /// From histograms in nanoseconds.
    pub(crate) fn new(latency: &Histogram<u64>, lateness: &Histogram<u64>) -> Self {
        let at = |histogram: &Histogram<u64>, quantile| histogram.value_at_quantile(quantile) as f64 / 1000.0;
        Self {
            p50: at(latency, 0.5),
            p90: at(latency, 0.9),
            p99: at(latency, 0.99),
            p999: at(latency, 0.999),
            max: at(latency, 1.0),
            generator_p99: at(lateness, 0.99),
        }
    }
}

/// The costs of the broker and of this process between two moments.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Costs {
    /// The broker's, before and after.
    pub(crate) broker: Option<(Sample, Sample)>,
    /// The generator's CPU time.
    pub(crate) generator: Duration,
}

impl Report {
    /// Fills in what was counted and what it has cost.
    pub(crate) fn finish(mut self, unit: &'static str, units: u64, elapsed: Duration, costs: &Costs) -> Self {
        let per_unit = |cpu: Duration| cpu.as_secs_f64() * 1e6 / units.max(1) as f64;
        (self.unit, self.units, self.seconds) = (unit, units, elapsed.as_secs_f64());
        self.units_per_second = units as f64 / self.seconds;
        self.megabytes_per_second = self.units_per_second * self.size as f64 / 1e6;
        self.generator_us_per_unit = per_unit(costs.generator);
        self.broker = costs.broker.map(|(before, after)| {
            let cpu = after.cpu.saturating_sub(before.cpu);
            let growth = after.resident as f64 - before.resident as f64;
            BrokerCosts {
                us_per_unit: per_unit(cpu),
                cpu_seconds: cpu.as_secs_f64(),
                resident_before: before.resident,
                resident_after: after.resident,
                resident_peak: after.peak,
                bytes_per_connection: (unit == "connection").then(|| growth / units.max(1) as f64),
            }
        });
        self
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
        let units = if self.unit == "delivery" { "deliveries".to_owned() } else { format!("{}s", self.unit) };
        writeln!(
            out,
            "{}: {} publishers, {} streams, {} listeners each, {} bytes",
            self.protocol, self.publishers, self.streams, self.listeners, self.size
        )?;
        writeln!(out, "  {} {units} in {:.2} s, none lost", self.units, self.seconds)?;
        writeln!(out, "  {:.0} {units}/s, {:.1} MB/s", self.units_per_second, self.megabytes_per_second)?;
        if let Some(latency) = &self.latency {
            let Latency { p50, p90, p99, p999, max, generator_p99 } = latency;
            writeln!(out, "  latency in microseconds: p50 {p50:.0}, p90 {p90:.0}, p99 {p99:.0}, p99.9 {p999:.0}, max {max:.0}")?;
            writeln!(out, "  (the generator itself was late by {generator_p99:.0} at p99)")?;
        }
        if let Some(broker) = &self.broker {
            writeln!(out, "  broker: {:.3} us of CPU per {}, {:.2} s in all", broker.us_per_unit, self.unit, broker.cpu_seconds)?;
            let mebibytes = |bytes: u64| bytes as f64 / (1 << 20) as f64;
            writeln!(
                out,
                "  broker: {:.1} MiB resident before, {:.1} after, {:.1} at most",
                mebibytes(broker.resident_before),
                mebibytes(broker.resident_after),
                mebibytes(broker.resident_peak)
            )?;
            if let Some(bytes) = broker.bytes_per_connection {
                writeln!(out, "  broker: {bytes:.0} bytes per connection")?;
            }
        }
        writeln!(out, "  generator: {:.3} us of CPU per {}", self.generator_us_per_unit, self.unit)
    }
}
