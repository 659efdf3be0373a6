//! Whether the broker is well, for those who restart it or send clients to it.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use tokio::time::timeout;

use crate::broker::actor::Stats;

use super::answer::json_response;
use super::front::Front;

/// What the actor may take to answer, whatever it has to do. Supervisors wait for a second or more.
const PATIENCE: Duration = Duration::from_secs(5);

/// The actor answers, and if it is that of a node, it hears the others.
pub(super) async fn healthz(State(front): State<Arc<Front>>) -> Response {
    match timeout(PATIENCE, front.pulse.beat()).await {
        Ok(true) => stand(&front.context().stats),
        Ok(false) => json_response(StatusCode::SERVICE_UNAVAILABLE, "{\"status\":\"stopped\"}\n"),
        Err(_) => json_response(StatusCode::SERVICE_UNAVAILABLE, "{\"status\":\"stuck\"}\n"),
    }
}

fn stand(stats: &Stats) -> Response {
    if let Some((time, why)) = stats.contact.cut_off() {
        let node = serde_json::json!({ "cut_off_seconds": time.as_secs(), "reason": why });
        let told = serde_json::json!({ "status": "cut_off", "node": node });
        return json_response(StatusCode::SERVICE_UNAVAILABLE, format!("{told}\n"));
    }
    match stats.saves.failing() {
        None => json_response(StatusCode::OK, "{\"status\":\"ok\"}\n"),
        // Nothing that a restart would help against: it would lose what is not kept.
        Some((time, why)) => {
            let store = serde_json::json!({ "failing_seconds": time.as_secs(), "reason": why });
            let told = serde_json::json!({ "status": "ok", "store": store });
            json_response(StatusCode::OK, format!("{told}\n"))
        }
    }
}

/// Clients may come.
pub(super) async fn readyz(State(front): State<Arc<Front>>) -> Response {
    if front.stop.is_cancelled() {
        return json_response(StatusCode::SERVICE_UNAVAILABLE, "{\"status\":\"stopping\"}\n");
    }
    healthz(State(front)).await
}
