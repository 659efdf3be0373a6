//! What is said to one stream: one action, and what it did.

use axum::body::Body;
use axum::http::StatusCode;
use axum::response::Response;

use super::answer::{Refused, json_response};
use super::asked::Name;
use super::body::Content;
use super::caller::Caller;
use super::lines::json;

/// Says one action, with the body as its content if it may have one, and tells what it did.
pub(super) async fn act(caller: Caller, action: &'static str, Name(name): Name, body: Option<Body>) -> Result<Response, Refused> {
    // Whoever may not be here is told so before anything is taken from it.
    let mut call = caller.admitted().await?;
    let mut line = format!("{{\"action\":\"{action}\",\"stream\":{},\"receipt\":1", json(&name));
    if let Some(body) = body {
        let mut content = Content::of(body, &caller.context, &caller.front.stop).await?;
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
