//! Which request is answered by what.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};

use super::asked::Name;
use super::caller::Caller;
use super::front::Front;
use super::{answer, health, hold, listing, overview, page, show, streams, upgrades};

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
        .route(
            "/api/streams/{name}",
            get(show::show)
                .post(|caller: Caller, name: Name, body: Body| streams::act(caller, "put", name, Some(body)))
                .put(|caller: Caller, name: Name, body: Body| streams::act(caller, "header", name, Some(body)))
                .delete(|caller: Caller, name: Name| streams::act(caller, "delete", name, None)),
        )
        .route("/api/streams/{name}/close", post(|caller: Caller, name: Name, body: Body| streams::act(caller, "close", name, Some(body))))
        .route("/api/streams/{name}/events", get(upgrades::events))
        .route("/ws", get(upgrades::websocket))
        .fallback(answer::no_such_path)
        .method_not_allowed_fallback(answer::no_such_method)
        .layer(from_fn_with_state(Arc::clone(front), hold::hold))
        .with_state(Arc::clone(front))
}
