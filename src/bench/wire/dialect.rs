//! What the generator needs to know of a protocol.

use anyhow::Result;

use super::super::content::{ContentKind, LoadContent};
use super::template::Template;
use super::unit::Unit;

/// A protocol, as the generator needs it.
pub(crate) trait Dialect: Sync {
    /// What messages contain: JSON, unless the protocol has an encoding of its own.
    ///
    /// # Errors
    /// If there is no content of that size.
    fn content(&self, kind: ContentKind, size: usize) -> Result<LoadContent> {
        LoadContent::json(kind, size)
    }
    /// Whether the broker says something before the encryption begins, which is one line.
    fn is_greeted_in_clear(&self) -> bool {
        false
    }
    /// The path by which a stream is listened to, where messages travel within HTTP. Such a listener of `None` says itself what it
    /// wants, at [`entrance`](Self::entrance).
    fn path(&self, _stream: usize) -> Option<String> {
        None
    }
    /// The path of a WebSocket on which the protocol is spoken.
    fn entrance(&self) -> &'static str {
        "/ws"
    }
    /// The registered name of what is spoken on a WebSocket, in binary messages; `None`: lines of text.
    fn subprotocol(&self) -> Option<&'static str> {
        None
    }
    /// What each message to a listener by HTTP is to be preceded by as it is read, where the path alone says of which stream it is.
    fn label(&self, _stream: usize) -> String {
        String::new()
    }
    /// Whether a listener by a path is told that it has joined, as by an answer to a ping.
    fn tells_joins(&self) -> bool {
        false
    }
    /// What a connection says first.
    fn hello(&self) -> Vec<u8> {
        Vec::new()
    }
    /// Listens to a stream. Nothing where a path does that.
    fn listen(&self, _stream: usize) -> Vec<u8> {
        Vec::new()
    }
    /// Hangs up a stream, where that can be said.
    fn hangup(&self, _stream: usize) -> Vec<u8> {
        Vec::new()
    }
    /// Asks for an answer that proves all before it to have taken effect, where there is such a thing.
    fn ping(&self) -> Vec<u8> {
        Vec::new()
    }
    /// Answers the broker's ping.
    fn pong(&self) -> &'static [u8] {
        b""
    }
    /// Stores content for those who join later; `None` if the protocol has no such thing.
    fn store(&self, _stream: usize, _content: &LoadContent) -> Option<Vec<u8>> {
        None
    }
    /// A message as it is published.
    fn published(&self, stream: usize, content: &LoadContent) -> Template;
    /// A message as a listener receives it.
    fn delivered(&self, stream: usize, content: &LoadContent) -> Template;
    /// Whether every published message is answered by [`Unit::Published`].
    fn answers_each(&self) -> bool {
        false
    }
    /// The length and the meaning of the first whole unit of what a broker sent; `None` if it is not whole yet.
    fn unit(&self, bytes: &[u8]) -> Result<Option<(usize, Unit)>>;
}
