//! What the broker says of itself to those who watch over it: metrics, and who is connected.

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

use crate::broker::actor::{Connections, LONGEST_PAGE, Listed, Removed};
use crate::broker::metrics::MetricsFormat;
use crate::wire::ids::ConnectionId;

use super::answer::{Refused, json_response};
use super::asked::Question;
use super::caller::Caller;
use super::lines::listen;

/// What only those may listen to who may know what others do.
const OF_ALL: &str = "$connections";

/// `GET /metrics`, for whoever has a token, where there are any: they name no stream and nobody.
pub(super) async fn metrics(caller: Caller) -> Result<Response, Refused> {
    if caller.context.access.is_some() {
        let mut call = caller.call().await?;
        call.say(r#"{"action":"ping"}"#).await;
        call.hear().await?;
    }
    let Caller { front, visit, headers, .. } = caller;
    visit.admit();
    let accepted: Vec<_> = headers.get_all(header::ACCEPT).iter().filter_map(|accept| accept.to_str().ok()).collect();
    let format = MetricsFormat::accepted(&accepted.join(","));
    let permit = Arc::clone(&front.rendering).acquire_owned().await.map_err(|error| Refused::internal(&error))?;
    let metrics = front.metrics.clone();
    // Some of it is read from files of the system. Whoever asked may leave meanwhile, and the next one still waits for it.
    let made = spawn_blocking(move || {
        let _permit = permit;
        metrics.render(format)
    });
    let text = made.await.map_err(|error| Refused::internal(&error))?;
    Ok(([(header::CONTENT_TYPE, format.content_type()), (header::CACHE_CONTROL, "no-store")], text).into_response())
}

#[derive(Deserialize)]
pub(super) struct Asked {
    /// The connections behind this one.
    after: Option<u32>,
    /// No more than so many.
    most: Option<usize>,
}

/// `GET /api/connections`, for admins where there are tokens.
pub(super) async fn connections(caller: Caller, Question(Asked { after, most }): Question<Asked>) -> Result<Response, Refused> {
    let context = &caller.context;
    if context.access.is_some() {
        let mut call = caller.call().await?;
        call.say(&listen(OF_ALL, 1)).await;
        call.hear().await?;
    }
    caller.visit.admit();
    let connections = Connections::new(&context.mailbox, context.access.clone());
    let page = connections.page(after.map(ConnectionId), most.unwrap_or(LONGEST_PAGE)).await;
    let page =
        page.ok_or_else(|| Refused::by_code("limit", "too many ask for this at once, or the broker stops; try again soon".to_owned()))?;
    let removed: Vec<_> = context.cut_log.recent().iter().map(removed).collect();
    let body = json!({
        "connections": page.connections.iter().map(listed).collect::<Vec<_>>(),
        "next": page.next.map(|next| next.0),
        "removed": removed,
    });
    Ok(json_response(StatusCode::OK, format!("{body}\n")))
}

fn listed(connection: &Listed) -> Value {
    let Listed { id, peer, kind, encoding, age, listens, queued, name } = connection;
    json!({
        "id": id.0, "peer": peer, "token": name, "transport": kind.as_str(), "encoding": encoding,
        "age": age.as_secs(), "listens": listens, "queued_bytes": queued,
    })
}

fn removed(removed: &Removed) -> Value {
    let Removed { when, connection, peer, name, code, reason, queued, others } = removed;
    json!({
        "time": when.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_millis() as f64 / 1e3),
        "id": connection, "peer": peer, "token": name, "code": code, "reason": reason, "queued_bytes": queued, "more": others,
    })
}
