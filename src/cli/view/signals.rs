//! What a program that draws on a terminal is told by signals.

use std::future::pending;

use signal_hook::consts::SIGCONT;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals, caught from now on.
#[derive(Debug)]
pub(in crate::cli) struct Signals {
    resized: Option<Signal>,
    continued: Option<Signal>,
    interrupted: Option<Signal>,
}

/// What has happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Told {
    /// The terminal has another size.
    Resized,
    /// The program was stopped, by Ctrl-Z for instance, and others may have written since.
    Continued,
    /// Ctrl-C, which must not leave half a row behind.
    Interrupted,
}

impl Signals {
    /// Where nothing is drawn they are left alone: then Ctrl-C ends the program even while it waits for whoever reads its lines.
    pub(in crate::cli) fn catch(draws: bool) -> Self {
        let caught = |kind| if draws { signal(kind).ok() } else { None };
        Self {
            resized: caught(SignalKind::window_change()),
            continued: caught(SignalKind::from_raw(SIGCONT)),
            interrupted: caught(SignalKind::interrupt()),
        }
    }

    /// The next of them. Dropped while it waits, it misses none.
    pub(in crate::cli) async fn next(&mut self) -> Told {
        tokio::select! {
            biased;
            () = one(&mut self.interrupted) => Told::Interrupted,
            () = one(&mut self.continued) => Told::Continued,
            () = one(&mut self.resized) => Told::Resized,
        }
    }
}

async fn one(signal: &mut Option<Signal>) {
    if let Some(signal) = signal
        && signal.recv().await.is_some()
    {
        return;
    }
    pending().await
}
