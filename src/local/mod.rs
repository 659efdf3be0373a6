//! The broker inside a program, without a socket: [`MessageStream`].
//!
//! The same core and actor as the server's. A listener is an outbox like a connection's, whose far end is not a socket but the
//! [`Listener`] that the program handed in; so all that holds for connections holds here, and both may be mixed.

mod confirmed;
mod error;
mod hearing;
mod keeper;
mod latest_listener;
mod listener;
mod listening;
mod pipe;
mod prefix_listener;
mod publish;
mod publisher;
mod reading;
mod sink;

use std::fmt;
use std::sync::Arc;

use tokio::runtime::Handle;

use crate::broker::assemble::assemble;
use crate::broker::connection::ConnectionContext;
use crate::broker::core::Input;
use crate::broker::server::{BindError, Server};
use crate::broker::settings::Settings;
use crate::job::content::NonFinite;
use crate::wire::ids::{Prefix, StreamName};
use crate::wire::{Listen, Start, Starts};

use hearing::{Aim, Hearing};
use publisher::Publisher;

pub use confirmed::Confirmed;
pub use error::LocalError;
pub use latest_listener::LatestListener;
pub use listener::{Listener, NotTaken};
pub use listening::Listening;
pub use prefix_listener::PrefixListener;

/// A broker in this process. Cheap to clone: all clones are one broker. It ends when the last clone, the last listener and the last
/// server are gone.
///
/// [`put`](Self::put) and [`listen`](Self::listen) return once their place in the order is fixed; everything else returns once it has
/// taken effect.
///
/// ```
/// # use msgstream::client::Event;
/// # use msgstream::local::MessageStream;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), msgstream::local::LocalError> {
/// let broker = MessageStream::new();
/// broker.header("job-1", "half done").await?;
/// let (sender, mut receiver) = tokio::sync::mpsc::channel(100);
/// broker.listen("job-1", sender).await?;
/// broker.put("job-1", &42).await?;
/// broker.close("job-1").await?;
///
/// assert!(matches!(receiver.recv().await, Some(Event::Header(header)) if header == "\"half done\""));
/// assert!(matches!(receiver.recv().await, Some(Event::Message(message)) if message == "42"));
/// assert!(matches!(receiver.recv().await, Some(Event::Ended { message: None })));
/// assert_eq!(receiver.recv().await, None);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct MessageStream {
    context: Arc<ConnectionContext>,
    /// Where its tasks run, wherever it is called from.
    runtime: Handle,
    publisher: Arc<Publisher>,
}

impl MessageStream {
    /// Makes a broker with the default settings. It needs a tokio runtime, and runs on it.
    #[expect(clippy::new_without_default, reason = "it spawns tasks, which a default value should not")]
    pub fn new() -> Self {
        Self::with_settings(&Settings::default())
    }

    /// Makes a broker with other settings. It needs a tokio runtime, and runs on it.
    ///
    /// ```
    /// use msgstream::broker::{Limits, Settings};
    /// use msgstream::local::MessageStream;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let broker = MessageStream::with_settings(&Settings::default().limits(Limits::default().streams(1)));
    /// broker.header("job-1", "the only one").await?;
    /// let error = broker.header("job-2", "one too many").await.unwrap_err();
    /// assert!(error.to_string().contains("limits.streams"));
    /// # Ok(()) }
    /// ```
    pub fn with_settings(settings: &Settings) -> Self {
        let (runtime, (actor, context)) = (Handle::current(), assemble(settings));
        runtime.spawn(actor.run());
        let publisher = Publisher::start(&context, &runtime);
        Self { context, runtime, publisher }
    }

    /// Serves this broker over sockets as well: what is published here reaches listeners there, and vice versa. The server starts with
    /// its `run`. When it stops, the whole broker stops.
    ///
    /// # Errors
    /// [`BindError`] for the first address that the broker cannot listen on.
    ///
    /// ```
    /// # use msgstream::local::MessageStream;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let broker = MessageStream::new();
    /// let server = broker.serve(&["127.0.0.1:0".parse()?], &Default::default())?;
    /// let address = server.addresses()[0].to_string();
    /// tokio::spawn(server.run(std::future::pending(), std::future::pending()));
    ///
    /// // The program sees what a client publishes.
    /// let (sender, mut receiver) = tokio::sync::mpsc::channel(100);
    /// broker.listen("job-1", sender).await?;
    /// msgstream::client::RemoteStream::connect(&address).await?.put("job-1", &42).await?;
    /// assert!(matches!(receiver.recv().await, Some(msgstream::client::Event::Message(message)) if message == "42"));
    /// # Ok(()) }
    /// ```
    pub fn serve(&self, listen: &[Listen], settings: &Settings) -> Result<Server, BindError> {
        Server::bind_with(listen, Vec::new(), settings, Arc::clone(&self.context))
    }

    /// Adds a listener. It gets the header, if there is one, and every later message, until the stream ends, the listener is hung up, or
    /// it accepts no more. See [`Listener`].
    ///
    /// # Errors
    /// [`LocalError::Refused`] if the name is empty; [`LocalError::Ended`]. If a limit is exceeded, the listener gets
    /// [`Event::CutOff`](crate::client::Event::CutOff).
    ///
    /// ```
    /// use msgstream::local::MessageStream;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let broker = MessageStream::new();
    /// // A channel is cut off when it is full; a closure has to be quick.
    /// let (sender, mut receiver) = tokio::sync::mpsc::channel(100);
    /// broker.listen("job-1", sender).await?;
    /// broker.listen("job-1", |event| println!("{event:?}")).await?;
    /// broker.close("job-1").await?;
    /// assert_eq!(receiver.recv().await, Some(msgstream::client::Event::Ended { message: None }));
    /// assert_eq!(receiver.recv().await, None);
    /// # Ok(()) }
    /// ```
    pub async fn listen(&self, stream: &str, listener: impl Listener) -> Result<Listening, LocalError> {
        self.listen_from(stream, Start::default(), listener).await
    }

    /// Adds a listener that begins in what the stream has already had, as
    /// [`RemoteStream::listen_from`](crate::client::RemoteStream::listen_from) does.
    ///
    /// # Errors
    /// As [`listen`](Self::listen).
    ///
    /// ```
    /// use msgstream::client::{Event, Start};
    /// use msgstream::local::MessageStream;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let broker = MessageStream::new();
    /// for k in 1..=5 {
    ///     broker.put("job-1", &k).await?;
    /// }
    /// let (sender, mut receiver) = tokio::sync::mpsc::channel(100);
    /// broker.listen_from("job-1", Start::default().last(2), sender).await?;
    /// assert!(matches!(receiver.recv().await, Some(Event::Message(message)) if message == "4"));
    /// assert!(matches!(receiver.recv().await, Some(Event::Message(message)) if message == "5"));
    /// # Ok(()) }
    /// ```
    pub async fn listen_from(&self, stream: &str, start: Start, listener: impl Listener) -> Result<Listening, LocalError> {
        let stream = StreamName::new(stream).map_err(publisher::empty_name)?;
        keeper::listen(&self.context, &self.runtime, self.publisher.order()?, stream, start, Box::new(listener))
    }

    /// Listens to a stream of which only the newest message is wanted: what waits for this listener is replaced by the newest, until its
    /// program asks for it. See [`LatestListener`].
    ///
    /// # Errors
    /// As [`listen`](Self::listen).
    ///
    /// ```
    /// use msgstream::client::Event;
    /// use msgstream::local::MessageStream;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let broker = MessageStream::new();
    /// let mut job = broker.listen_latest("job-1").await?;
    /// broker.put("job-1", "just begun").await?;
    /// broker.put("job-1", "half done").await?;
    /// broker.flush().await?;
    /// assert_eq!(job.next().await, Some(Event::Skipped { messages: 1 }));
    /// assert!(matches!(job.next().await, Some(Event::Message(message)) if message == "\"half done\""));
    /// # Ok(()) }
    /// ```
    pub async fn listen_latest(&self, stream: &str) -> Result<LatestListener, LocalError> {
        let (name, start) = (StreamName::new(stream).map_err(publisher::empty_name)?, Start::default().latest(true));
        let listen = |receipt| Input::Listen { stream: name, start: Some(Box::new(start)), receipt };
        let reading = keeper::read(&self.context, &self.runtime, self.publisher.order()?, listen)?;
        let stream = Arc::<str>::from(stream);
        Ok(LatestListener::new(Arc::clone(&stream), Hearing::new(reading, Aim::Stream(stream, start))))
    }

    /// Listens to all streams whose names begin so, those that there are and those to come. The empty prefix means all names that do not
    /// begin with `$`; `$streams/` is the directory. See [`PrefixListener`].
    ///
    /// # Errors
    /// [`LocalError::Ended`]. If a limit is exceeded, the last event says so.
    ///
    /// ```
    /// use msgstream::client::Event;
    /// use msgstream::local::MessageStream;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let broker = MessageStream::new();
    /// let mut fits = broker.listen_prefix("fit-").await?;
    /// broker.close("fit-1").await?;
    /// let (stream, event) = fits.next().await.ok_or("no event")?;
    /// assert_eq!((&*stream, event), ("fit-1", Event::Ended { message: None }));
    /// # Ok(()) }
    /// ```
    pub async fn listen_prefix(&self, prefix: &str) -> Result<PrefixListener, LocalError> {
        self.listen_prefix_from(prefix, Starts::default()).await
    }

    /// Listens to all streams whose names begin so, from a place in what they have already had, as far as the broker still has that. See
    /// [`listen_from`](Self::listen_from) and [`PrefixListener::positions`].
    ///
    /// # Errors
    /// As [`listen_prefix`](Self::listen_prefix).
    ///
    /// ```
    /// use msgstream::client::{Event, Starts};
    /// use msgstream::local::MessageStream;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let broker = MessageStream::new();
    /// for k in 1..=5 {
    ///     broker.put("fit-1", &k).await?;
    /// }
    /// let mut fits = broker.listen_prefix_from("fit-", Starts::default().last(2)).await?;
    /// assert!(matches!(fits.next().await, Some((_, Event::Message(message))) if message == "4"));
    /// # Ok(()) }
    /// ```
    pub async fn listen_prefix_from(&self, prefix: &str, starts: Starts) -> Result<PrefixListener, LocalError> {
        let start = (starts != Starts::default()).then(|| Box::new(starts.clone()));
        let listen = |receipt| Input::ListenPrefix { prefix: Prefix::new(prefix), start, receipt, begun: false };
        let reading = keeper::read(&self.context, &self.runtime, self.publisher.order()?, listen)?;
        Ok(PrefixListener::new(prefix.to_owned(), Hearing::new(reading, Aim::Prefix(starts))))
    }

    /// Listens to all streams whose names begin so, to the newest message of each. See [`listen_latest`](Self::listen_latest).
    ///
    /// # Errors
    /// As [`listen_prefix`](Self::listen_prefix).
    ///
    /// ```
    /// use msgstream::client::Event;
    /// use msgstream::local::MessageStream;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let broker = MessageStream::new();
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
    pub async fn listen_prefix_latest(&self, prefix: &str) -> Result<PrefixListener, LocalError> {
        self.listen_prefix_from(prefix, Starts::default().latest(true)).await
    }

    /// Stops a listener and drops it, without a last event. It is no error if it has already ended.
    ///
    /// ```
    /// use msgstream::local::MessageStream;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let broker = MessageStream::new();
    /// let (sender, mut receiver) = tokio::sync::mpsc::channel(100);
    /// let listening = broker.listen("job-1", sender).await?;
    /// broker.hangup(&listening).await;
    /// assert_eq!(receiver.recv().await, None);
    /// # Ok(()) }
    /// ```
    pub async fn hangup(&self, listening: &Listening) {
        listening.wanted.cancel();
        listening.ended().await;
    }

    /// Sets how NaN and infinities are encoded; by default they are refused. This applies to the new handle and its clones.
    ///
    /// ```
    /// use msgstream::client::Event;
    /// use msgstream::job::NonFinite;
    /// use msgstream::local::MessageStream;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let broker = MessageStream::new();
    /// let (sender, receiver) = std::sync::mpsc::channel();
    /// broker.listen("fit", sender).await?;
    /// broker.non_finite(NonFinite::Null).put("fit", &[0.5, f64::NAN]).await?;
    /// broker.flush().await?;
    /// assert!(matches!(receiver.recv()?, Event::Message(message) if message == "[0.5,null]"));
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn non_finite(&self, non_finite: NonFinite) -> Self {
        Self { publisher: self.publisher.with(non_finite), ..self.clone() }
    }

    /// Makes a handle that publishes independently of this one and its clones, like a separate connection: a full listener that holds one
    /// of them back does not hold back the other. This is for programs with several jobs, under the policy
    /// [`Throttle`](crate::broker::settings::Policy::Throttle). There is no order between the two.
    ///
    /// ```
    /// use msgstream::local::MessageStream;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let broker = MessageStream::new();
    /// let other = broker.independent_publisher();
    /// let (sender, mut receiver) = tokio::sync::mpsc::channel(100);
    /// broker.listen("job-2", sender).await?;
    /// other.put("job-2", "hello").await?;
    /// assert!(receiver.recv().await.is_some(), "it is one broker all the same");
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn independent_publisher(&self) -> Self {
        Self { publisher: self.publisher.independent_publisher(), ..self.clone() }
    }
}

impl fmt::Debug for MessageStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageStream").finish_non_exhaustive()
    }
}
