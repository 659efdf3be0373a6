//! The actions of a program, each with its receipt.

use serde::Serialize;

use crate::broker::core::Input;
use crate::wire::subscriber::Receipt;
use crate::wire::{Epoch, Verb};

use super::error::LocalError;
use super::publisher::Publisher;

/// The actions of a [`MessageStream`](super::MessageStream), as [`client::Confirmed`](crate::client::Confirmed) has them: each waits until
/// it has taken effect, returns the broker's receipt, and may depend on how the stream stands.
///
/// ```
/// use msgstream::local::{LocalError, MessageStream};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let broker = MessageStream::new();
/// let run = broker.confirmed().header_if_absent("job-1", "begun").await?.position.expect("the broker keeps it").epoch;
/// assert!(matches!(broker.confirmed().header_if_absent("job-1", "me too").await, Err(LocalError::Stale(_))));
/// let first = broker.confirmed().of(run);
/// first.put("job-1", &1).await?;
/// first.put_with_header("job-1", &2, "at 2").await?;
/// first.header("job-1", "at the end").await?;
/// first.close_with("job-1", "done").await?;
///
/// // Another run has begun: what belongs to the first does not touch it.
/// broker.header("job-1", "begun again").await?;
/// assert!(matches!(first.close("job-1").await, Err(LocalError::Stale(_))));
/// assert!(matches!(first.delete("job-1").await, Err(LocalError::Stale(_))));
/// # Ok(()) }
/// ```
#[derive(Clone, Copy)]
pub struct Confirmed<'p> {
    publisher: &'p Publisher,
    of: Option<Epoch>,
}

impl<'p> Confirmed<'p> {
    pub(super) fn new(publisher: &'p Publisher) -> Self {
        Self { publisher, of: None }
    }

    /// The same actions, but only for this run of the stream: if it is over or another has begun, they fail with
    /// [`LocalError::Stale`].
    #[must_use]
    pub fn of(self, run: Epoch) -> Self {
        Self { of: Some(run), ..self }
    }

    /// As [`MessageStream::put`](super::MessageStream::put).
    ///
    /// # Errors
    /// As for that method, and [`LocalError::Stale`].
    pub async fn put<M: Serialize + ?Sized>(&self, stream: &str, message: &M) -> Result<Receipt, LocalError> {
        let (stream, run) = self.publisher.message(stream, message)?;
        self.publisher.ask(|receipt| Input::put(stream, run, None, receipt).of(self.of)).await
    }

    /// As [`MessageStream::put_with_header`](super::MessageStream::put_with_header).
    ///
    /// # Errors
    /// As for that method, and [`LocalError::Stale`].
    pub async fn put_with_header<M, H>(&self, stream: &str, message: &M, header: &H) -> Result<Receipt, LocalError>
    where
        M: Serialize + ?Sized,
        H: Serialize + ?Sized,
    {
        let (stream, run) = self.publisher.message(stream, message)?;
        let header = Some(self.publisher.header(&stream, header)?);
        self.publisher.ask(|receipt| Input::put(stream, run, header, receipt).of(self.of)).await
    }

    /// As [`MessageStream::header`](super::MessageStream::header).
    ///
    /// # Errors
    /// As for that method, and [`LocalError::Stale`].
    pub async fn header<H: Serialize + ?Sized>(&self, stream: &str, header: &H) -> Result<Receipt, LocalError> {
        self.set(stream, header, false).await
    }

    /// Sets the header if the stream has none and has not ended, so that of several who begin a stream only one does.
    ///
    /// # Errors
    /// As [`header`](Self::header); [`LocalError::Stale`] if the stream has a header or has ended.
    pub async fn header_if_absent<H: Serialize + ?Sized>(&self, stream: &str, header: &H) -> Result<Receipt, LocalError> {
        self.set(stream, header, true).await
    }

    /// As [`MessageStream::close`](super::MessageStream::close).
    ///
    /// # Errors
    /// As for that method, and [`LocalError::Stale`].
    pub async fn close(&self, stream: &str) -> Result<Receipt, LocalError> {
        self.end(stream, None::<&()>).await
    }

    /// As [`MessageStream::close_with`](super::MessageStream::close_with).
    ///
    /// # Errors
    /// As for that method, and [`LocalError::Stale`].
    pub async fn close_with<M: Serialize + ?Sized>(&self, stream: &str, message: &M) -> Result<Receipt, LocalError> {
        self.end(stream, Some(message)).await
    }

    /// As [`MessageStream::delete`](super::MessageStream::delete).
    ///
    /// # Errors
    /// As for that method, and [`LocalError::Stale`].
    pub async fn delete(&self, stream: &str) -> Result<Receipt, LocalError> {
        let (stream, last) = self.publisher.last(Verb::Delete, stream, None::<&()>)?;
        self.publisher.ask(|receipt| Input::Delete { stream, last, of: self.of, receipt }).await
    }

    async fn set<H: Serialize + ?Sized>(&self, stream: &str, header: &H, absent: bool) -> Result<Receipt, LocalError> {
        let stream = self.publisher.name(Verb::Header, stream)?;
        let header = self.publisher.header(&stream, header)?;
        self.publisher.ask(|receipt| Input::Header { stream, header, of: self.of, absent, receipt }).await
    }

    async fn end<M: Serialize + ?Sized>(&self, stream: &str, message: Option<&M>) -> Result<Receipt, LocalError> {
        let (stream, last) = self.publisher.last(Verb::Close, stream, message)?;
        self.publisher.ask(|receipt| Input::Close { stream, last, of: self.of, receipt }).await
    }
}

impl std::fmt::Debug for Confirmed<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Confirmed").field("of", &self.of).finish_non_exhaustive()
    }
}
