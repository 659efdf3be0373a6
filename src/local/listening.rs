//! The handle of a listener that was handed in.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::wire::Position;
use crate::wire::subscriber::Joined;

/// The handle of a listener, to hang it up or to wait for its end. Dropping the handle changes nothing: the listener goes on.
///
/// ```
/// use msgstream::local::MessageStream;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let broker = MessageStream::new();
/// let (sender, receiver) = std::sync::mpsc::channel();
/// let listening = broker.listen("job-1", sender).await?;
/// broker.close("job-1").await?;
/// listening.ended().await;
/// assert_eq!(receiver.try_iter().count(), 1, "the end itself is there by then");
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Listening {
    pub(super) wanted: CancellationToken,
    pub(super) ended: CancellationToken,
    pub(super) place: Arc<Place>,
}

/// How a listener has joined, and where it is.
#[derive(Debug, Default)]
pub(super) struct Place {
    joined: watch::Sender<Option<Joined>>,
    position: Mutex<Option<Position>>,
}

impl Listening {
    /// Waits until the listener has ended, for any reason.
    pub async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// Waits until the broker has confirmed the listener, and returns how the stream stood at that moment. Returns `None` if the listener
    /// was refused or is gone; its last event says why.
    ///
    /// ```
    /// use msgstream::client::StreamState;
    /// use msgstream::local::MessageStream;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let broker = MessageStream::new();
    /// let listening = broker.listen("job-1", |event| println!("{event:?}")).await?;
    /// assert_eq!(listening.joined().await.map(|joined| joined.state), Some(StreamState::Waiting));
    /// # Ok(()) }
    /// ```
    pub async fn joined(&self) -> Option<Joined> {
        let mut joined = self.place.joined.subscribe();
        tokio::select! {
            biased;
            _ = joined.wait_for(Option::is_some) => {}
            () = self.ended() => {}
        }
        *joined.borrow()
    }

    /// Where the listener is: behind the messages that it has accepted. `None` until the broker has confirmed it.
    ///
    /// ```
    /// use msgstream::local::MessageStream;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let broker = MessageStream::new();
    /// let listening = broker.listen("job-1", |event| println!("{event:?}")).await?;
    /// let receipt = broker.confirmed().put("job-1", "hello").await?;
    /// assert_eq!(listening.position(), receipt.position);
    /// # Ok(()) }
    /// ```
    pub fn position(&self) -> Option<Position> {
        *self.place.position.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// The broker has confirmed the listener.
    pub(super) fn join(&self, joined: Joined) {
        *self.position.lock().unwrap_or_else(PoisonError::into_inner) = joined.position;
        self.joined.send_replace(Some(joined));
    }

    /// The listener has accepted so many messages, or was told that they were skipped.
    pub(super) fn pass(&self, messages: u64) {
        if let Some(position) = &mut *self.position.lock().unwrap_or_else(PoisonError::into_inner) {
            position.sequence = position.sequence.saturating_add(messages);
        }
    }
}
