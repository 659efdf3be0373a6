//! What is said to one stream.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;

use crate::broker::connection::ConnectionContext;
use crate::wire::Token;

use super::answer::{Refused, json_response};
use super::asked::Name;
use super::body::Content;
use super::call::Call;
use super::front::Front;
use super::visit::Visit;

/// The streams of the directory begin so.
pub(super) const DIRECTORY: &str = "$streams/";

/// Connects as the one who asks.
pub(super) async fn call(front: &Front, context: &Arc<ConnectionContext>, visit: &Visit, headers: &HeaderMap) -> Result<Call, Refused> {
    let token = token(headers)?;
    let spawn = |connection| drop(front.tasks.spawn(connection));
    Ok(Call::begin(Arc::clone(context), visit.peer.clone(), token.as_ref(), spawn).await)
}

/// The token in the request, if there is one.
pub(super) fn token(headers: &HeaderMap) -> Result<Option<Token>, Refused> {
    let Some(value) = headers.get(header::AUTHORIZATION) else { return Ok(None) };
    let text = value.to_str().ok().and_then(|value| value.split_once(' '));
    let token = text.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).and_then(|(_, token)| Token::new(token.trim()).ok());
    let bad = || Refused::by_code("auth_failed", "the header Authorization has to be \"Bearer\" and a token".to_owned());
    token.ok_or_else(bad).map(Some)
}

/// `POST /api/streams/{name}`: the body is a message.
pub(super) async fn put(
    State(front): State<Arc<Front>>,
    Extension(visit): Extension<Visit>,
    Name(name): Name,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refused> {
    act(&front, &visit, &headers, "put", &name, Some(body)).await
}

/// `PUT /api/streams/{name}`: the body is the header.
pub(super) async fn set_header(
    State(front): State<Arc<Front>>,
    Extension(visit): Extension<Visit>,
    Name(name): Name,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refused> {
    act(&front, &visit, &headers, "header", &name, Some(body)).await
}

/// `POST /api/streams/{name}/close`: the stream has ended; the body, if there is one, is its last message.
pub(super) async fn close(
    State(front): State<Arc<Front>>,
    Extension(visit): Extension<Visit>,
    Name(name): Name,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refused> {
    act(&front, &visit, &headers, "close", &name, Some(body)).await
}

/// `DELETE /api/streams/{name}`: the stream is forgotten.
pub(super) async fn delete(
    State(front): State<Arc<Front>>,
    Extension(visit): Extension<Visit>,
    Name(name): Name,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    act(&front, &visit, &headers, "delete", &name, None).await
}

/// Says one action, and tells what it did.
async fn act(front: &Front, visit: &Visit, headers: &HeaderMap, action: &str, name: &str, body: Option<Body>) -> Result<Response, Refused> {
    let context = front.context();
    let mut call = call(front, &context, visit, headers).await?;
    // Whoever may not be here is told so before anything is taken from it.
    call.say(r#"{"action":"ping","receipt":1}"#).await;
    call.hear().await?;
    visit.admit();
    let mut line = format!("{{\"action\":\"{action}\",\"stream\":{},\"receipt\":2", json(name));
    if let Some(body) = body {
        let mut content = Content::of(body, &context, &front.stop).await?;
        match content.json()? {
            Some(message) => {
                line.push_str(",\"message\":");
                call.say_with(&line, message).await;
            }
            None => call.say_with(&line, "").await,
        }
    } else {
        call.say_with(&line, "").await;
    }
    let said = call.hear().await?;
    let mut members = vec![];
    if let Some(listeners) = said.listeners {
        members.push(format!("\"listeners\":{listeners}"));
    }
    if let Some(position) = said.position {
        members.push(format!("\"position\":{position}"));
    }
    Ok(json_response(StatusCode::OK, format!("{{{}}}\n", members.join(","))))
}

/// The line that asks to listen to a stream.
pub(super) fn listen(stream: &str, receipt: u64) -> String {
    format!("{{\"action\":\"listen\",\"stream\":{},\"receipt\":{receipt}}}", json(stream))
}

/// A text as JSON, as the broker writes it.
pub(super) fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
