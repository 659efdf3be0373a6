//! The broker over HTTP: what it says of itself, streams for whoever has only `curl` or a browser, and WebSockets on which the whole
//! contract is spoken.
//!
//! Whoever reads or writes a stream here is a connection like any other, with the same outbox, limits and rights: a request says lines on
//! a connection within the program, and a WebSocket or a listener to events becomes a connection once its first answer is sent. Knows
//! nothing of listening sockets and configuration files.

mod answer;
mod body;
mod bytes_io;
mod call;
mod events;
mod framed;
mod health;
mod listing;
mod overview;
mod page;
mod pipe;
mod sites;
mod streams;
mod upgrades;
mod visit;
mod websocket;

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::broker::actor::Pulse;
use crate::broker::connection::ConnectionContext;
use crate::broker::metrics::Metrics;
use crate::broker::settings::HttpSettings;

use sites::Sites;

pub(crate) use answer::last_word;
pub(crate) use visit::visit;

/// What all connections by HTTP share.
pub(crate) struct Front {
    /// What new connections are given.
    contexts: Box<dyn Fn() -> Arc<ConnectionContext> + Send + Sync>,
    sites: Sites,
    metrics: Metrics,
    /// Tells whether the actor takes commands.
    pulse: Pulse,
    /// Where connections run that the broker's stop waits for.
    tasks: TaskTracker,
    /// The broker stops.
    stop: CancellationToken,
    /// Nothing is answered any more.
    end: CancellationToken,
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
        Arc::new(Self { contexts: Box::new(contexts), sites: Sites::new(&settings.origins), metrics, pulse, tasks, stop, end })
    }

    fn context(&self) -> Arc<ConnectionContext> {
        (self.contexts)()
    }
}

/// What is answered to which request.
pub(crate) fn router(front: &Arc<Front>) -> Router {
    Router::new()
        .route("/", get(page::index))
        .route("/page/{*file}", get(page::part))
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(overview::metrics))
        .route("/api/connections", get(overview::connections))
        .route("/api/streams", get(listing::list))
        .route("/api/streams/{name}", get(streams::show).post(streams::put).put(streams::set_header).delete(streams::delete))
        .route("/api/streams/{name}/close", post(streams::close))
        .route("/api/streams/{name}/events", get(upgrades::events))
        .route("/ws", get(upgrades::websocket))
        .fallback(answer::no_such_path)
        .method_not_allowed_fallback(answer::no_such_method)
        .layer(from_fn_with_state(Arc::clone(front), sites::hold))
        .with_state(Arc::clone(front))
}
