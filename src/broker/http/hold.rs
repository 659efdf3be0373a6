//! What stands before every request: it comes from a page that may use the broker, or from none, and a browser is told what it may make of
//! the answer.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{self, HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::answer::Refused;
use super::front::Front;

/// What is answered to anybody: it says nothing of streams, and those who ask go by whatever name.
const OPEN: [&str; 3] = ["/healthz", "/readyz", "/metrics"];

/// What a browser is told of each answer.
const HEADERS: [(HeaderName, &str); 5] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// What a page of a named site may ask for.
const ALLOWED: [(HeaderName, &str); 4] = [
    (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, PUT, DELETE"),
    (header::ACCESS_CONTROL_ALLOW_HEADERS, "Authorization, Content-Type, Last-Event-ID"),
    (header::ACCESS_CONTROL_MAX_AGE, "600"),
    (HeaderName::from_static("cross-origin-resource-policy"), "cross-origin"),
];

/// Holds requests to the sites that they may come from, and answers to what browsers are to know.
pub(super) async fn hold(State(front): State<Arc<Front>>, request: Request, next: Next) -> Response {
    let origin = request.headers().get(header::ORIGIN).cloned();
    let named = match judge(&front, &request, origin.as_ref()) {
        Ok(is_named) => origin.filter(|_| is_named),
        Err(refused) => return with_headers(refused.into_response(), None),
    };
    let is_question = request.method() == Method::OPTIONS && named.is_some();
    let response = if is_question { StatusCode::NO_CONTENT.into_response() } else { next.run(request).await };
    with_headers(response, named)
}

/// Whether it is for what is answered to anybody.
pub(super) fn is_open<B>(request: &http::Request<B>) -> bool {
    OPEN.contains(&request.uri().path())
}

/// Whether it comes from a named site; or why it is refused.
fn judge(front: &Front, request: &Request, origin: Option<&HeaderValue>) -> Result<bool, Refused> {
    if is_open(request) {
        return Ok(false);
    }
    let host =
        host(request).ok_or_else(|| Refused::new(StatusCode::BAD_REQUEST, "bad_request", "the request has no Host, or more than one"))?;
    // With tokens, a page that reaches the broker by another name has none to show.
    if front.context().access.is_none() && !front.sites.is_own(&host) {
        return Err(Refused::new(
            StatusCode::FORBIDDEN,
            "denied",
            format!("this broker is not known as {:?}: add \"http://{host}\" to http.origins, or use its IP address", host.host()),
        ));
    }
    let Some(origin) = origin else { return Ok(false) };
    let origin = origin.to_str().unwrap_or_default();
    if front.sites.names(origin) {
        return Ok(true);
    }
    let is_same = origin.split_once("://").is_some_and(|(_, from)| from.eq_ignore_ascii_case(host.as_str()));
    if is_same {
        return Ok(false);
    }
    Err(Refused::new(
        StatusCode::FORBIDDEN,
        "denied",
        format!("pages of {origin:?} may not use this broker: whoever runs it can name them in http.origins"),
    ))
}

fn host(request: &Request) -> Option<Authority> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => Authority::try_from(host.as_bytes()).ok(),
        (None, None) => request.uri().authority().cloned(),
        _ => None,
    }
}

fn with_headers(mut response: Response, named: Option<HeaderValue>) -> Response {
    let headers = response.headers_mut();
    set(headers, &HEADERS);
    if let Some(origin) = named {
        set(headers, &ALLOWED);
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::VARY, HeaderValue::from_static("Origin"));
    }
    response
}

fn set(headers: &mut HeaderMap, values: &[(HeaderName, &'static str)]) {
    for (name, value) in values {
        headers.insert(name.clone(), HeaderValue::from_static(value));
    }
}
