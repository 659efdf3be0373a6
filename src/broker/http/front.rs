//! What every request can reach.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::broker::actor::Pulse;
use crate::broker::connection::ConnectionContext;
use crate::broker::metrics::Metrics;
use crate::broker::settings::HttpSettings;

use super::sites::Sites;

/// What all connections by HTTP share.
pub(crate) struct Front {
    /// What new connections are given.
    contexts: Box<dyn Fn() -> Arc<ConnectionContext> + Send + Sync>,
    pub(super) sites: Sites,
    pub(super) metrics: Metrics,
    /// Metrics are made one at a time: each takes a thread of its own meanwhile.
    pub(super) rendering: Arc<Semaphore>,
    /// Tells whether the actor takes commands.
    pub(super) pulse: Pulse,
    /// Where connections run that the broker's stop waits for.
    pub(super) tasks: TaskTracker,
    /// The broker stops.
    pub(super) stop: CancellationToken,
    /// Nothing is answered any more.
    pub(super) end: CancellationToken,
}

impl Front {
    /// For a broker whose connections run in `tasks`, and that stops with `stop`. Requests are answered until `end`.
    pub(crate) fn new(
        settings: &HttpSettings,
        metrics: Metrics,
        contexts: impl Fn() -> Arc<ConnectionContext> + Send + Sync + 'static,
        tasks: TaskTracker,
        (stop, end): (CancellationToken, CancellationToken),
    ) -> Arc<Self> {
        let pulse = contexts().mailbox.pulse();
        let (sites, rendering) = (Sites::new(&settings.origins), Arc::new(Semaphore::new(1)));
        Arc::new(Self { contexts: Box::new(contexts), sites, metrics, rendering, pulse, tasks, stop, end })
    }

    /// What a new connection is given.
    pub(super) fn context(&self) -> Arc<ConnectionContext> {
        (self.contexts)()
    }
}
