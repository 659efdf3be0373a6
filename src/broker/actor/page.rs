//! What a list of connections says, and how it is asked for.

use std::time::Duration;

use tokio::sync::oneshot;

use crate::broker::outbox::TransportKind;
use crate::wire::ids::ConnectionId;

/// The most connections of one page.
pub const LONGEST_PAGE: usize = 1000;

/// One connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its number. It is given to another one after its end.
    pub id: ConnectionId,
    /// Who is at the other end.
    pub peer: String,
    /// What kind of way there is to it.
    pub kind: TransportKind,
    /// The name of its encoding.
    pub encoding: &'static str,
    /// How long it has been there, in whole seconds.
    pub age: Duration,
    /// How many streams and prefixes it listens to.
    pub listens: usize,
    /// What waits for it, in bytes.
    pub queued: usize,
    /// The name that its token is listed under, if there is one. The actor does not know it: whoever asks may join it.
    pub name: Option<Box<str>>,
}

/// Some of the connections, by their number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// They.
    pub connections: Vec<Listed>,
    /// The last one, if more may follow: the next page is what comes after it.
    pub next: Option<ConnectionId>,
}

/// A page that is asked for.
#[derive(Debug)]
pub struct Ask {
    /// Those behind this one; none means from the first on.
    pub(super) after: Option<ConnectionId>,
    /// No more than so many.
    pub(super) most: usize,
    pub(super) answer: oneshot::Sender<Page>,
}
