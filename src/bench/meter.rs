//! What a run costs the broker and the generator itself.

use anyhow::Result;

use super::args::Args;
use super::process::Sample;
use super::report::Costs;

/// Reads costs at the beginning and at the end.
pub(crate) struct Meter {
    pid: Option<String>,
    broker: Option<Sample>,
    own: Sample,
}

impl Meter {
    /// Begins.
    ///
    /// # Errors
    /// If there is no such process.
    pub(crate) fn start(args: &Args) -> Result<Self> {
        let pid = args.pid.map(|pid| pid.to_string());
        let broker = pid.as_deref().map(Sample::of).transpose()?;
        Ok(Self { pid, broker, own: Sample::of("self").unwrap_or_default() })
    }

    /// Ends.
    ///
    /// # Errors
    /// If the process is gone.
    pub(crate) fn stop(self) -> Result<Costs> {
        let own = Sample::of("self").unwrap_or_default();
        let after = self.pid.as_deref().map(Sample::of).transpose()?;
        Ok(Costs { broker: self.broker.zip(after), generator: own.cpu.saturating_sub(self.own.cpu) })
    }
}
