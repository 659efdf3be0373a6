//! The handle of a client.

use std::sync::Arc;

use tokio::sync::{oneshot, watch};

use crate::wire::{Positions, Start, Starts, Verb};

use super::address::{Connector, ServerAddress};
use super::confirmed::Confirmed;
use super::connection::Connection;
use super::error::ClientError;
use super::gathered::Gathered;
use super::inbox::Inbox;
use super::link::{Link, named};
use super::listener::Listener;
use super::options::Options;
use super::prefix_listener::PrefixListener;
use super::request::bare;
use super::shared::Shared;
use super::state::Line;

/// A connection to a broker. It listens to any number of streams and publishes to any number. Cheap to clone; needs a tokio runtime.
///
/// Publishing waits only for room in a queue that is counted in bytes ([`Options::queue`]). [`flush`](Self::flush) waits until all
/// of it has taken effect. When the last handle and the last listener are dropped, what is queued is still sent as long as the
/// runtime lives, so a program should flush before it ends.
///
/// With [`Options::reconnect`], the client reconnects when the connection is lost. Its listeners go on where they
/// were, as long as the broker still has what they missed; otherwise they get [`Event::Reconnected`](super::Event::Reconnected). It holds a
/// *session* with the broker, which tells how much it has taken. So no action is lost, and none takes effect twice. If the answer to an
/// action was lost with the connection, its receipt says nothing, and a refusal of it is not told.
///
/// If the broker was restarted, or has forgotten the session because the client was away for longer than `limits.session_time`, what the
/// broker has not confirmed is sent again, and a message may arrive twice ([`repeated`](Self::repeated)). What was confirmed is not sent
/// again, except this client's last header of a stream that the broker has lost. Before the client
/// repeats a header, close or delete, it asks the broker for the state of that stream. If the action has already taken effect, it is
/// not repeated. If it would change what somebody else has begun or ended meanwhile, it fails with
/// [`ClientError::Stale`].
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
/// let mut job = broker.listen("job-1").await?;
/// broker.put("job-1", &[1, 2, 3]).await?;
/// broker.close("job-1").await?;
/// let mut received = Vec::new();
/// while let Some(event) = job.next().await {
///     match event {
///         Event::Header(content) | Event::Message(content) => received.push(content.to_string()),
///         Event::Ended { .. } => println!("the job has ended"),
///         other => println!("{other:?}"),
///     }
/// }
/// assert_eq!(received, ["[1,2,3]"]);
/// broker.flush().await?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct RemoteStream {
    pub(super) link: Arc<Link>,
}

impl RemoteStream {
    /// Connects to `host`, `host:port` or `unix:/path`.
    ///
    /// # Errors
    /// [`ClientError::Connect`] if the address is not valid or nobody answers there in time.
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
    /// broker.put("job-1", "hello").await?;
    /// broker.disconnect().await?;
    ///
    /// let error = RemoteStream::connect("http://broker.example").await.unwrap_err();
    /// assert!(error.to_string().contains("no \"http\" transport"));
    /// # Ok(()) }
    /// ```
    pub async fn connect(address: &str) -> Result<Self, ClientError> {
        let connect = |error: &dyn ToString| ClientError::Connect { address: address.to_owned(), reason: error.to_string() };
        let parsed: ServerAddress = address.parse().map_err(|error| connect(&error))?;
        Self::connect_with(parsed, Options::default()).await
    }

    /// Connects, with options. The first attempt must succeed; [`start`](Self::start) also waits for the first connection.
    ///
    /// # Errors
    /// [`ClientError::Connect`] if nobody answers there in time.
    ///
    /// ```
    /// use msgstream::client::{Backoff, Event, Options, RemoteStream};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = msgstream::broker::Server::bind(&["127.0.0.1:0".parse()?], &Default::default())?;
    /// # let address = server.addresses()[0].to_string();
    /// # tokio::spawn(server.run(std::future::pending(), std::future::pending()));
    /// let options = Options::default().reconnect(Backoff::default());
    /// let broker = RemoteStream::connect_with(address.parse()?, options).await?;
    /// let mut job = broker.listen("job-1").await?;
    /// broker.put("job-1", "hello").await?;
    /// assert!(matches!(job.next().await, Some(Event::Message(message)) if message == "\"hello\""));
    /// # Ok(()) }
    /// ```
    pub async fn connect_with(address: ServerAddress, options: Options) -> Result<Self, ClientError> {
        let shared = Shared::new(address, options);
        let connected = shared.connect().await;
        let connected = connected.map_err(|reason| ClientError::Connect { address: shared.address.to_string(), reason })?;
        Ok(Self { link: Link::start(shared, Some(connected)) })
    }

    /// Connects in the background, for programs that must not wait for a broker. Without [`Options::reconnect`] there is only one
    /// attempt.
    ///
    /// ```
    /// use msgstream::client::{Backoff, Event, Options, RemoteStream};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = msgstream::broker::Server::bind(&["127.0.0.1:0".parse()?], &Default::default())?;
    /// # let address = server.addresses()[0].to_string();
    /// # tokio::spawn(server.run(std::future::pending(), std::future::pending()));
    /// let options = Options::default().reconnect(Backoff::default());
    /// let broker = RemoteStream::start(address.parse()?, options);
    /// // Queued until there is a connection.
    /// let mut job = broker.listen("job-1").await?;
    /// broker.put("job-1", "hello").await?;
    /// assert!(matches!(job.next().await, Some(Event::Message(message)) if message == "\"hello\""));
    /// # Ok(()) }
    /// ```
    pub fn start(address: ServerAddress, options: Options) -> Self {
        Self::start_over(address, options)
    }

    /// The same over any transport.
    pub(crate) fn start_over(address: impl Connector, options: Options) -> Self {
        Self { link: Link::start(Shared::new(address, options), None) }
    }

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

    /// Listens to all streams whose names begin so, to the newest message of each. See [`listen_latest`](Self::listen_latest).
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
    /// while fits.positions().get("fit-1").is_none_or(|position| position.sequence < 1000) {
    ///     fits.next().await;
    /// }
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

    /// The same actions, but each waits until it has taken effect.
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
    /// let receipt = broker.confirmed().put("job-1", "anybody there?").await?;
    /// assert_eq!(receipt.listeners, Some(0));
    /// # Ok(()) }
    /// ```
    pub fn confirmed(&self) -> Confirmed<'_> {
        Confirmed::new(&self.link)
    }

    /// Whether this many bytes could be queued now.
    #[cfg(feature = "cli")]
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        self.link.shared.lock().has_room(bytes, self.link.shared.options.queue.0)
    }

    /// Waits until everything sent before has taken effect.
    ///
    /// # Errors
    /// [`ClientError::Refused`] or [`ClientError::Stale`] with the first action since the last flush that the broker refused;
    /// [`ClientError::Lost`] if the connection is lost for good, perhaps with some of what was sent.
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
    /// broker.put("$job", "names that begin with $ are the broker's own").await?;
    /// assert!(matches!(broker.flush().await, Err(ClientError::Refused(reason)) if reason.code == "denied"));
    /// // Told once.
    /// broker.flush().await?;
    /// # Ok(()) }
    /// ```
    pub async fn flush(&self) -> Result<(), ClientError> {
        let receipt = self.link.shared.lock().next_receipt();
        let mut bytes = Vec::with_capacity(64);
        bare(Verb::Ping, None, Some(receipt)).write(self.link.shared.options.non_finite, &mut bytes)?;
        let (answer, answered) = oneshot::channel();
        let line = Line { bytes, answer: Some((receipt, answer)), change: None, is_action: false };
        self.link.send(line).await?;
        answered.await.unwrap_or_else(|_| Err(self.link.lost())).map(|_| ())
    }

    /// The state of the connection, now and whenever it changes.
    ///
    /// ```
    /// use msgstream::client::{Connection, RemoteStream};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = msgstream::broker::Server::bind(&["127.0.0.1:0".parse()?], &Default::default())?;
    /// # let address = server.addresses()[0].to_string();
    /// # tokio::spawn(server.run(std::future::pending(), std::future::pending()));
    /// let broker = RemoteStream::connect(&address).await?;
    /// let connection = broker.connection();
    /// broker.flush().await?;
    /// assert_eq!(*connection.borrow(), Connection::Connected);
    /// broker.disconnect().await?;
    /// assert!(matches!(&*connection.borrow(), Connection::Over { .. }));
    /// # Ok(()) }
    /// ```
    pub fn connection(&self) -> watch::Receiver<Connection> {
        self.link.shared.connection.subscribe()
    }

    /// The number of actions that wait to be sent or, with [`Options::reconnect`], to be confirmed. They would be lost if the program
    /// ended now.
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
    /// broker.put("job-1", "hello").await?;
    /// assert_eq!(broker.waiting(), 1);
    /// broker.flush().await?;
    /// assert_eq!(broker.waiting(), 0);
    /// # Ok(()) }
    /// ```
    pub fn waiting(&self) -> usize {
        self.link.shared.lock().waiting()
    }

    /// The number of actions that were sent again although they may have taken effect, so that their messages may have arrived twice. It
    /// grows only if the broker was restarted or has forgotten this client's session, or may have, or without [`Options::session`].
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
    /// broker.put("job-1", "hello").await?;
    /// assert_eq!(broker.repeated(), 0);
    /// # Ok(()) }
    /// ```
    pub fn repeated(&self) -> usize {
        self.link.shared.lock().repeated()
    }

    /// Waits until everything has taken effect, and then ends the connection for all clones and listeners.
    ///
    /// # Errors
    /// As [`flush`](Self::flush).
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
    /// let clone = broker.clone();
    /// broker.put("job-1", "the last word").await?;
    /// broker.disconnect().await?;
    /// assert!(matches!(clone.put("job-1", "too late").await, Err(ClientError::Lost(_))));
    /// # Ok(()) }
    /// ```
    pub async fn disconnect(self) -> Result<(), ClientError> {
        let flushed = self.flush().await;
        self.link.shared.lock().leaving = true;
        self.link.shared.work.notify_one();
        while !self.link.task.is_finished() {
            let ended = self.link.shared.room.notified();
            if self.link.shared.lock().over.is_some() {
                break;
            }
            ended.await;
        }
        flushed
    }
}
