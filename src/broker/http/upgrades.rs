//! Answers behind which the connection is something else: a WebSocket, or the events of a stream.

use axum::http::{Method, StatusCode, Version, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use tokio::time::timeout;

use crate::wire::ids::StreamName;

use super::answer::Refused;
use super::asked::{Name, Question};
use super::call::{Call, token_line};
use super::caller::{Caller, PATIENCE};
use super::events::END;
use super::lines::{json, listen, listen_to_entry_abreast};
use super::next::Next;
use super::websocket;

/// A longer name would not fit into a piece of a line.
const LONGEST_NAME: usize = 8 << 10;

/// `GET /ws`.
pub(super) async fn websocket(caller: Caller, method: Method, version: Version) -> Result<Response, Refused> {
    if caller.front.stop.is_cancelled() {
        return Err(Refused::stopping());
    }
    let bad = |reason| Refused::new(StatusCode::UPGRADE_REQUIRED, "bad_request", reason);
    if method != Method::GET || version < Version::HTTP_11 {
        return Err(bad("a WebSocket is asked for by GET and HTTP/1.1"));
    }
    let accept = websocket::accept(&caller.headers).map_err(bad)?;
    let answer = [(header::CONNECTION, "Upgrade"), (header::UPGRADE, "websocket"), (header::SEC_WEBSOCKET_ACCEPT, &*accept)];
    Ok((StatusCode::SWITCHING_PROTOCOLS, answer, caller.visit.turn_into(Next::WebSocket)).into_response())
}

/// What a listener to events may ask for.
#[derive(Deserialize)]
pub(super) struct Asked {
    /// The last messages that it wants, at most so many.
    last: Option<u64>,
    /// `latest`: of what waits, only the newest.
    mode: Option<String>,
    /// The id of the last event that it has had. The header of that name counts before it.
    after: Option<String>,
}

/// `GET /api/streams/{name}/events`.
pub(super) async fn events(
    caller: Caller,
    Name(name): Name,
    Question(asked): Question<Asked>,
    (method, version): (Method, Version),
) -> Result<Response, Refused> {
    if caller.front.stop.is_cancelled() {
        return Err(Refused::stopping());
    }
    let stream = StreamName::new(&name).map_err(|error| Refused::by_code("bad_stream", error.to_string()))?;
    if name.len() > LONGEST_NAME {
        return Err(Refused::by_code("bad_stream", format!("the name is longer than {LONGEST_NAME} bytes")));
    }
    let told = caller.headers.get("last-event-id").map(|id| String::from_utf8_lossy(id.as_bytes()));
    let after = told.as_deref().into_iter().chain(asked.after.as_deref()).find(|id| !id.is_empty()).map(After::parse).transpose()?;
    let mut first = listen_line(&name, &asked, after.as_ref())?;
    first.push('\n');
    // Whether it may is told by the status; and whether it has had the end already, by which a browser knows to ask no more.
    let end = after.filter(|after| after.is_end && !stream.is_reserved()).map(|after| after.at);
    let mut call = caller.admitted().await?;
    // While a node does not hear the others, it does not know: then the listener waits for it, and not the browser for the listener.
    if timeout(PATIENCE, is_over(&mut call, &name, end)).await.unwrap_or(Ok(false))? {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    drop(call);
    if let Some(token) = caller.token()? {
        first.insert_str(0, &format!("{}\n", token_line(&token)));
    }
    // A proxy is to pass each event on at once, and there is no further request on this connection.
    let answer = [
        (header::CONNECTION, "close"),
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    let body = match method {
        Method::GET => caller.visit.turn_into(Next::Events { stream, chunked: version >= Version::HTTP_11, first }),
        _ => caller.visit.endless(),
    };
    Ok((StatusCode::OK, answer, body).into_response())
}

/// Whether a stream has ended where the caller has had its end.
///
/// # Errors
/// [`Refused`] if the caller may not listen to it.
async fn is_over(call: &mut Call, name: &str, end: Option<At>) -> Result<bool, Refused> {
    let at = ended_at(call, name).await?;
    let Some(end) = end else { return Ok(false) };
    if at.as_ref() == Some(&end) {
        return Ok(true);
    }
    // A node that is behind may have had all messages and not the end, which no position tells. What this is refused is no reason to refuse more.
    call.say(r#"{"action":"hangup"}"#).await;
    call.say(&listen_to_entry_abreast(name, 0)).await;
    call.say(r#"{"action":"hangup"}"#).await;
    Ok(ended_at(call, name).await.is_ok_and(|at| at == Some(end)))
}

/// Where a stream has ended, if it has.
///
/// # Errors
/// [`Refused`] if the caller may not listen to it.
async fn ended_at(call: &mut Call, name: &str) -> Result<Option<At>, Refused> {
    call.say(&listen(name, 1)).await;
    loop {
        let said = call.hear().await?;
        if said.receipt == Some(1) {
            let position = said.position.and_then(|position| serde_json::from_str(position.get()).ok());
            return Ok(position.filter(|_| said.state == Some("ended")));
        }
    }
}

/// A position.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct At {
    epoch: String,
    sequence: u64,
}

/// The last event that was had.
#[derive(Debug, Clone, PartialEq, Eq)]
struct After {
    at: At,
    /// It was the stream's end.
    is_end: bool,
}

impl After {
    fn parse(id: &str) -> Result<Self, Refused> {
        let (position, is_end) = id.strip_suffix(END).map_or((id, false), |position| (position, true));
        let at = position.rsplit_once('.').and_then(|(epoch, sequence)| {
            let is_word = !epoch.is_empty() && epoch.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
            Some(At { epoch: epoch.to_owned(), sequence: sequence.parse().ok()? }).filter(|_| is_word)
        });
        let bad = || {
            Refused::new(
                StatusCode::BAD_REQUEST,
                "bad_request",
                format!("{id:?} is not the id of an event of this broker: leave it out to begin with the header"),
            )
        };
        at.map(|at| Self { at, is_end }).ok_or_else(bad)
    }
}

/// The line by which the listener joins.
fn listen_line(name: &str, asked: &Asked, after: Option<&After>) -> Result<String, Refused> {
    let mut line = listen(name, 1);
    line.pop();
    if let Some(After { at: At { epoch, sequence }, .. }) = after {
        line.push_str(&format!(",\"after\":{{\"epoch\":{},\"sequence\":{sequence}}}", json(epoch)));
    }
    if let Some(last) = asked.last {
        line.push_str(&format!(",\"last\":{last}"));
    }
    match asked.mode.as_deref() {
        None | Some("all") => {}
        Some("latest") => line.push_str(",\"mode\":\"latest\""),
        Some(other) => {
            return Err(Refused::new(StatusCode::BAD_REQUEST, "bad_request", format!("mode is \"all\" or \"latest\", not {other:?}")));
        }
    }
    line.push('}');
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_position_and_may_say_that_it_was_the_end() {
        let after = |epoch: &str, sequence, is_end| Some(After { at: At { epoch: epoch.to_owned(), sequence }, is_end });
        for (id, expected) in [
            ("e.0", after("e", 0, false)),
            ("Az-_9.18446744073709551615", after("Az-_9", u64::MAX, false)),
            ("e.7.end", after("e", 7, true)),
            ("e.18446744073709551616", None),
            ("e.-1", None),
            ("e.", None),
            (".1", None),
            ("e", None),
            ("e.1.end.end", None),
            ("e .1", None),
            ("\"e\".1", None),
            ("\u{fffd}.1", None),
            ("", None),
        ] {
            assert_eq!(After::parse(id).ok(), expected, "{id:?}");
        }
    }

    #[test]
    fn what_is_asked_for_is_said_as_one_line() {
        let asked = |last, mode: Option<&str>| Asked { last, mode: mode.map(str::to_owned), after: None };
        let line = |asked: &Asked, after: Option<&str>| listen_line("a\"b", asked, after.map(|id| After::parse(id).unwrap()).as_ref());
        assert_eq!(line(&asked(None, None), None).unwrap(), r#"{"action":"listen","stream":"a\"b","receipt":1}"#);
        assert_eq!(
            line(&asked(Some(u64::MAX), Some("latest")), Some("e.7.end")).unwrap(),
            r#"{"action":"listen","stream":"a\"b","receipt":1,"after":{"epoch":"e","sequence":7},"last":18446744073709551615,"mode":"latest"}"#
        );
        assert!(line(&asked(None, Some("all")), None).is_ok());
        assert!(line(&asked(None, Some("")), None).is_err());
    }
}
