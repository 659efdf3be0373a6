//! What stands in the address of a request. What is wrong with it is told in the words of all other mistakes.

use axum::extract::{FromRequestParts, Path, Query};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::answer::Refused;

/// The name in the path.
pub(super) struct Name(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Name {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refused> {
        let bad = |_| Refused::by_code("bad_stream", "the name in the path is not UTF-8, percent-encoded".to_owned());
        Path::<String>::from_request_parts(parts, state).await.map(|Path(name)| Self(name)).map_err(bad)
    }
}

/// What stands behind the question mark.
pub(super) struct Question<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Question<T> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refused> {
        let asked = Query::<T>::from_request_parts(parts, state).await;
        asked.map(|Query(asked)| Self(asked)).map_err(|error| Refused::new(StatusCode::BAD_REQUEST, "bad_request", error.body_text()))
    }
}
