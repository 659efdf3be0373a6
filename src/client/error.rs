//! The errors of a client.

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
/// assert!(matches!(broker.confirmed().put("$job", "hello").await, Err(ClientError::Refused(reason)) if reason.code == "denied"));
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
    },
    /// The connection was lost, and with it perhaps what had not been confirmed.
    #[error("the connection to the broker was lost: {0}")]
    Lost(String),
    /// The broker refused an action.
    #[error("the broker refused: {0}")]
    Refused(Reason),
    /// A message cannot be written as JSON.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// A stream needs a name.
    #[error("{}", crate::wire::ids::EmptyName)]
    EmptyName,
    /// An action is longer than a broker takes. Nothing of it was sent.
    #[error("it takes {bytes} bytes as a line, and the broker takes {limit} (Options::longest_action, the broker's limits.line)")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The most that there may be.
        limit: ByteSize,
    },
    /// There is no room in the queue now, and the call does not wait.
    #[error("the queue of what is to be sent is full")]
    Full,
}
