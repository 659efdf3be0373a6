//! What signals mean to the broker.

use std::io;
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;
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

    /// Cancels `shutdown` at the first SIGTERM or SIGINT and `cut_short` at the second; notifies `reload` of SIGHUP. Never ends by itself.
    pub(crate) async fn watch(mut self, shutdown: CancellationToken, cut_short: CancellationToken, reload: Arc<Notify>) {
        loop {
            let name = tokio::select! {
                _ = self.terminate.recv() => "SIGTERM",
                _ = self.interrupt.recv() => "SIGINT",
                _ = self.hangup.recv() => {
                    reload.notify_one();
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
