//! Listeners that a program hands in.

use tokio::sync::mpsc as tokio_mpsc;

use crate::wire::subscriber::Event;

/// Something that accepts events: a channel's sender, a closure, or a type of your own.
///
/// It is called by the task that serves all streams, so it must not block or take long. After the [last event](Event::is_last) it is
/// dropped. If it panics, it is dropped as well, and other listeners are not affected.
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicUsize, Ordering};
///
/// use msgstream::client::Event;
/// use msgstream::local::{Listener, MessageStream, NotTaken};
///
/// /// Counts messages.
/// struct Counter(Arc<AtomicUsize>);
///
/// impl Listener for Counter {
///     fn put(&mut self, event: Event) -> Result<(), NotTaken> {
///         self.0.fetch_add(1, Ordering::Relaxed);
///         Ok(())
///     }
///
///     fn close(&mut self, last: Event) {
///         println!("that was all: {last:?}");
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), msgstream::local::LocalError> {
/// let (broker, count) = (MessageStream::new(), Arc::new(AtomicUsize::new(0)));
/// let listening = broker.listen("job-1", Counter(Arc::clone(&count))).await?;
/// broker.put("job-1", "one").await?;
/// broker.put("job-1", "two").await?;
/// broker.close("job-1").await?;
/// listening.ended().await;
/// assert_eq!(count.load(Ordering::Relaxed), 2);
/// # Ok(()) }
/// ```
pub trait Listener: Send + 'static {
    /// Takes a header or a message.
    ///
    /// # Errors
    /// [`NotTaken`]; then nothing more comes.
    fn put(&mut self, event: Event) -> Result<(), NotTaken>;

    /// Accepts the last event, which says how the stream ended.
    fn close(&mut self, last: Event);
}

/// Why a listener did not take an event.
///
/// ```
/// # use msgstream::client::Event;
/// use msgstream::local::{Listener, NotTaken};
///
/// let (mut sender, _receiver) = tokio::sync::mpsc::channel(1);
/// let event = || Event::Reconnected { reason: "an example".to_owned(), missed: None };
/// assert_eq!(sender.put(event()), Ok(()));
/// assert_eq!(sender.put(event()), Err(NotTaken::Full));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotTaken {
    /// It has no room. It is cut off as a slow listener, and [`Listener::close`] tells it.
    Full,
    /// The listener is gone.
    Gone,
}

/// A bounded channel of tokio. If it is full, the listener is cut off: the receiver gets what is in the channel, and then
/// [`Event::CutOff`].
impl Listener for tokio_mpsc::Sender<Event> {
    fn put(&mut self, event: Event) -> Result<(), NotTaken> {
        self.try_send(event).map_err(|error| match error {
            tokio_mpsc::error::TrySendError::Full(_) => NotTaken::Full,
            tokio_mpsc::error::TrySendError::Closed(_) => NotTaken::Gone,
        })
    }

    fn close(&mut self, last: Event) {
        if let Err(tokio_mpsc::error::TrySendError::Full(last)) = self.try_send(last) {
            let sender = self.clone();
            // The end has its place behind what waits; the task lives until the receiver gets there, or is dropped.
            tokio::spawn(async move { drop(sender.send(last).await) });
        }
    }
}

/// An unbounded channel of tokio. Its memory depends on the receiver.
impl Listener for tokio_mpsc::UnboundedSender<Event> {
    fn put(&mut self, event: Event) -> Result<(), NotTaken> {
        self.send(event).map_err(|_| NotTaken::Gone)
    }

    fn close(&mut self, last: Event) {
        // A receiver that is gone needs no end.
        let _ = self.send(last);
    }
}

/// An unbounded channel of the standard library.
impl Listener for std::sync::mpsc::Sender<Event> {
    fn put(&mut self, event: Event) -> Result<(), NotTaken> {
        self.send(event).map_err(|_| NotTaken::Gone)
    }

    fn close(&mut self, last: Event) {
        let _ = self.send(last);
    }
}

/// A bounded channel of the standard library. If it is full, the listener is cut off. If there is no room for the last event, that is
/// lost, and the receiver finds the channel closed without it.
impl Listener for std::sync::mpsc::SyncSender<Event> {
    fn put(&mut self, event: Event) -> Result<(), NotTaken> {
        self.try_send(event).map_err(|error| match error {
            std::sync::mpsc::TrySendError::Full(_) => NotTaken::Full,
            std::sync::mpsc::TrySendError::Disconnected(_) => NotTaken::Gone,
        })
    }

    fn close(&mut self, last: Event) {
        let _ = self.try_send(last);
    }
}

/// A closure, which is called for every event, including the last.
impl<F: FnMut(Event) + Send + 'static> Listener for F {
    fn put(&mut self, event: Event) -> Result<(), NotTaken> {
        self(event);
        Ok(())
    }

    fn close(&mut self, last: Event) {
        self(last);
    }
}
