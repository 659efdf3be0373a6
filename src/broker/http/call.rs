//! A request as a client of the broker: it says lines on a connection of its own, and hears what comes back. So it is held to the same
//! limits and rights as everybody.

use std::sync::Arc;

use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::broker::connection::{ConnectionContext, serve};
use crate::wire::json_lines::JsonLines;
use crate::wire::{ErrorCode, Token};

use super::answer::Refused;
use super::pipe::{FarEnd, Peer, pipe};

/// What is said to whoever shows no token where one is needed.
const NEEDS_TOKEN: &str =
    "this broker lets in who has a token: it goes into the header \"Authorization: Bearer TOKEN\"; ask who runs the broker for one";

/// A connection for one request.
pub(super) struct Call {
    far: FarEnd,
    heard: Vec<u8>,
    /// Where the next line begins.
    at: usize,
}

/// What a line of the broker says, as far as a request needs it.
#[derive(Debug, Deserialize)]
pub(super) struct Said<'a> {
    /// What it is.
    pub(super) action: &'a str,
    /// The stream, as it stands in the line.
    #[serde(borrow)]
    pub(super) stream: Option<&'a RawValue>,
    /// The content.
    #[serde(borrow)]
    pub(super) message: Option<&'a RawValue>,
    /// Of a receipt, which action it is for.
    pub(super) receipt: Option<u64>,
    /// How many were reached.
    pub(super) listeners: Option<u64>,
    /// How the stream stands.
    pub(super) state: Option<&'a str>,
    /// How long it has stood so, in seconds.
    pub(super) age: Option<&'a RawValue>,
    /// Where.
    #[serde(borrow)]
    pub(super) position: Option<&'a RawValue>,
}

/// Why the broker refused something.
#[derive(Debug, Deserialize)]
struct Why {
    code: String,
    reason: String,
}

impl Call {
    /// Connects, and shows the token if there is one. The task of the connection ends with the call.
    pub(super) async fn begin(context: Arc<ConnectionContext>, peer: Peer, token: Option<&Token>, spawn: impl FnOnce(Connection)) -> Self {
        let (near, far) = pipe(peer);
        spawn(Box::pin(serve(near, JsonLines::default(), context)));
        let call = Self { far, heard: Vec::new(), at: 0 };
        if let Some(token) = token {
            call.say(&token_line(token)).await;
        }
        call
    }

    /// Says a line, without its end.
    pub(super) async fn say(&self, line: &str) {
        self.far.say(line.as_bytes()).await;
        self.far.say(b"\n").await;
    }

    /// Says a line in two parts, without the brace that ends it: the second may be long.
    pub(super) async fn say_with(&self, line: &str, rest: &str) {
        self.far.say(line.as_bytes()).await;
        self.far.say(rest.as_bytes()).await;
        self.far.say(b"}\n").await;
    }

    /// What the broker says next.
    ///
    /// # Errors
    /// [`Refused`] if it refuses something, or ends the connection.
    pub(super) async fn hear(&mut self) -> Result<Said<'_>, Refused> {
        let (at, end) = loop {
            let unread = self.heard.get(self.at..).unwrap_or_default();
            if let Some(length) = memchr::memchr(b'\n', unread) {
                let at = self.at;
                self.at += length + 1;
                break (at, at + length);
            }
            self.heard.drain(..self.at);
            self.at = 0;
            if !self.far.hear(&mut self.heard).await {
                return Err(Refused::stopping());
            }
        };
        let line = self.heard.get(at..end).unwrap_or_default();
        let said: Said<'_> = serde_json::from_slice(line).map_err(|error| {
            Refused::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", format!("a line of the broker cannot be read: {error}"))
        })?;
        match (said.action, said.message) {
            ("error", Some(why)) => Err(refused(why)),
            // The connection ends; a stream's end names the stream.
            ("close", why) if said.stream.is_none() => Err(why.map_or_else(Refused::stopping, refused)),
            _ => Ok(said),
        }
    }
}

/// The task of a call's connection.
pub(super) type Connection = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

/// The line that shows a token, without its end.
pub(super) fn token_line(token: &Token) -> String {
    serde_json::json!({"action": "auth", "token": token.as_str()}).to_string()
}

fn refused(why: &RawValue) -> Refused {
    match serde_json::from_str::<Why>(why.get()) {
        // What the wire says of it is of no use here.
        Ok(Why { code, .. }) if code == ErrorCode::AuthRequired.as_str() => Refused::by_code(&code, NEEDS_TOKEN.to_owned()),
        Ok(Why { code, reason }) => Refused::by_code(&code, reason),
        Err(_) => Refused::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", why.get().to_owned()),
    }
}
