//! The broker inside a program, without a socket: [`MessageStream`].
//!
//! The same core and actor as the server's. A listener is an outbox like a connection's, whose far end is not a socket but
//! whatever the program handed in; so all that holds for connections holds here, and both may be mixed.

mod keeper;
mod listener;
mod publisher;
mod sink;

use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::broker::Input;
use crate::client::{Reason, Receipt};
use crate::connection::Shared;
use crate::content::{EncodeError, NonFinite};
use crate::ids::StreamName;
use crate::server::{self, BindError, Listen, Server, Settings};

use publisher::Publisher;

pub use listener::{Listener, NotTaken};

/// A broker in this process. Cheap to clone: all clones are one broker, which ends with the last of them, the last listener
/// and the last server.
///
/// [`put`](Self::put) returns once the message has its place in the order; everything else returns once it has taken effect.
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
    shared: Arc<Shared>,
    /// Where its tasks live, whoever calls.
    runtime: Handle,
    publisher: Arc<Publisher>,
}

/// What can go wrong with a broker in this process.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// The message cannot be written as JSON.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The action was refused; the reason names the limit.
    #[error("refused: {0}")]
    Refused(Reason),
    /// The broker has ended: a server on it has stopped, or its runtime has.
    #[error("the broker has ended")]
    Ended,
}

/// Somebody who listens, to hang up by. Dropping it changes nothing: whoever was handed in listens on.
#[derive(Debug, Clone)]
pub struct Listening {
    wanted: CancellationToken,
    ended: CancellationToken,
}

impl Listening {
    /// Waits until it listens no more, for whatever reason.
    pub async fn ended(&self) {
        self.ended.cancelled().await;
    }
}

impl MessageStream {
    /// A broker with the usual settings. Needs a tokio runtime, on which it lives.
    #[expect(clippy::new_without_default, reason = "it spawns tasks, which a default value should not")]
    pub fn new() -> Self {
        Self::with_settings(&Settings::default())
    }

    /// A broker with settings of its own. Needs a tokio runtime, on which it lives.
    pub fn with_settings(settings: &Settings) -> Self {
        let (runtime, (actor, shared)) = (Handle::current(), server::assemble(settings));
        runtime.spawn(actor.run());
        runtime.spawn(server::keep_time(Arc::downgrade(&shared), server::tick(settings)));
        let publisher = Publisher::start(&shared, &runtime);
        Self { shared, runtime, publisher }
    }

    /// Serves this broker over sockets as well: what is published here reaches listeners there, and the other way round.
    /// The server begins with its `run`; when it stops, so does the whole broker.
    ///
    /// # Errors
    /// [`BindError`] for the first address that cannot be listened on.
    ///
    /// ```
    /// # use msgstream::local::MessageStream;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let broker = MessageStream::new();
    /// let server = broker.serve(&["127.0.0.1:0".parse()?], &Default::default())?;
    /// println!("listening on {}", server.addresses()[0]);
    /// tokio::spawn(server.run(std::future::pending(), std::future::pending()));
    /// # Ok(()) }
    /// ```
    pub fn serve(&self, listen: &[Listen], settings: &Settings) -> Result<Server, BindError> {
        Server::bind_shared(listen, settings, Arc::clone(&self.shared))
    }

    /// Sends a message to every listener of the stream. Waits only for room in the broker's mailbox and,
    /// under the policy [`Throttle`](crate::outbox::Policy::Throttle), while a listener is full that this handle or a clone of
    /// it has sent to, as a publisher over a socket would; see [`apart`](Self::apart). Dropped while it waits, it has sent
    /// nothing.
    ///
    /// # Errors
    /// [`LocalError`].
    pub async fn put<M: Serialize + ?Sized>(&self, stream: &str, message: &M) -> Result<(), LocalError> {
        let (stream, run) = self.publisher.message(stream, message)?;
        self.publisher.tell(Input::Put { stream, run, header: None, receipt: None }).await
    }

    /// Sends a message and makes `header` the stream's header in the same step: whoever joins sees each update exactly once.
    ///
    /// # Errors
    /// [`LocalError`]; if the header is refused, so is the message.
    pub async fn put_with_header<M, H>(&self, stream: &str, message: &M, header: &H) -> Result<Receipt, LocalError>
    where
        M: Serialize + ?Sized,
        H: Serialize + ?Sized,
    {
        let (stream, run) = self.publisher.message(stream, message)?;
        let header = Some(self.publisher.header(&stream, header)?);
        self.publisher.ask(|receipt| Input::Put { stream, run, header, receipt }).await
    }

    /// Replaces the stream's header, which whoever joins gets first. Reopens a stream that has ended.
    ///
    /// # Errors
    /// [`LocalError`].
    pub async fn header<H: Serialize + ?Sized>(&self, stream: &str, header: &H) -> Result<(), LocalError> {
        let stream = self.publisher.name(stream)?;
        let header = self.publisher.header(&stream, header)?;
        self.publisher.ask(|receipt| Input::Header { stream, header, receipt }).await.map(|_| ())
    }

    /// Ends the stream. Its header stays for those who join later, for a time.
    ///
    /// # Errors
    /// [`LocalError`].
    pub async fn close(&self, stream: &str) -> Result<Receipt, LocalError> {
        let (stream, last) = self.publisher.close(stream, None::<&()>)?;
        self.publisher.ask(|receipt| Input::Close { stream, last, receipt }).await
    }

    /// Ends the stream with a last message.
    ///
    /// # Errors
    /// [`LocalError`].
    pub async fn close_with<M: Serialize + ?Sized>(&self, stream: &str, message: &M) -> Result<Receipt, LocalError> {
        let (stream, last) = self.publisher.close(stream, Some(message))?;
        self.publisher.ask(|receipt| Input::Close { stream, last, receipt }).await
    }

    /// Forgets the stream, header and all; its listeners see it end.
    ///
    /// # Errors
    /// [`LocalError`].
    pub async fn delete(&self, stream: &str) -> Result<Receipt, LocalError> {
        let (stream, last) = self.publisher.close(stream, None::<&()>)?;
        self.publisher.ask(|receipt| Input::Delete { stream, last, receipt }).await
    }

    /// Waits until everything sent before has taken effect.
    ///
    /// # Errors
    /// [`LocalError::Ended`].
    pub async fn flush(&self) -> Result<(), LocalError> {
        // To hang up where it does not listen is the cheapest thing that is answered.
        self.publisher.ask_at_once(|receipt| Input::Hangup { stream: None, receipt }).await.map(|_| ())
    }

    /// Hands in a listener: it gets the header, if there is one, and every later message, until the stream ends, it is hung
    /// up, or it takes no more. See [`Listener`].
    ///
    /// # Errors
    /// [`LocalError`].
    pub async fn listen(&self, stream: &str, listener: impl Listener) -> Result<Listening, LocalError> {
        let stream = StreamName::new(stream).map_err(publisher::empty_name)?;
        keeper::listen(&self.shared, &self.runtime, stream, Box::new(listener)).await
    }

    /// Stops a listener: it is dropped, without another word. One that has ended is no error.
    pub async fn hangup(&self, listening: &Listening) {
        listening.wanted.cancel();
        listening.ended().await;
    }

    /// What becomes of NaN and the infinities in what is published: they are refused, unless this says otherwise. Counts for
    /// this handle and the clones made of it.
    #[must_use]
    pub fn non_finite(&self, non_finite: NonFinite) -> Self {
        Self { publisher: self.publisher.with(non_finite), ..self.clone() }
    }

    /// A handle that publishes apart from this one and its clones, as over a connection of its own: a full listener that holds
    /// one of them back does not hold the other. For programs with several jobs, under the policy
    /// [`Throttle`](crate::outbox::Policy::Throttle). Between the two there is no order.
    #[must_use]
    pub fn apart(&self) -> Self {
        Self { publisher: self.publisher.apart(), ..self.clone() }
    }
}

impl fmt::Debug for MessageStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageStream").finish_non_exhaustive()
    }
}
