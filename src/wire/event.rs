//! What the broker tells a client.

use std::time::Duration;

use crate::wire::ids::StreamName;

use super::action::ReceiptId;
use super::error::ErrorCode;
use super::position::{Epoch, Position};
use super::session::SessionName;

/// One event for a client, before it is encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event<'a> {
    /// A message of the stream, or its header.
    Put {
        /// The stream.
        stream: &'a StreamName,
        /// The content, in the encoding of the codec that encodes this event.
        message: &'a [u8],
    },
    /// So many messages were replaced by the one that follows, since the listener wants the newest only.
    Skipped {
        /// The stream.
        stream: &'a StreamName,
        /// How many.
        messages: u64,
    },
    /// The stream has ended.
    Close {
        /// The stream.
        stream: &'a StreamName,
        /// The last message, if there is one.
        message: Option<&'a [u8]>,
    },
    /// This connection ends now. There is a reason if the client did not ask for it.
    CloseConnection {
        /// Why, as a code and a text.
        why: Option<(ErrorCode, &'a str)>,
    },
    /// The action with this receipt has taken effect.
    Receipt {
        /// The value that the client sent.
        receipt: &'a ReceiptId,
        /// What it did.
        effect: Effect,
    },
    /// The listener of a prefix has joined a stream. Its header, if it has one, has come before.
    Joined {
        /// The stream.
        stream: &'a StreamName,
        /// How the stream stands and where the listener begins.
        effect: Effect,
    },
    /// All earlier actions of this connection have taken effect.
    Pong {
        /// The value that the client sent.
        receipt: Option<&'a ReceiptId>,
    },
    /// The connection belongs to a session.
    Session {
        /// The session's name.
        session: &'a SessionName,
        /// Whether the broker knew it before.
        known: bool,
        /// How many action lines of the session have taken effect or been refused.
        taken: u64,
        /// This life of the broker.
        broker: Epoch,
        /// The value that the client sent.
        receipt: Option<&'a ReceiptId>,
    },
    /// An action was refused; the connection goes on.
    Error {
        /// What kind of mistake.
        code: ErrorCode,
        /// What was wrong and what would be right.
        reason: &'a str,
        /// The stream it was about, where known.
        stream: Option<&'a str>,
        /// The value that the client sent, where known.
        receipt: Option<&'a ReceiptId>,
    },
}

/// What an action did, as its receipt tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Effect {
    /// How many listeners were reached (put, close, delete).
    pub listeners: Option<usize>,
    /// How many streams were joined (listen to a prefix).
    pub streams: Option<usize>,
    /// How the stream stands (listen).
    pub state: Option<StreamState>,
    /// Whether the header came before this (listen, to a stream that has ended: the other states tell).
    pub header: Option<bool>,
    /// How long it has stood so (listen).
    pub age: Option<Duration>,
    /// Whether nothing is missing behind the position that was asked for (listen).
    pub resumed: Option<bool>,
    /// How many messages are missing (listen, where that is known).
    pub missed: Option<u64>,
    /// Where the stream stands after this (put, header), or where the listener begins (listen).
    pub position: Option<Position>,
}

/// The state of a stream when a listener joins.
///
/// ```
/// # use msgstream::client::StreamState;
/// let words = [StreamState::Waiting, StreamState::Running, StreamState::Ended].map(StreamState::as_str);
/// assert_eq!(words, ["waiting", "running", "ended"]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamState {
    /// No header yet.
    Waiting,
    /// It has a header.
    Running,
    /// It has ended.
    Ended,
}

impl StreamState {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Ended => "ended",
        }
    }
}
