//! How a client listens.

use std::sync::Arc;

use crate::wire::{Positions, Start, Starts};

use super::error::ClientError;
use super::gathered::Gathered;
use super::inbox::Inbox;
use super::link::named;
use super::listener::Listener;
use super::prefix_listener::PrefixListener;
use super::remote::RemoteStream;

impl RemoteStream {
    /// Listens to a stream, which need not exist yet.
    ///
    /// Returns once the request is queued, which may have to wait for room like a message. [`Listener::joined`] waits for the broker's
    /// answer. If a stream has several listeners, each gets the header and every message.
    ///
    /// # Errors
    /// [`ClientError::EmptyName`], or [`ClientError::Lost`] if the connection is lost for good.
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
    /// let (mut one, mut other) = (broker.listen("job-1").await?, broker.listen("job-1").await?);
    /// broker.put("job-1", &42).await?;
    /// assert!(matches!(one.next().await, Some(Event::Message(message)) if message == "42"));
    /// assert!(matches!(other.next().await, Some(Event::Message(message)) if message == "42"));
    /// # Ok(()) }
    /// ```
    pub async fn listen(&self, stream: &str) -> Result<Listener, ClientError> {
        self.listen_from(stream, Start::default()).await
    }

    /// Listens to a stream from a place in what it has already had, as far as the broker still has that.
    ///
    /// With [`Start::last`](field@Start::last) the last messages come between the header and those that follow. With
    /// [`Start::after`](field@Start::after) all that followed a position comes, without a header. If the broker does not have all of it,
    /// the first event is [`Event::Reconnected`](super::Event::Reconnected), and then comes the header.
    ///
    /// # Errors
    /// As [`listen`](Self::listen).
    ///
    /// ```
    /// use msgstream::client::{Event, RemoteStream, Start};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = msgstream::broker::Server::bind(&["127.0.0.1:0".parse()?], &Default::default())?;
    /// # let address = server.addresses()[0].to_string();
    /// # tokio::spawn(server.run(std::future::pending(), std::future::pending()));
    /// let broker = RemoteStream::connect(&address).await?;
    /// for k in 1..=5 {
    ///     broker.put("job-1", &k).await?;
    /// }
    /// let mut listener = broker.listen_from("job-1", Start::default().last(2)).await?;
    /// assert!(matches!(listener.next().await, Some(Event::Message(message)) if message == "4"));
    ///
    /// // Another time, or another program: what followed.
    /// let position = listener.position();
    /// let mut listener = broker.listen_from("job-1", Start::default().after(position)).await?;
    /// assert!(matches!(listener.next().await, Some(Event::Message(message)) if message == "5"));
    /// # Ok(()) }
    /// ```
    pub async fn listen_from(&self, stream: &str, start: Start) -> Result<Listener, ClientError> {
        named(stream)?;
        let inbox = Inbox::new(self.link.shared.options.listener_queue, start.latest);
        // About what the line takes; the room for hanging up again is paid by who listens next.
        let first = self.link.with_room(stream.len() + 64, |state| state.listen(stream, start, Arc::clone(&inbox))).await?;
        self.link.tell_if(first);
        Ok(Listener::new(stream.to_owned(), inbox, Arc::clone(&self.link)))
    }

    /// Listens to a stream of which only the newest message is wanted: what waits for this listener, in the broker or here, is replaced
    /// by the newest. [`Event::Skipped`](super::Event::Skipped) tells how many messages were replaced by the one that follows. The listener
    /// is never cut off for being slow at this stream. If another listener of the stream on this connection wants each message, the broker
    /// sends each, and they are replaced here.
    ///
    /// # Errors
    /// As [`listen`](Self::listen).
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
    /// let mut job = broker.listen_latest("job-1").await?;
    /// for step in 1..=1000 {
    ///     broker.put("job-1", &step).await?;
    /// }
    /// broker.flush().await?;
    /// let (mut position, mut last) = (0, 0);
    /// while position < 1000 {
    ///     match job.next().await {
    ///         Some(Event::Skipped { messages }) => position += messages,
    ///         Some(Event::Message(message)) => {
    ///             position += 1;
    ///             last = message.as_str().parse()?;
    ///         }
    ///         other => panic!("{other:?}"),
    ///     }
    /// }
    /// assert_eq!(last, 1000);
    /// # Ok(()) }
    /// ```
    pub async fn listen_latest(&self, stream: &str) -> Result<Listener, ClientError> {
        self.listen_from(stream, Start::default().latest(true)).await
    }

    /// Listens to all streams whose names begin so, those that there are and those to come. The empty prefix means all names that do not
    /// begin with `$`.
    ///
    /// Returns once the request is queued; [`PrefixListener::joined`] waits until all streams that there are have been joined. A stream may
    /// also have listeners of its own on this connection, or match several prefixes: each listener gets each of its events once.
    ///
    /// # Errors
    /// [`ClientError::Lost`] if the connection is lost for good. If the broker refuses the listener, its last event says why.
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
    /// let mut fits = broker.listen_prefix("fit-").await?;
    /// broker.close("fit-1").await?;
    /// let (stream, event) = fits.next().await.ok_or("no event")?;
    /// assert_eq!((&*stream, event), ("fit-1", Event::Ended { message: None }));
    /// # Ok(()) }
    /// ```
    pub async fn listen_prefix(&self, prefix: &str) -> Result<PrefixListener, ClientError> {
        self.listen_prefix_from(prefix, Starts::default()).await
    }

    /// Listens to all streams whose names begin so, from a place in what they have already had, as far as the broker still has that. See
    /// [`listen_from`](Self::listen_from) and [`PrefixListener::positions`].
    ///
    /// # Errors
    /// As [`listen_prefix`](Self::listen_prefix).
    ///
    /// ```
    /// use msgstream::client::{Event, RemoteStream, Starts};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = msgstream::broker::Server::bind(&["127.0.0.1:0".parse()?], &Default::default())?;
    /// # let address = server.addresses()[0].to_string();
    /// # tokio::spawn(server.run(std::future::pending(), std::future::pending()));
    /// let broker = RemoteStream::connect(&address).await?;
    /// for k in 1..=5 {
    ///     broker.put("fit-1", &k).await?;
    /// }
    /// let mut fits = broker.listen_prefix_from("fit-", Starts::default().last(2)).await?;
    /// assert!(matches!(fits.next().await, Some((_, Event::Message(message))) if message == "4"));
    /// # Ok(()) }
    /// ```
    pub async fn listen_prefix_from(&self, prefix: &str, starts: Starts) -> Result<PrefixListener, ClientError> {
        let gathered = Gathered::new(self.link.shared.options.listener_queue, starts.latest);
        // About what the line takes; the room for hanging up again is paid by who listens next.
        let room = prefix.len() + 64 + starts.after.iter().flat_map(Positions::iter).map(|(stream, _)| stream.len() + 64).sum::<usize>();
        let first = self.link.with_room(room, |state| state.listen_prefix(prefix, starts, Arc::clone(&gathered))).await?;
        self.link.tell_if(first);
        Ok(PrefixListener::new(prefix.to_owned(), gathered, Arc::clone(&self.link)))
    }

    /// Listens to all streams whose names begin so, to the newest message of each. See [`listen_latest`](Self::listen_latest). The newest of
    /// all streams together are held to [`Options::listener_queue`](super::Options::listener_queue); beyond it the listener is cut off.
    ///
    /// # Errors
    /// As [`listen_prefix`](Self::listen_prefix).
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
    /// let mut fits = broker.listen_prefix_latest("fit-").await?;
    /// for step in 1..=1000 {
    ///     broker.put("fit-1", &step).await?;
    /// }
    /// broker.flush().await?;
    /// let mut newest = None;
    /// while fits.positions().get("fit-1").is_none_or(|position| position.sequence < 1000) {
    ///     newest = fits.next().await;
    /// }
    /// assert!(matches!(newest, Some((_, Event::Message(message))) if message == "1000"));
    /// # Ok(()) }
    /// ```
    pub async fn listen_prefix_latest(&self, prefix: &str) -> Result<PrefixListener, ClientError> {
        self.listen_prefix_from(prefix, Starts::default().latest(true)).await
    }

    /// Stops all listeners of a prefix on this connection. Their last event is [`Event::CutOff`](super::Event::CutOff), of the empty name.
    /// To stop one [`PrefixListener`], drop it.
    ///
    /// # Errors
    /// As [`listen_prefix`](Self::listen_prefix).
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
    /// let mut fits = broker.listen_prefix("fit-").await?;
    /// broker.hangup_prefix("fit-").await?;
    /// assert!(matches!(fits.next().await, Some((all, Event::CutOff(reason))) if all.is_empty() && reason.code == "hangup"));
    /// assert_eq!(fits.next().await, None);
    /// # Ok(()) }
    /// ```
    pub async fn hangup_prefix(&self, prefix: &str) -> Result<(), ClientError> {
        let first = self.link.with_room(0, |state| state.hang_up_prefix(prefix)).await?;
        self.link.tell_if(first);
        Ok(())
    }

    /// Stops all listeners of a stream on this connection, but for those of a prefix. Their last event is [`Event::CutOff`](super::Event::CutOff). To stop one
    /// [`Listener`], drop it.
    ///
    /// # Errors
    /// As [`listen`](Self::listen).
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
    /// let mut listener = broker.listen("job-1").await?;
    /// broker.hangup("job-1").await?;
    /// assert!(matches!(listener.next().await, Some(Event::CutOff(reason)) if reason.code == "hangup"));
    /// assert_eq!(listener.next().await, None);
    /// # Ok(()) }
    /// ```
    pub async fn hangup(&self, stream: &str) -> Result<(), ClientError> {
        named(stream)?;
        let first = self.link.with_room(0, |state| state.hang_up(stream)).await?;
        self.link.tell_if(first);
        Ok(())
    }
}
