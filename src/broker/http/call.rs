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
    /// Where the next line begins, or goes on.
    at: usize,
    /// There is no end of a line before this place: no byte is searched twice, however long a line is.
    searched: usize,
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
        let call = Self { far, heard: Vec::new(), at: 0, searched: 0 };
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
        let end = loop {
            match self.end() {
                Some(end) => break end,
                None => self.more().await?,
            }
        };
        let at = std::mem::replace(&mut self.at, end + 1);
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

    /// Passes over lines, up to one that begins in one of these ways, and says in which. It is yet to be heard, or [entered](Self::enter).
    ///
    /// # Errors
    /// As of [`hear`](Self::hear).
    pub(super) async fn pass_to(&mut self, ways: &[&[u8]]) -> Result<usize, Refused> {
        loop {
            for (way, begin) in ways.iter().enumerate() {
                if self.goes_on(begin).await? {
                    return Ok(way);
                }
            }
            self.hear().await?;
        }
    }

    /// Whether what comes next, up to the end of a line, begins so.
    ///
    /// # Errors
    /// If the broker ends the connection.
    pub(super) async fn goes_on(&mut self, begin: &[u8]) -> Result<bool, Refused> {
        loop {
            let unread = self.heard.get(self.at..).unwrap_or_default();
            if unread.len() >= begin.len() || !begin.starts_with(unread) {
                return Ok(unread.starts_with(begin));
            }
            self.more().await?;
        }
    }

    /// Enters the line that [goes on](Self::goes_on) so. What follows that comes in [parts](Self::part), however long it is.
    pub(super) fn enter(&mut self, begin: &[u8]) {
        self.at += begin.len();
    }

    /// The next part of a line that was entered, without the brace that ends it, and whether it is the last.
    ///
    /// # Errors
    /// If the broker ends the connection.
    pub(super) async fn part(&mut self) -> Result<(Vec<u8>, bool), Refused> {
        loop {
            let end = self.end();
            // What has come last may be the brace.
            let to = end.unwrap_or(self.heard.len()).saturating_sub(1);
            if to > self.at || end.is_some() {
                let part = self.heard.get(self.at..to).unwrap_or_default().to_vec();
                self.at = end.map_or(to, |end| end + 1);
                return Ok((part, end.is_some()));
            }
            self.more().await?;
        }
    }

    /// Where the line ends that comes next, if its end has come.
    fn end(&mut self) -> Option<usize> {
        let from = self.searched.max(self.at);
        let end = memchr::memchr(b'\n', self.heard.get(from..).unwrap_or_default()).map(|length| from + length);
        self.searched = end.unwrap_or(self.heard.len());
        end
    }

    /// Waits for more.
    async fn more(&mut self) -> Result<(), Refused> {
        self.heard.drain(..self.at);
        self.searched = self.searched.saturating_sub(self.at);
        self.at = 0;
        if self.far.hear(&mut self.heard).await { Ok(()) } else { Err(Refused::stopping()) }
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
