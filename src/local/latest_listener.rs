//! A listener inside the program that wants the newest message only.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use futures_core::Stream;

use crate::wire::Position;
use crate::wire::subscriber::{Event, Joined};

use super::hearing::{Answer, Hearing};

/// A listener of the newest message of a stream: what waits for it is replaced by the newest, until [`next`](Self::next) asks for it. So it
/// may be as slow as it likes; [`Event::Skipped`] tells how many messages were replaced by the one that follows. It is a
/// [`Stream`] of [`Event`]s. Dropping it hangs up.
///
/// ```
/// use msgstream::client::{Event, StreamState};
/// use msgstream::local::MessageStream;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let broker = MessageStream::new();
/// let mut job = broker.listen_latest("job-1").await?;
/// assert_eq!((job.stream(), job.joined().await.map(|joined| joined.state)), ("job-1", Some(StreamState::Waiting)));
/// for step in 1..=1000 {
///     broker.put("job-1", &step).await?;
/// }
/// broker.close("job-1").await?;
/// assert_eq!(job.next().await, Some(Event::Skipped { messages: 999 }));
/// assert!(matches!(job.next().await, Some(Event::Message(message)) if message == "1000"));
/// assert_eq!(job.position().map(|position| position.sequence), Some(1000));
/// assert_eq!(job.next().await, Some(Event::Ended { message: None }));
/// assert_eq!(job.next().await, None);
/// # Ok(()) }
/// ```
pub struct LatestListener {
    stream: Arc<str>,
    hearing: Mutex<Hearing>,
}

impl LatestListener {
    pub(super) fn new(stream: Arc<str>, hearing: Hearing) -> Self {
        Self { stream, hearing: Mutex::new(hearing) }
    }

    /// The stream's name.
    pub fn stream(&self) -> &str {
        &self.stream
    }

    /// Waits for the next event. Returns `None` after the last one. Dropping the future loses no event.
    pub async fn next(&mut self) -> Option<Event> {
        poll_fn(|cx| self.poll_event(cx)).await
    }

    /// Waits until the broker has confirmed the listener, and returns how the stream stood at that moment. Returns `None` if the listener was
    /// refused; then the last event says why.
    pub async fn joined(&self) -> Option<Joined> {
        let answer = poll_fn(|cx| self.hearing.lock().unwrap_or_else(PoisonError::into_inner).poll_answer(cx)).await;
        if let Some(Answer::Stream(joined)) = answer { Some(joined) } else { None }
    }

    /// Where the listener is: behind the messages that [`next`](Self::next) has returned, or said to have been skipped. `None` until it has
    /// returned the first, and after the end.
    pub fn position(&self) -> Option<Position> {
        self.hearing.lock().unwrap_or_else(PoisonError::into_inner).position(&self.stream)
    }

    fn poll_event(&mut self, cx: &Context<'_>) -> Poll<Option<Event>> {
        let hearing = self.hearing.get_mut().unwrap_or_else(PoisonError::into_inner);
        hearing.poll_next(cx).map(|next| next.map(|(_, event)| event))
    }
}

impl Stream for LatestListener {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        self.poll_event(cx)
    }
}

impl fmt::Debug for LatestListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LatestListener").field("stream", &self.stream).finish_non_exhaustive()
    }
}
