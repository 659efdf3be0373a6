//! Whoever asks: what its request comes with, and its calls to the broker.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use tokio::time::timeout;

use crate::broker::connection::ConnectionContext;
use crate::wire::Token;
use crate::wire::refusal::CUT_OFF;

use super::answer::Refused;
use super::call::Call;
use super::front::Front;
use super::visit::Visit;

/// A node that does not hear the others cannot tell how streams stand. For so long it is waited for.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// See the module.
pub(super) struct Caller {
    pub(super) front: Arc<Front>,
    pub(super) visit: Visit,
    pub(super) headers: HeaderMap,
    pub(super) context: Arc<ConnectionContext>,
}

impl FromRequestParts<Arc<Front>> for Caller {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, front: &Arc<Front>) -> Result<Self, Refused> {
        let visit = Extension::<Visit>::from_request_parts(parts, front).await;
        let Extension(visit) = visit.map_err(|error| Refused::internal(&error))?;
        Ok(Self { front: Arc::clone(front), visit, headers: parts.headers.clone(), context: front.context() })
    }
}

impl Caller {
    /// Connects to the broker as the one who asks.
    pub(super) async fn call(&self) -> Result<Call, Refused> {
        let token = self.token()?;
        let spawn = |connection| drop(self.front.tasks.spawn(connection));
        Ok(Call::begin(Arc::clone(&self.context), self.visit.peer.clone(), token.as_ref(), spawn).await)
    }

    /// The same for one who may be here, which is known before anything is asked that may take its time. From then on, the request does not count
    /// among those of strangers.
    ///
    /// # Errors
    /// If the caller may not be here.
    pub(super) async fn admitted(&self) -> Result<Call, Refused> {
        let mut call = self.call().await?;
        call.say(r#"{"action":"ping"}"#).await;
        call.hear().await?;
        self.visit.admit();
        Ok(call)
    }

    /// What is known of streams. A node that does not know it in time says so.
    ///
    /// # Errors
    /// What is refused, or that it is not known.
    pub(super) async fn in_time<T>(&self, known: impl Future<Output = Result<T, Refused>>) -> Result<T, Refused> {
        if self.context.stats.contact.name().is_none() {
            // One that is on its own knows.
            return known.await;
        }
        timeout(PATIENCE, known).await.unwrap_or_else(|_| Err(Refused::shutdown(CUT_OFF)))
    }

    /// The token in the request, if there is one.
    pub(super) fn token(&self) -> Result<Option<Token>, Refused> {
        let Some(value) = self.headers.get(header::AUTHORIZATION) else { return Ok(None) };
        let text = value.to_str().ok().and_then(|value| value.split_once(' '));
        let token = text.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).and_then(|(_, token)| Token::new(token.trim()).ok());
        let bad = || Refused::by_code("auth_failed", "the header Authorization has to be \"Bearer\" and a token".to_owned());
        token.ok_or_else(bad).map(Some)
    }
}
