//! What a program publishes to the broker inside it.

use serde::Serialize;

use crate::broker::core::Input;
use crate::wire::Verb;
use crate::wire::subscriber::Receipt;

use super::MessageStream;
use super::confirmed::Confirmed;
use super::error::LocalError;

impl MessageStream {
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
        self.confirmed().put_with_header(stream, message, header).await
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
        self.confirmed().header(stream, header).await.map(|_| ())
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
        self.confirmed().close(stream).await
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
        self.confirmed().close_with(stream, message).await
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
        self.confirmed().delete(stream).await
    }

    /// Says how the stream is to end if this publisher is lost: then the broker closes it with this message. Replaces the will before, by
    /// whomever; [`close`](Self::close), [`delete`](Self::delete) and [`take_back_will`](Self::take_back_will) clear it.
    ///
    /// A publisher in this process has no session. It is lost when its last handle is dropped without
    /// [`disconnect`](Self::disconnect), for example because the job's task panics or is aborted. All clones of a handle are one publisher,
    /// so give a job a handle of its own: [`independent_publisher`](Self::independent_publisher). If the whole program is killed, the broker
    /// ends with it, and nobody is told; a broker that stops carries out no will.
    ///
    /// # Errors
    /// As [`close_with`](Self::close_with), and [`LocalError::Refused`] beyond `limits.headers_total`.
    ///
    /// ```
    /// use msgstream::client::Event;
    /// use msgstream::job::monitor::{Lost, Message};
    /// use msgstream::local::MessageStream;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let broker = MessageStream::new();
    /// let (sender, mut receiver) = tokio::sync::mpsc::channel(100);
    /// broker.listen("job-1", sender).await?;
    ///
    /// let job = broker.independent_publisher();
    /// tokio::spawn(async move {
    ///     job.will("job-1", &Message::from(Lost::new())).await?;
    ///     job.put("job-1", "at work").await?;
    ///     // It ends here without a word: an error, a panic, a lost race.
    ///     Ok::<(), msgstream::local::LocalError>(())
    /// });
    /// assert!(matches!(receiver.recv().await, Some(Event::Message(message)) if message == "\"at work\""));
    /// assert!(matches!(receiver.recv().await, Some(Event::Ended { message: Some(_) })));
    /// # Ok(()) }
    /// ```
    pub async fn will<M: Serialize + ?Sized>(&self, stream: &str, message: &M) -> Result<(), LocalError> {
        let (stream, last) = self.publisher.last(Verb::Will, stream, Some(message))?;
        self.publisher.ask_at_once(|receipt| Input::Will { stream, last: Some(last), receipt }).await.map(|_| ())
    }

    /// Takes this publisher's will for the stream back. The will of another stays.
    ///
    /// # Errors
    /// As [`delete`](Self::delete).
    ///
    /// ```
    /// use msgstream::client::StreamState;
    /// use msgstream::local::MessageStream;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let broker = MessageStream::new();
    /// let job = broker.independent_publisher();
    /// job.will("job-1", "lost").await?;
    /// job.take_back_will("job-1").await?;
    /// drop(job);
    /// let joined = broker.listen("job-1", |event| println!("{event:?}")).await?.joined().await;
    /// assert_eq!(joined.map(|joined| joined.state), Some(StreamState::Waiting));
    /// # Ok(()) }
    /// ```
    pub async fn take_back_will(&self, stream: &str) -> Result<(), LocalError> {
        let stream = self.publisher.name(Verb::Will, stream)?;
        self.publisher.ask_at_once(|receipt| Input::Will { stream, last: None, receipt }).await.map(|_| ())
    }

    /// Waits until everything sent before has taken effect, and ends this publisher in order: it is not lost, so none of its
    /// [wills](Self::will) takes effect. What its clones send from now on fails with [`LocalError::Ended`]. The broker and its listeners go
    /// on.
    ///
    /// # Errors
    /// [`LocalError::Ended`] if the broker has ended, or a clone has done this before.
    ///
    /// ```
    /// use msgstream::local::{LocalError, MessageStream};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let broker = MessageStream::new();
    /// let job = broker.independent_publisher();
    /// let clone = job.clone();
    /// job.will("job-1", "lost").await?;
    /// job.disconnect().await?;
    /// assert!(matches!(clone.put("job-1", "too late").await, Err(LocalError::Ended)));
    /// broker.put("job-1", "another job").await?;
    /// # Ok(()) }
    /// ```
    pub async fn disconnect(self) -> Result<(), LocalError> {
        self.publisher.leave().await
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
}
