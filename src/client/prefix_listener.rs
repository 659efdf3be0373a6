//! One listener of all streams whose names begin so, as an async stream of events.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_core::Stream;

use crate::wire::Positions;
use crate::wire::subscriber::Event;

use super::gathered::Gathered;
use super::link::Link;
use super::waiting::Waits;

/// A listener of all streams whose names begin so, those that there are and those to come. Dropping it hangs up.
///
/// It is a [`Stream`] of the streams' names and their [`Event`]s, which are those of a [`Listener`](super::Listener): of each stream in their
/// order, and of one stream after the other in turns. After the last event of a stream the others go on; if the stream begins again, so do
/// its events. **An event of the empty name is of all streams together**: it is the last, and tells why nothing more comes.
///
/// With [`Options::reconnect`](super::Options::reconnect), it goes on in each stream where it was, and gets all that new streams have said
/// meanwhile, as far as the broker still has that. A stream that the broker has forgotten meanwhile has
/// [`Event::Reconnected`](super::Event::Reconnected), as it may have said something more, and then [`Event::Ended`](super::Event::Ended)
/// without a message. So has one in which the listener was to go on and that is not there.
///
/// What waits for it counts for all streams together towards [`Options::listener_queue`](super::Options::listener_queue), and so do the
/// streams themselves, with their names and some 300 bytes. A stream that cannot be joined for a limit of the broker has
/// [`Event::CutOff`](super::Event::CutOff), and the others go on.
///
/// ```
/// use msgstream::client::{Event, RemoteStream};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = msgstream::broker::Server::bind(&["127.0.0.1:0".parse()?], &Default::default())?;
/// # let address = server.addresses()[0].to_string();
/// # tokio::spawn(server.run(std::future::pending(), std::future::pending()));
/// let broker = RemoteStream::connect(&address).await?;
/// broker.header("fit-1", "half done").await?;
///
/// let mut fits = broker.listen_prefix("fit-").await?;
/// assert_eq!((fits.prefix(), fits.joined().await), ("fit-", Some(1)));
/// broker.put("fit-2", &0.5).await?;
///
/// let (stream, event) = fits.next().await.ok_or("no event")?;
/// assert!(&*stream == "fit-1" && matches!(event, Event::Header(header) if header == "\"half done\""));
/// let (stream, event) = fits.next().await.ok_or("no event")?;
/// assert!(&*stream == "fit-2" && matches!(event, Event::Message(message) if message == "0.5"));
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct PrefixListener {
    prefix: String,
    gathered: Arc<Gathered>,
    link: Arc<Link>,
}

impl PrefixListener {
    pub(super) fn new(prefix: String, gathered: Arc<Gathered>, link: Arc<Link>) -> Self {
        Self { prefix, gathered, link }
    }

    /// How the names begin.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Waits for the next event, and returns the stream's name with it. Returns `None` after the last one, which has the empty name. Dropping
    /// the future loses no event.
    pub async fn next(&mut self) -> Option<(Arc<str>, Event)> {
        poll_fn(|cx| self.poll_event(cx)).await
    }

    /// The same, with the words that a stream was joined, in front of its events, and that it was forgotten.
    #[cfg(feature = "cli")]
    pub(crate) async fn next_of_all(&mut self) -> Option<(Arc<str>, Waits)> {
        poll_fn(|cx| self.gathered.poll_next(cx)).await
    }

    /// Waits until all streams that there were have been joined, and returns their number. Returns `None` if the listener was refused or the
    /// connection was lost; then the last event says why.
    pub async fn joined(&self) -> Option<usize> {
        poll_fn(|cx| self.gathered.poll_joined(cx)).await
    }

    /// Where the listener is in each stream that has not ended: behind the messages that [`next`](Self::next) has returned. A program that is
    /// started anew goes on there with [`listen_prefix_from`](super::RemoteStream::listen_prefix_from).
    ///
    /// ```
    /// use msgstream::client::{RemoteStream, Starts};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = msgstream::broker::Server::bind(&["127.0.0.1:0".parse()?], &Default::default())?;
    /// # let address = server.addresses()[0].to_string();
    /// # tokio::spawn(server.run(std::future::pending(), std::future::pending()));
    /// let broker = RemoteStream::connect(&address).await?;
    /// let mut fits = broker.listen_prefix("fit-").await?;
    /// broker.put("fit-1", &1).await?;
    /// fits.next().await;
    /// let positions = fits.positions();
    /// assert_eq!(positions.get("fit-1").map(|position| position.sequence), Some(1));
    ///
    /// // Another time, or another program: what followed.
    /// broker.put("fit-1", &2).await?;
    /// let mut fits = broker.listen_prefix_from("fit-", Starts::default().after(positions)).await?;
    /// assert!(matches!(fits.next().await, Some((_, msgstream::client::Event::Message(message))) if message == "2"));
    /// # Ok(()) }
    /// ```
    pub fn positions(&self) -> Positions {
        self.gathered.positions()
    }

    fn poll_event(&self, cx: &Context<'_>) -> Poll<Option<(Arc<str>, Event)>> {
        loop {
            match ready!(self.gathered.poll_next(cx)) {
                Some((stream, Waits::Event(event))) => return Poll::Ready(Some((stream, event))),
                Some((_, Waits::Joined(_) | Waits::Forgotten)) => {}
                None => return Poll::Ready(None),
            }
        }
    }
}

impl Stream for PrefixListener {
    type Item = (Arc<str>, Event);

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_event(cx)
    }
}

impl Drop for PrefixListener {
    fn drop(&mut self) {
        self.link.leave_prefix(&self.gathered);
    }
}
