//! The actions of a client, each with its receipt.

use serde::Serialize;
use tokio::sync::oneshot;

use crate::wire::subscriber::Receipt;
use crate::wire::{Epoch, Verb};

use super::error::ClientError;
use super::link::Link;
use super::request::{Condition, Request, alone};

/// The actions of a [`RemoteStream`](super::RemoteStream). Each waits until it has taken effect, and returns the broker's receipt.
/// For messages and ends, the receipt gives the number of listeners reached; for messages and headers, where the stream stands.
///
/// ```
/// use msgstream::client::RemoteStream;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = msgstream::broker::Server::bind(&["127.0.0.1:0".parse()?], &Default::default())?;
/// # let address = server.addresses()[0].to_string();
/// # tokio::spawn(server.run(std::future::pending(), std::future::pending()));
/// let broker = RemoteStream::connect(&address).await?;
/// let listener = broker.listen("job-1").await?;
/// assert_eq!(broker.confirmed().header("job-1", "begun").await?.listeners, None);
/// assert_eq!(broker.confirmed().put("job-1", &1).await?.listeners, Some(1));
/// assert_eq!(broker.confirmed().put_with_header("job-1", &2, "at 2").await?.listeners, Some(1));
/// assert_eq!(broker.confirmed().close_with("job-1", "done").await?.listeners, Some(1));
/// // The end was told: nobody listens any more.
/// assert_eq!(broker.confirmed().close("job-1").await?.listeners, Some(0));
/// assert_eq!(broker.confirmed().delete("job-1").await?.listeners, Some(0));
/// # Ok(()) }
/// ```
///
/// Each run of a stream has an epoch of its own, which receipts tell. Actions [`of`](Self::of) a run never touch a later one:
///
/// ```
/// use msgstream::client::{ClientError, RemoteStream};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = msgstream::broker::Server::bind(&["127.0.0.1:0".parse()?], &Default::default())?;
/// # let address = server.addresses()[0].to_string();
/// # tokio::spawn(server.run(std::future::pending(), std::future::pending()));
/// let broker = RemoteStream::connect(&address).await?;
/// // Of several that begin the job, only one does.
/// let receipt = broker.confirmed().header_if_absent("job-1", "begun").await?;
/// assert!(matches!(broker.confirmed().header_if_absent("job-1", "me too").await, Err(ClientError::Stale(_))));
///
/// let run = receipt.position.ok_or("the broker is an older one")?.epoch;
/// broker.confirmed().of(run).put("job-1", "half done").await?;
/// broker.confirmed().of(run).close("job-1").await?;
/// broker.header("job-1", "begun again").await?;
/// assert!(matches!(broker.confirmed().of(run).close("job-1").await, Err(ClientError::Stale(_))));
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Confirmed<'r> {
    link: &'r Link,
    condition: Condition,
    durable: bool,
}

impl<'r> Confirmed<'r> {
    pub(super) fn new(link: &'r Link) -> Self {
        Self { link, condition: Condition::None, durable: false }
    }

    /// The same actions, but only for this run of the stream: if another has begun, or if the stream does not exist, they fail with
    /// [`ClientError::Stale`]. So does a header, also with a message, if the run has ended.
    #[must_use]
    pub fn of(self, run: Epoch) -> Self {
        Self { condition: Condition::Of(run), ..self }
    }

    /// The same actions, but their receipts wait until what was done outlives a crash of the broker and of its machine. Headers, ends and
    /// deletions can be durable, messages cannot. If the broker has no store, or for a message, they fail with [`ClientError::Refused`], and
    /// nothing is done. If the broker has taken the action and the connection is lost before its word that it is durable, they fail with
    /// [`ClientError::Lost`], although the client connects again: the action has taken effect, and should be done again to be sure.
    ///
    /// ```
    /// use msgstream::client::{ClientError, RemoteStream};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = msgstream::broker::Server::bind(&["127.0.0.1:0".parse()?], &Default::default())?;
    /// # let address = server.addresses()[0].to_string();
    /// # tokio::spawn(server.run(std::future::pending(), std::future::pending()));
    /// let broker = RemoteStream::connect(&address).await?;
    /// let refused = broker.confirmed().durable().close_with("job-1", "done").await;
    /// assert!(matches!(refused, Err(ClientError::Refused(error)) if error.reason.contains("store.path")));
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn durable(self) -> Self {
        Self { durable: true, ..self }
    }

    /// As [`RemoteStream::put`](super::RemoteStream::put).
    ///
    /// # Errors
    /// [`ClientError::Refused`] or [`ClientError::Stale`] if the broker refused it; otherwise as for that method.
    pub async fn put<M: Serialize + ?Sized>(&self, stream: &str, message: &M) -> Result<Receipt, ClientError> {
        self.send(Verb::Put, stream, Some(message), None::<&()>).await
    }

    /// As [`RemoteStream::put_with_header`](super::RemoteStream::put_with_header).
    ///
    /// # Errors
    /// [`ClientError::Refused`] or [`ClientError::Stale`] if the broker refused it; otherwise as for that method.
    pub async fn put_with_header<M, H>(&self, stream: &str, message: &M, header: &H) -> Result<Receipt, ClientError>
    where
        M: Serialize + ?Sized,
        H: Serialize + ?Sized,
    {
        self.send(Verb::Put, stream, Some(message), Some(header)).await
    }

    /// As [`RemoteStream::header`](super::RemoteStream::header).
    ///
    /// # Errors
    /// [`ClientError::Refused`] or [`ClientError::Stale`] if the broker refused it; otherwise as for that method.
    pub async fn header<H: Serialize + ?Sized>(&self, stream: &str, header: &H) -> Result<Receipt, ClientError> {
        self.send(Verb::Header, stream, Some(header), None::<&()>).await
    }

    /// Sets the header if the stream has none and has not ended, so that of several who begin a stream only one does.
    ///
    /// # Errors
    /// As [`header`](Self::header); [`ClientError::Stale`] if the stream has a header or has ended.
    pub async fn header_if_absent<H: Serialize + ?Sized>(&self, stream: &str, header: &H) -> Result<Receipt, ClientError> {
        let absent = Self { condition: Condition::Absent, ..*self };
        absent.send(Verb::Header, stream, Some(header), None::<&()>).await
    }

    /// As [`RemoteStream::close`](super::RemoteStream::close).
    ///
    /// # Errors
    /// [`ClientError::Refused`] or [`ClientError::Stale`] if the broker refused it; otherwise as for that method.
    pub async fn close(&self, stream: &str) -> Result<Receipt, ClientError> {
        self.send(Verb::Close, stream, None::<&()>, None::<&()>).await
    }

    /// As [`RemoteStream::close_with`](super::RemoteStream::close_with).
    ///
    /// # Errors
    /// [`ClientError::Refused`] or [`ClientError::Stale`] if the broker refused it; otherwise as for that method.
    pub async fn close_with<M: Serialize + ?Sized>(&self, stream: &str, message: &M) -> Result<Receipt, ClientError> {
        self.send(Verb::Close, stream, Some(message), None::<&()>).await
    }

    /// As [`RemoteStream::delete`](super::RemoteStream::delete).
    ///
    /// # Errors
    /// [`ClientError::Refused`] or [`ClientError::Stale`] if the broker refused it; otherwise as for that method.
    pub async fn delete(&self, stream: &str) -> Result<Receipt, ClientError> {
        self.send(Verb::Delete, stream, None::<&()>, None::<&()>).await
    }

    async fn send<M, H>(&self, action: Verb, stream: &str, message: Option<&M>, header: Option<&H>) -> Result<Receipt, ClientError>
    where
        M: Serialize + ?Sized,
        H: Serialize + ?Sized,
    {
        let (answer, answered) = oneshot::channel();
        let request = Request { message, header, condition: self.condition, durable: self.durable, ..alone(action, stream) };
        let line = self.link.line(request, Some(answer))?;
        self.link.send(line).await?;
        answered.await.unwrap_or_else(|_| Err(self.link.lost()))
    }
}
