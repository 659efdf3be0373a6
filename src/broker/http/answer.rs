//! Answers: JSON, and errors in the words of the wire, each with the status that HTTP has for it.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::wire::ErrorCode;

/// When to try again what cannot be done now, in seconds.
const RETRY_AFTER: &str = "1";

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused {
    status: StatusCode,
    code: String,
    reason: String,
}

impl Refused {
    /// With this status, a code for programs, and for people what was wrong and what would be right.
    pub(super) fn new(status: StatusCode, code: &str, reason: impl Into<String>) -> Self {
        Self { status, code: code.to_owned(), reason: reason.into() }
    }

    /// For a mistake of the wire.
    pub(super) fn by_code(code: &str, reason: String) -> Self {
        Self::new(status(code), code, reason)
    }

    /// There is no such stream.
    pub(super) fn unknown(stream: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not_found",
            format!("there is no stream {stream:?}: nobody has sent anything to it, or it was forgotten"),
        )
    }

    /// It is the broker's fault.
    pub(super) fn internal(error: &dyn std::error::Error) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", error.to_string())
    }

    /// The broker stops, or has failed.
    pub(super) fn stopping() -> Self {
        Self::shutdown("the broker stops; try again soon")
    }

    /// It cannot be done by this broker now, but perhaps by another.
    pub(super) fn shutdown(reason: &str) -> Self {
        Self::by_code(ErrorCode::Shutdown.as_str(), reason.to_owned())
    }
}

/// The answer to a connection that there will not be, as it goes over the wire.
pub(crate) fn last_word(code: ErrorCode, reason: &str) -> Vec<u8> {
    let status = status(code.as_str());
    let body = json!({"error": {"code": code.as_str(), "reason": reason}});
    let length = body.to_string().len() + 1;
    let later = if status == StatusCode::SERVICE_UNAVAILABLE { format!("Retry-After: {RETRY_AFTER}\r\n") } else { String::new() };
    let head = format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n{later}Connection: close");
    format!("{head}\r\n\r\n{body}\n").into_bytes()
}

/// The status of a mistake.
fn status(code: &str) -> StatusCode {
    match code {
        "bad_json" | "bad_action" | "missing_stream" | "bad_stream" | "missing_message" | "too_many_errors" | "not_json" => {
            StatusCode::BAD_REQUEST
        }
        "line_too_long" => StatusCode::PAYLOAD_TOO_LARGE,
        "auth_required" | "auth_failed" => StatusCode::UNAUTHORIZED,
        "denied" => StatusCode::FORBIDDEN,
        "stale" => StatusCode::CONFLICT,
        "limit" | "shutdown" | "slow_listener" => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let body = json!({"error": {"code": self.code, "reason": self.reason}});
        let mut response = json_response(self.status, format!("{body}\n"));
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER));
        }
        if self.status == StatusCode::UPGRADE_REQUIRED {
            let to = [(header::CONNECTION, "upgrade"), (header::UPGRADE, "websocket"), (header::SEC_WEBSOCKET_VERSION, "13")];
            response.headers_mut().extend(to.map(|(name, value)| (name, HeaderValue::from_static(value))));
        }
        response
    }
}

/// JSON, which nobody is to keep.
pub(super) fn json_response(status: StatusCode, body: impl Into<Body>) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    (status, headers, body.into()).into_response()
}

/// Nothing is here.
pub(super) async fn no_such_path() -> Refused {
    let reason = "nothing is here: there are /api/streams, /api/streams/NAME, /api/streams/NAME/events, /ws, /healthz, /readyz and /metrics; a \"/\" in a NAME is written %2F";
    Refused::new(StatusCode::NOT_FOUND, "not_found", reason)
}

/// It cannot be done here.
pub(super) async fn no_such_method() -> Refused {
    let reason = "this cannot be done here: GET shows a stream, POST puts a message, PUT sets the header, DELETE forgets it, and POST to /close ends it";
    Refused::new(StatusCode::METHOD_NOT_ALLOWED, "bad_action", reason)
}
