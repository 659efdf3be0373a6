//! What signals mean to the broker.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The signals, from now on caught.
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// Catches the signals. Called before listening, so that no signal meets the default action in between.
    pub(crate) fn catch() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Cancels `shutdown` at the first SIGTERM or SIGINT and `cut_short` at the second. Never ends by itself.
    pub(crate) async fn watch(mut self, shutdown: CancellationToken, cut_short: CancellationToken) {
        loop {
            let name = tokio::select! {
                _ = self.terminate.recv() => "SIGTERM",
                _ = self.interrupt.recv() => "SIGINT",
                _ = self.hangup.recv() => {
                    tracing::warn!(signal = "SIGHUP", "ignored: the configuration is read at start only");
                    continue;
                }
            };
            if shutdown.is_cancelled() {
                tracing::warn!(signal = name, "asked twice: the drain is cut short");
                cut_short.cancel();
            } else {
                tracing::info!(signal = name, "asked to stop");
                shutdown.cancel();
            }
        }
    }
}
