//! What a program is told: events of a stream, reasons and receipts.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;

use crate::job::content::Content;
use crate::wire::{ErrorCode, Position, StreamState};

/// An event that the listener of a stream gets.
///
/// [`Ended`](Self::Ended), [`CutOff`](Self::CutOff) and [`Lost`](Self::Lost) are the last: nothing comes after them.
///
/// ```
/// # use msgstream::client::{Event, Reason};
/// fn shown(event: &Event) -> String {
///     match event {
///         Event::Header(content) => format!("stands at {content}"),
///         Event::Message(content) => content.to_string(),
///         Event::Ended { .. } => "the job has ended".to_owned(),
///         Event::CutOff(Reason { reason, .. }) | Event::Lost { reason } => format!("{reason}; the job may go on"),
///         Event::Reconnected { missed: Some(missed), .. } => format!("{missed} messages are missing here"),
///         Event::Reconnected { missed: None, .. } => "messages may be missing here".to_owned(),
///         other => format!("{other:?}"),
///     }
/// }
///
/// let lost = Event::Lost { reason: "end of file".to_owned() };
/// assert_eq!(shown(&lost), "end of file; the job may go on");
/// assert!(lost.is_last());
/// assert!(!Event::Reconnected { reason: "end of file".to_owned(), missed: None }.is_last());
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The stream's header when this listener joined, or joined again.
    Header(Content),
    /// A message. None is missing between two consecutive ones, unless [`Skipped`](Self::Skipped) stands between them.
    Message(Content),
    /// So many messages were replaced by the next one, since only the newest is wanted: see
    /// [`RemoteStream::listen_latest`](crate::client::RemoteStream::listen_latest).
    Skipped {
        /// How many.
        messages: u64,
    },
    /// The stream has ended.
    Ended {
        /// The last message, if there is one.
        message: Option<Content>,
    },
    /// This listener was cut off: by the broker, which refused it, is stopping, or found it too slow; or by this client, because the
    /// listener's own queue was full. The stream may go on.
    CutOff(Reason),
    /// The connection failed. The stream may go on.
    Lost {
        /// What failed.
        reason: String,
    },
    /// The client has reconnected, and messages are missing here, or may be. The header follows, if there is one. A listener that comes
    /// back in time misses nothing, and is told nothing. It is also the first event of a listener that was to begin
    /// [`after`](field@crate::client::Start::after) a position, if messages are missing behind that.
    Reconnected {
        /// Why the previous connection was lost, or why the listener does not begin where it was to.
        reason: String,
        /// How many messages are missing. None if the broker cannot tell: it was restarted, say, or another run has begun.
        missed: Option<u64>,
    },
}

impl Event {
    /// Whether this is the last event.
    pub fn is_last(&self) -> bool {
        match self {
            Self::Ended { .. } | Self::CutOff(_) | Self::Lost { .. } => true,
            Self::Header(_) | Self::Message(_) | Self::Skipped { .. } | Self::Reconnected { .. } => false,
        }
    }

    /// How many messages its listener is further behind it.
    pub(crate) fn passes(&self) -> u64 {
        match self {
            Self::Message(_) => 1,
            Self::Skipped { messages } => *messages,
            Self::Header(_) | Self::Ended { .. } | Self::CutOff(_) | Self::Lost { .. } | Self::Reconnected { .. } => 0,
        }
    }

    /// About what it takes in memory, in bytes.
    pub(crate) fn cost(&self) -> usize {
        let text = match self {
            Self::Header(content) | Self::Message(content) | Self::Ended { message: Some(content) } => content.as_str().len(),
            Self::Skipped { .. } | Self::Ended { message: None } => 0,
            Self::CutOff(reason) => reason.reason.len(),
            Self::Lost { reason } | Self::Reconnected { reason, .. } => reason.len(),
        };
        text + size_of::<Self>() + 32
    }
}

/// Why the broker refused an action or ended a connection.
///
/// ```
/// # use msgstream::client::Reason;
/// let reason = Reason::new("limit", "there are 5 streams, the most allowed (limits.streams)");
/// assert_eq!(reason.to_string(), "there are 5 streams, the most allowed (limits.streams) (limit)");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Reason {
    /// The code of the protocol: `slow_listener`, `limit`, `shutdown` and so on.
    pub code: String,
    /// What was wrong, and what would be right.
    pub reason: String,
}

impl Reason {
    /// Makes a reason, for an [`Event::CutOff`].
    pub fn new(code: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { code: code.into(), reason: reason.into() }
    }

    /// Whether the client itself is the cause, so that it would be refused again. This is false for a stopping broker or a full queue, and
    /// for one that has no room now.
    pub(crate) fn is_refusal(&self) -> bool {
        !matches!(&*self.code, "shutdown" | "slow_listener" | "limit")
    }

    /// Whether the broker does not let this client in.
    pub(crate) fn is_auth(&self) -> bool {
        [ErrorCode::AuthRequired, ErrorCode::AuthFailed].iter().any(|code| code.as_str() == self.code)
    }

    /// Whether the broker has said that the client may not do that.
    pub(crate) fn is_denied(&self) -> bool {
        self.code == ErrorCode::Denied.as_str()
    }

    /// Whether the stream does not stand as the action requires.
    pub(crate) fn is_stale(&self) -> bool {
        self.code == ErrorCode::Stale.as_str()
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.reason, self.code)
    }
}

/// The broker's answer to an action.
///
/// ```
/// use msgstream::local::MessageStream;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let broker = MessageStream::new();
/// broker.listen("job-1", |event| println!("{event:?}")).await?;
/// let receipt = broker.close("job-1").await?;
/// assert_eq!(receipt.listeners, Some(1));
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Receipt {
    /// The number of listeners that a put, close or delete has reached.
    pub listeners: Option<usize>,
    /// Where the stream stands after a put or header. None if the broker does not keep the stream.
    pub position: Option<Position>,
}

/// The broker's answer to a listener.
///
/// ```
/// use msgstream::client::StreamState;
/// use msgstream::local::MessageStream;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let broker = MessageStream::new();
/// broker.close("job-1").await?;
/// let joined = broker.listen("job-1", |event| println!("{event:?}")).await?.joined().await.unwrap();
/// assert_eq!(joined.state, StreamState::Ended);
/// assert!(joined.age.is_some_and(|age| age.as_secs() < 60), "it has only just ended");
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Joined {
    /// How the stream stands.
    pub state: StreamState,
    /// How long it has stood so. None if the broker does not say.
    pub age: Option<Duration>,
    /// Whether nothing is missing behind the position that was asked for.
    pub resumed: bool,
    /// How many messages are missing behind that position, where this is known.
    pub missed: Option<u64>,
    /// Where the listener begins: each message that follows counts one. None if the broker does not count.
    pub position: Option<Position>,
    /// Whether what was put directly before this is the header.
    pub(crate) has_header: bool,
}

impl Joined {
    /// What a broker says that says only this.
    #[cfg(test)]
    pub(crate) fn new(state: StreamState) -> Self {
        Self { state, age: None, resumed: false, missed: None, position: None, has_header: state != StreamState::Waiting }
    }
}
