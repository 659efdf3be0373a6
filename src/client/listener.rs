//! One listener of one stream, as an async stream of events.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;

use crate::wire::Position;
use crate::wire::subscriber::{Event, Joined};

use super::inbox::Inbox;
use super::link::Link;

/// A listener of one stream. Dropping it hangs up.
///
/// It is a [`Stream`] of [`Event`]s; [`next`](Self::next) needs no crate for streams.
///
/// ```
/// use msgstream::client::{Event, RemoteStream, StreamState};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = msgstream::broker::Server::bind(&["127.0.0.1:0".parse()?], &Default::default())?;
/// # let address = server.addresses()[0].to_string();
/// # tokio::spawn(server.run(std::future::pending(), std::future::pending()));
/// let broker = RemoteStream::connect(&address).await?;
/// broker.header("job-1", "half done").await?;
///
/// let mut listener = broker.listen("job-1").await?;
/// assert_eq!(listener.stream(), "job-1");
/// assert_eq!(listener.joined().await.map(|joined| joined.state), Some(StreamState::Running));
/// broker.close("job-1").await?;
///
/// assert!(matches!(listener.next().await, Some(Event::Header(header)) if header == "\"half done\""));
/// assert_eq!(listener.next().await, Some(Event::Ended { message: None }));
/// assert_eq!(listener.next().await, None);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Listener {
    stream: String,
    inbox: Arc<Inbox>,
    link: Arc<Link>,
}

impl Listener {
    pub(super) fn new(stream: String, inbox: Arc<Inbox>, link: Arc<Link>) -> Self {
        Self { stream, inbox, link }
    }

    /// The stream's name.
    pub fn stream(&self) -> &str {
        &self.stream
    }

    /// Waits for the next event. Returns `None` after the last one. Dropping the future loses no event.
    pub async fn next(&mut self) -> Option<Event> {
        poll_fn(|cx| self.inbox.poll_next(cx)).await
    }

    /// Waits until the broker has confirmed the listener, and returns how the stream stood at that moment. If that was
    /// [`Running`](crate::client::StreamState::Running), the header is the first event. Returns `None` if the listener was refused or the
    /// connection was lost; then the first event says why.
    pub async fn joined(&self) -> Option<Joined> {
        poll_fn(|cx| self.inbox.poll_joined(cx)).await
    }

    /// Where the listener is: behind the messages that [`next`](Self::next) has returned. A program that is started anew goes on there
    /// with [`listen_from`](crate::client::RemoteStream::listen_from). `None` until the broker has confirmed the listener.
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
    /// let mut listener = broker.listen("job-1").await?;
    /// let receipt = broker.confirmed().put("job-1", "hello").await?;
    /// listener.next().await;
    /// assert_eq!(listener.position(), receipt.position);
    /// # Ok(()) }
    /// ```
    pub fn position(&self) -> Option<Position> {
        self.inbox.position()
    }
}

impl Stream for Listener {
    type Item = Event;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        self.inbox.poll_next(cx)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.link.hang_up(&self.stream, &self.inbox);
    }
}
