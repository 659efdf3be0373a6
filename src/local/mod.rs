//! The broker inside a program, without a socket: [`MessageStream`].
//!
//! The same core and actor as the server's. A listener is an outbox like a connection's, whose far end is not a socket but the
//! [`Listener`] that the program handed in; so all that holds for connections holds here, and both may be mixed.

mod confirmed;
mod error;
mod keeper;
mod listener;
mod listening;
mod publisher;
mod sink;

use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use tokio::runtime::Handle;

use crate::broker::assemble::assemble;
use crate::broker::connection::ConnectionContext;
use crate::broker::core::Input;
use crate::broker::server::{BindError, Server};
use crate::broker::settings::Settings;
use crate::job::content::NonFinite;
use crate::wire::ids::StreamName;
use crate::wire::subscriber::Receipt;
use crate::wire::{Listen, Start, Verb};

use publisher::Publisher;

pub use confirmed::Confirmed;
pub use error::LocalError;
pub use listener::{Listener, NotTaken};
pub use listening::Listening;

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
        Server::bind_with(listen, settings, Arc::clone(&self.context))
    }

    /// Sends a message to every listener of the stream. It waits only for room in the broker's mailbox and, under the policy
    /// [`Throttle`](crate::broker::settings::Policy::Throttle), for a full listener that this handle or a clone of it publishes to, like
    /// a publisher over a socket; see [`independent_publisher`](Self::independent_publisher). If the future is dropped while it waits,
    /// nothing is sent.
    ///
    /// # Errors
    /// [`LocalError::Refused`] if the name is empty, too long or reserved for the broker; [`LocalError::Encode`] if the message cannot be
    /// written as JSON; [`LocalError::Ended`].
    ///
    /// ```
    /// use msgstream::client::Event;
    /// use msgstream::local::MessageStream;
    /// use msgstream::job::monitor::{Message, Progress};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let broker = MessageStream::new();
    /// let (sender, mut receiver) = tokio::sync::mpsc::channel(100);
    /// broker.listen("job-1", sender).await?;
    /// broker.put("job-1", &[1.5, 2.5]).await?;
    /// broker.put("job-1", "a text is a message as well").await?;
    /// broker.put("job-1", &Message::from(Progress::new(3.0).of(10.0))).await?;
    /// assert!(matches!(receiver.recv().await, Some(Event::Message(message)) if message == "[1.5,2.5]"));
    /// # Ok(()) }
    /// ```
    pub async fn put<M: Serialize + ?Sized>(&self, stream: &str, message: &M) -> Result<(), LocalError> {
        let (stream, run) = self.publisher.message(stream, message)?;
        self.publisher.tell(Input::put(stream, run, None, None)).await
    }

    /// Sends a message and makes `header` the stream's header in the same step, so that new listeners see each update exactly once.
    ///
    /// # Errors
    /// As [`header`](Self::header); if the header is refused, so is the message.
    ///
    /// ```
    /// use msgstream::client::Event;
    /// use msgstream::local::MessageStream;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let broker = MessageStream::new();
    /// let receipt = broker.put_with_header("job-1", &3, "3 of 10").await?;
    /// assert_eq!(receipt.listeners, Some(0));
    ///
    /// let (sender, receiver) = std::sync::mpsc::channel();
    /// broker.listen("job-1", sender).await?;
    /// broker.put_with_header("job-1", &4, "4 of 10").await?;
    /// assert!(matches!(receiver.recv()?, Event::Header(header) if header == "\"3 of 10\""));
    /// assert!(matches!(receiver.recv()?, Event::Message(message) if message == "4"));
    /// # Ok(()) }
    /// ```
    pub async fn put_with_header<M, H>(&self, stream: &str, message: &M, header: &H) -> Result<Receipt, LocalError>
    where
        M: Serialize + ?Sized,
        H: Serialize + ?Sized,
    {
        let (stream, run) = self.publisher.message(stream, message)?;
        let header = Some(self.publisher.header(&stream, header)?);
        self.publisher.ask(|receipt| Input::put(stream, run, header, receipt)).await
    }

    /// Sets the stream's header, the first thing that new listeners get. Reopens the stream if it has ended.
    ///
    /// # Errors
    /// As [`put`](Self::put), and [`LocalError::Refused`] beyond a limit: `limits.header`, `limits.headers_total` or
    /// `limits.streams`.
    ///
    /// ```
    /// use msgstream::client::Event;
    /// use msgstream::local::MessageStream;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let broker = MessageStream::new();
    /// broker.header("job-1", &serde_json::json!({ "k": 5, "total": 10 })).await?;
    /// let (sender, mut receiver) = tokio::sync::mpsc::channel(100);
    /// broker.listen("job-1", sender).await?;
    /// assert!(matches!(receiver.recv().await, Some(Event::Header(header)) if header == r#"{"k":5,"total":10}"#));
    /// # Ok(()) }
    /// ```
    pub async fn header<H: Serialize + ?Sized>(&self, stream: &str, header: &H) -> Result<(), LocalError> {
        let stream = self.publisher.name(Verb::Header, stream)?;
        let header = self.publisher.header(&stream, header)?;
        self.publisher.ask(|receipt| Input::Header { stream, header, of: None, absent: false, receipt }).await.map(|_| ())
    }

    /// Ends the stream. Its header stays for late listeners, for [`ended_time`](crate::broker::settings::Limits::ended_time), by default
    /// an hour.
    ///
    /// # Errors
    /// As [`put`](Self::put), and [`LocalError::Refused`] beyond `limits.streams`, because the end of a stream is remembered.
    ///
    /// ```
    /// use msgstream::local::MessageStream;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let broker = MessageStream::new();
    /// broker.listen("job-1", |event| println!("{event:?}")).await?;
    /// assert_eq!(broker.close("job-1").await?.listeners, Some(1));
    /// # Ok(()) }
    /// ```
    pub async fn close(&self, stream: &str) -> Result<Receipt, LocalError> {
        let (stream, last) = self.publisher.last(Verb::Close, stream, None::<&()>)?;
        self.publisher.ask(|receipt| Input::Close { stream, last, of: None, receipt }).await
    }

    /// Ends the stream with a last message.
    ///
    /// # Errors
    /// As [`close`](Self::close).
    ///
    /// ```
    /// use msgstream::client::Event;
    /// use msgstream::local::MessageStream;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let broker = MessageStream::new();
    /// let (sender, receiver) = std::sync::mpsc::channel();
    /// broker.listen("job-1", sender).await?;
    /// broker.close_with("job-1", "done").await?;
    /// assert!(matches!(receiver.recv()?, Event::Ended { message: Some(last) } if last == "\"done\""));
    /// # Ok(()) }
    /// ```
    pub async fn close_with<M: Serialize + ?Sized>(&self, stream: &str, message: &M) -> Result<Receipt, LocalError> {
        let (stream, last) = self.publisher.last(Verb::Close, stream, Some(message))?;
        self.publisher.ask(|receipt| Input::Close { stream, last, of: None, receipt }).await
    }

    /// Forgets the stream and its header. Its listeners see the stream end.
    ///
    /// # Errors
    /// [`LocalError::Refused`] if the name is empty, too long or reserved for the broker; [`LocalError::Ended`].
    ///
    /// ```
    /// use msgstream::local::MessageStream;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let broker = MessageStream::new();
    /// broker.header("job-1", "a mistake").await?;
    /// // Nobody was listening; a listener that joins now finds no header.
    /// assert_eq!(broker.delete("job-1").await?.listeners, Some(0));
    /// # Ok(()) }
    /// ```
    pub async fn delete(&self, stream: &str) -> Result<Receipt, LocalError> {
        let (stream, last) = self.publisher.last(Verb::Delete, stream, None::<&()>)?;
        self.publisher.ask(|receipt| Input::Delete { stream, last, of: None, receipt }).await
    }

    /// Waits until everything sent before has taken effect.
    ///
    /// # Errors
    /// [`LocalError::Ended`].
    ///
    /// ```
    /// use msgstream::client::Event;
    /// use msgstream::local::MessageStream;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let broker = MessageStream::new();
    /// let (sender, mut receiver) = tokio::sync::mpsc::channel(100);
    /// broker.listen("job-1", sender).await?;
    /// broker.put("job-1", &1).await?;
    /// broker.flush().await?;
    /// assert!(matches!(receiver.try_recv()?, Event::Message(message) if message == "1"));
    /// # Ok(()) }
    /// ```
    pub async fn flush(&self) -> Result<(), LocalError> {
        // A hangup of a stream that it does not listen to is the cheapest action with an answer.
        self.publisher.ask_at_once(|receipt| Input::Hangup { stream: None, receipt }).await.map(|_| ())
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

    /// The actions with their receipts, and those that depend on how the stream stands.
    ///
    /// ```
    /// use msgstream::local::MessageStream;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let broker = MessageStream::new();
    /// let receipt = broker.confirmed().put("job-1", "anybody there?").await?;
    /// assert_eq!(receipt.listeners, Some(0));
    /// assert_eq!(receipt.position.map(|position| position.sequence), Some(1));
    /// # Ok(()) }
    /// ```
    pub fn confirmed(&self) -> Confirmed<'_> {
        Confirmed::new(&self.publisher)
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
