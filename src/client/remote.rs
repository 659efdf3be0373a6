//! The handle of a client.

use std::io;
use std::sync::Arc;

use tokio::sync::{oneshot, watch};

use crate::wire::Verb;

use super::address::{Connector, ServerAddresses, Way};
use super::confirmed::Confirmed;
use super::connection::Connection;
use super::error::ClientError;
use super::link::Link;
use super::options::Options;
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
/// not repeated. If it would change what somebody else has begun or ended meanwhile, even while it is on its way, it fails with
/// [`ClientError::Stale`]; if nobody waits for its receipt, the next [`flush`](Self::flush) does.
/// What begins a stream of which nothing has been confirmed yet is sent as if for the first time.
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
    /// Connects to `host`, `host:port`, `tls://host:port` or `unix:/path`.
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
        let connect = |error: &dyn ToString| ClientError::Connect {
            address: address.to_owned(),
            reason: error.to_string(),
            kind: io::ErrorKind::InvalidInput,
        };
        let parsed: ServerAddresses = address.parse().map_err(|error| connect(&error))?;
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
    pub async fn connect_with(addresses: ServerAddresses, options: Options) -> Result<Self, ClientError> {
        let shared = Shared::new(Way::new(addresses, &options), options);
        let connected = shared.connect().await;
        let connected = connected.map_err(|error| ClientError::connect(&*shared.address, &error))?;
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
    pub fn start(addresses: ServerAddresses, options: Options) -> Self {
        Self::start_over(Way::new(addresses, &options), options)
    }

    /// The same over any transport.
    pub(crate) fn start_over(address: impl Connector, options: Options) -> Self {
        Self { link: Link::start(Shared::new(address, options), None) }
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
    /// assert!(matches!(broker.flush().await, Err(ClientError::Denied(_))));
    /// // Told once.
    /// broker.flush().await?;
    /// # Ok(()) }
    /// ```
    pub async fn flush(&self) -> Result<(), ClientError> {
        let receipt = self.link.shared.lock().next_receipt();
        let mut bytes = Vec::with_capacity(64);
        bare(Verb::Ping, None, Some(receipt)).write(self.link.shared.options.non_finite, &mut bytes)?;
        let (answer, answered) = oneshot::channel();
        let line = Line { bytes, answer: Some((receipt, answer)), change: None, is_action: false, is_durable: false };
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
