//! What a process has cost so far, as Linux tells it.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

/// A process's costs at one moment.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sample {
    /// CPU time of all its threads, user and system.
    pub(crate) cpu: Duration,
    /// Resident memory, in bytes.
    pub(crate) resident: u64,
    /// The most there ever was, in bytes.
    pub(crate) peak: u64,
}

impl Sample {
    /// The costs of a process; `self` is this one.
    ///
    /// # Errors
    /// If there is no such process, or no such system as Linux.
    pub(crate) fn of(process: &str) -> Result<Self> {
        let status = fs::read_to_string(format!("/proc/{process}/status")).with_context(|| format!("process {process} cannot be read"))?;
        let kilobytes = |text: &str, key: &str| {
            let value = text.lines().find_map(|line| line.strip_prefix(key))?;
            value.trim().trim_end_matches(" kB").parse::<u64>().ok().map(|kilobytes| kilobytes << 10)
        };
        // The figures in `status` are approximate by some pages per thread; those of `smaps_rollup` are exact.
        let rollup = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).unwrap_or_default();
        let resident = kilobytes(&rollup, "Rss:").or_else(|| kilobytes(&status, "VmRSS:")).unwrap_or_default();
        let peak = kilobytes(&status, "VmHWM:").unwrap_or_default();
        Ok(Self { cpu: cpu(process)?, resident, peak })
    }
}

/// CPU time from the scheduler, in nanoseconds. The usual utime and stime of `stat` count in ticks of 10 ms; they stand
/// in where the scheduler keeps no statistics.
fn cpu(process: &str) -> Result<Duration> {
    let mut nanoseconds = 0;
    for task in fs::read_dir(format!("/proc/{process}/task"))? {
        let text = fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
        nanoseconds += text.split(' ').next().and_then(|first| first.parse::<u64>().ok()).unwrap_or_default();
    }
    if nanoseconds > 0 {
        return Ok(Duration::from_nanos(nanoseconds));
    }
    let text = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name in parentheses may hold blanks; utime and stime are the 12th and 13th field after it.
    let fields = text.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
    let ticks: u64 = fields.filter_map(|field| field.parse::<u64>().ok()).sum();
    Ok(Duration::from_millis(ticks * 10))
}

/// Raises the limit of open files as far as it goes: a connection is a file.
///
/// # Errors
/// If the limit still does not suffice for this many connections.
pub(crate) fn allow_connections(connections: usize) -> Result<()> {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).context("the limit of open files cannot be raised")?;
    let most = limit.maximum.unwrap_or(u64::MAX);
    let needed = connections as u64 + 32;
    anyhow::ensure!(needed <= most, "{connections} connections need {needed} open files, and {most} are allowed (see `ulimit -Hn`)");
    Ok(())
}
