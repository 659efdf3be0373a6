//! A listener inside the program of all streams whose names begin so.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use futures_core::Stream;

use crate::wire::Positions;
use crate::wire::subscriber::Event;

use super::hearing::{Answer, Hearing};

/// A listener of all streams whose names begin so, those that there are and those to come. Dropping it hangs up.
///
/// It is a [`Stream`] of the streams' names and their [`Event`]s. Those that there are come in the order of their names, each with its header
/// if it has one, and as fast as [`next`](Self::next) asks for them; those to come, at their birth. After the last event of a stream the
/// others go on, and if the stream begins again, so do its events. **An event of the empty name is of all streams together**: it is the
/// last, and tells why nothing more comes.
///
/// What waits for it is held to `outbox.limit`, by default 64 MiB: beyond it the listener is cut off, or under the policy
/// [`Throttle`](crate::broker::settings::Policy::Throttle) holds its publishers back. So is what its streams' names take in the program, with
/// some 130 bytes for each. A stream that cannot be joined for a limit of the broker has [`Event::CutOff`], and the others go on.
///
/// The prefix `$streams/` is the broker's directory, which tells how each stream stands:
///
/// ```
/// use msgstream::client::Event;
/// use msgstream::local::MessageStream;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let broker = MessageStream::new();
/// broker.header("fit-1", "half done").await?;
///
/// let mut fits = broker.listen_prefix("fit-").await?;
/// assert_eq!((fits.prefix(), fits.joined().await), ("fit-", Some(1)));
/// broker.put("fit-2", &0.5).await?;
/// let (stream, event) = fits.next().await.ok_or("no event")?;
/// assert!(&*stream == "fit-1" && matches!(event, Event::Header(header) if header == "\"half done\""));
/// let (stream, event) = fits.next().await.ok_or("no event")?;
/// assert!(&*stream == "fit-2" && matches!(event, Event::Message(message) if message == "0.5"));
///
/// let mut directory = broker.listen_prefix("$streams/").await?;
/// let Some((stream, Event::Header(entry))) = directory.next().await else { panic!("no entry") };
/// let entry: serde_json::Value = serde_json::from_str(entry.as_str())?;
/// assert!(&*stream == "$streams/fit-1" && entry["state"] == "running" && entry["listeners"] == 1);
/// # Ok(()) }
/// ```
pub struct PrefixListener {
    prefix: String,
    hearing: Mutex<Hearing>,
}

impl PrefixListener {
    pub(super) fn new(prefix: String, hearing: Hearing) -> Self {
        Self { prefix, hearing: Mutex::new(hearing) }
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

    /// Waits until all streams that there were have been joined, and returns their number. What comes before that waits for
    /// [`next`](Self::next), within `outbox.limit`; with more than that, take it by `next` instead. Returns `None` if the listener was refused
    /// or has ended; then the last event says why.
    pub async fn joined(&self) -> Option<usize> {
        let answer = poll_fn(|cx| self.hearing.lock().unwrap_or_else(PoisonError::into_inner).poll_answer(cx)).await;
        if let Some(Answer::Prefix(streams)) = answer { Some(streams) } else { None }
    }

    /// Where the listener is in each stream that has not ended: behind the messages that [`next`](Self::next) has returned. Another listener
    /// goes on there with [`listen_prefix_from`](super::MessageStream::listen_prefix_from).
    ///
    /// ```
    /// use msgstream::client::{Event, Starts};
    /// use msgstream::local::MessageStream;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let broker = MessageStream::new();
    /// let mut fits = broker.listen_prefix("fit-").await?;
    /// broker.put("fit-1", &1).await?;
    /// fits.next().await;
    /// let positions = fits.positions();
    /// assert_eq!(positions.get("fit-1").map(|position| position.sequence), Some(1));
    ///
    /// broker.put("fit-1", &2).await?;
    /// let mut fits = broker.listen_prefix_from("fit-", Starts::default().after(positions)).await?;
    /// assert!(matches!(fits.next().await, Some((_, Event::Message(message))) if message == "2"));
    /// # Ok(()) }
    /// ```
    pub fn positions(&self) -> Positions {
        self.hearing.lock().unwrap_or_else(PoisonError::into_inner).positions()
    }

    fn poll_event(&mut self, cx: &Context<'_>) -> Poll<Option<(Arc<str>, Event)>> {
        self.hearing.get_mut().unwrap_or_else(PoisonError::into_inner).poll_next(cx)
    }
}

impl Stream for PrefixListener {
    type Item = (Arc<str>, Event);

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_event(cx)
    }
}

impl fmt::Debug for PrefixListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrefixListener").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}
