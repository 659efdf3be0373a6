//! What can go wrong with a broker in this process.

use crate::client::Reason;
use crate::job::content::EncodeError;

/// An error of a broker in this process.
///
/// ```
/// use msgstream::local::{LocalError, MessageStream};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let broker = MessageStream::new();
/// assert!(matches!(broker.put("", "hello").await, Err(LocalError::Refused(reason)) if reason.code == "bad_stream"));
/// assert!(matches!(broker.put("$job", "hello").await, Err(LocalError::Refused(reason)) if reason.code == "denied"));
/// assert!(matches!(broker.put("job-1", &f64::INFINITY).await, Err(LocalError::Encode(_))));
/// # Ok(()) }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LocalError {
    /// The message cannot be written as JSON.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The action was refused; the reason names the limit.
    #[error("refused: {0}")]
    Refused(Reason),
    /// The action was meant for a run of the stream that is over, or for a stream without a header and end. Nothing has happened.
    #[error("not done: {0}")]
    Stale(Reason),
    /// The broker has ended, because one of its servers or its runtime has stopped; or this publisher has
    /// [disconnected](super::MessageStream::disconnect).
    #[error("the broker has ended, or this publisher has disconnected")]
    Ended,
}

impl From<Reason> for LocalError {
    fn from(reason: Reason) -> Self {
        if reason.is_stale() { Self::Stale(reason) } else { Self::Refused(reason) }
    }
}
