//! The actions of a client, each with its receipt.

use serde::Serialize;
use tokio::sync::oneshot;

use super::event::ClientError;
use super::remote::RemoteStream;
use super::state::Receipt;

/// The actions of a [`RemoteStream`], each of which waits until it has taken effect, and tells how many were reached.
///
/// ```no_run
/// # async fn example(broker: msgstream::client::RemoteStream) -> Result<(), msgstream::client::ClientError> {
/// let receipt = broker.confirmed().put("job-1", "hello").await?;
/// println!("{:?} listeners", receipt.listeners);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Confirmed<'r> {
    remote: &'r RemoteStream,
}

impl<'r> Confirmed<'r> {
    pub(super) fn new(remote: &'r RemoteStream) -> Self {
        Self { remote }
    }

    /// As [`RemoteStream::put`].
    ///
    /// # Errors
    /// [`ClientError::Refused`] if the broker refused it; otherwise as there.
    pub async fn put<M: Serialize + ?Sized>(&self, stream: &str, message: &M) -> Result<Receipt, ClientError> {
        self.send("put", stream, Some(message), None::<&()>).await
    }

    /// As [`RemoteStream::put_with_header`].
    ///
    /// # Errors
    /// [`ClientError::Refused`] if the broker refused it; otherwise as there.
    pub async fn put_with_header<M, H>(&self, stream: &str, message: &M, header: &H) -> Result<Receipt, ClientError>
    where
        M: Serialize + ?Sized,
        H: Serialize + ?Sized,
    {
        self.send("put", stream, Some(message), Some(header)).await
    }

    /// As [`RemoteStream::header`].
    ///
    /// # Errors
    /// [`ClientError::Refused`] if the broker refused it; otherwise as there.
    pub async fn header<H: Serialize + ?Sized>(&self, stream: &str, header: &H) -> Result<Receipt, ClientError> {
        self.send("header", stream, Some(header), None::<&()>).await
    }

    /// As [`RemoteStream::close`].
    ///
    /// # Errors
    /// [`ClientError::Refused`] if the broker refused it; otherwise as there.
    pub async fn close(&self, stream: &str) -> Result<Receipt, ClientError> {
        self.send("close", stream, None::<&()>, None::<&()>).await
    }

    /// As [`RemoteStream::close_with`].
    ///
    /// # Errors
    /// [`ClientError::Refused`] if the broker refused it; otherwise as there.
    pub async fn close_with<M: Serialize + ?Sized>(&self, stream: &str, message: &M) -> Result<Receipt, ClientError> {
        self.send("close", stream, Some(message), None::<&()>).await
    }

    /// As [`RemoteStream::delete`].
    ///
    /// # Errors
    /// [`ClientError::Refused`] if the broker refused it; otherwise as there.
    pub async fn delete(&self, stream: &str) -> Result<Receipt, ClientError> {
        self.send("delete", stream, None::<&()>, None::<&()>).await
    }

    async fn send<M, H>(&self, action: &'static str, stream: &str, message: Option<&M>, header: Option<&H>) -> Result<Receipt, ClientError>
    where
        M: Serialize + ?Sized,
        H: Serialize + ?Sized,
    {
        let (answer, answered) = oneshot::channel();
        let line = self.remote.line(action, stream, message, header, Some(answer))?;
        self.remote.send(line).await?;
        answered.await.unwrap_or_else(|_| Err(self.remote.lost()))
    }
}
