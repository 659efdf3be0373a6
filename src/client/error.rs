//! The errors of a client.

use std::fmt;
use std::io;

use crate::job::content::EncodeError;
use crate::wire::subscriber::Reason;
use crate::wire::units::ByteSize;

/// An error of a client.
///
/// ```
/// use msgstream::client::{ClientError, RemoteStream};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = msgstream::broker::Server::bind(&["127.0.0.1:0".parse()?], &Default::default())?;
/// # let address = server.addresses()[0].to_string();
/// # tokio::spawn(server.run(std::future::pending(), std::future::pending()));
/// assert!(matches!(RemoteStream::connect("a broker somewhere").await, Err(ClientError::Connect { .. })));
///
/// let broker = RemoteStream::connect(&address).await?;
/// assert!(matches!(broker.put("", "hello").await, Err(ClientError::EmptyName)));
/// assert!(matches!(broker.put("job-1", &f64::NAN).await, Err(ClientError::Encode(_))));
/// // Names that begin with $ are the broker's own.
/// assert!(matches!(broker.confirmed().put("$job", "hello").await, Err(ClientError::Denied(_))));
/// # Ok(()) }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// No connection could be made.
    #[error("cannot connect to {address}: {reason}")]
    Connect {
        /// Where to.
        address: String,
        /// What the system said.
        reason: String,
        /// The kind of it.
        kind: io::ErrorKind,
    },
    /// The connection was lost. What had not been confirmed may be lost too.
    #[error("the connection to the broker was lost: {0}")]
    Lost(String),
    /// The broker refused an action.
    #[error("the broker refused: {0}")]
    Refused(Reason),
    /// The client may not do that: its token has no right to it, or the stream is one of the broker's own.
    #[error("the broker refused: {0}")]
    Denied(Reason),
    /// The broker does not let the client in: it needs a token ([`Options::token`](super::Options::token)), or the one that it has shown is
    /// not known, has expired, or was revoked. The client does not try again.
    #[error("the broker does not let this client in: {0} (Options::token)")]
    AuthFailed(Reason),
    /// The action was meant for a run of the stream that is over, or for a stream without a header and end; see
    /// [`Confirmed::of`](super::Confirmed::of). Nothing has happened. Also an action that a new connection did not repeat, because
    /// somebody else has begun or ended the stream meanwhile.
    #[error("not done: {0}")]
    Stale(Reason),
    /// A message cannot be written as JSON.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The name of the stream is empty.
    #[error("{}", crate::wire::ids::EmptyName)]
    EmptyName,
    /// An action is longer than a broker accepts. Nothing of it was sent.
    #[error("the action has {bytes} bytes as a line, and the broker accepts {limit} (Options::longest_action, the broker's limits.line)")]
    TooLong {
        /// Its length, in bytes.
        bytes: usize,
        /// The longest that is allowed, in bytes.
        limit: ByteSize,
    },
    /// The queue is full, and the call does not wait.
    #[error("the send queue is full (Options::queue)")]
    Full,
}

impl ClientError {
    pub(super) fn connect(address: impl fmt::Display, error: &io::Error) -> Self {
        Self::Connect { address: address.to_string(), reason: error.to_string(), kind: error.kind() }
    }
}

impl From<Reason> for ClientError {
    fn from(reason: Reason) -> Self {
        match reason {
            reason if reason.is_auth() => Self::AuthFailed(reason),
            reason if reason.is_denied() => Self::Denied(reason),
            reason if reason.is_stale() => Self::Stale(reason),
            reason => Self::Refused(reason),
        }
    }
}
