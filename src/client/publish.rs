//! What a client publishes.

use serde::Serialize;

use crate::wire::Verb;

use super::error::ClientError;
use super::remote::RemoteStream;
use super::request::{Request, alone};

impl RemoteStream {
    /// Sends a message to every listener of the stream. It is not stored.
    ///
    /// # Errors
    /// [`ClientError::EmptyName`]; [`ClientError::Encode`] if the message cannot be written as JSON; [`ClientError::TooLong`];
    /// [`ClientError::Lost`] if the connection is lost for good. If the broker refuses the action, the next [`flush`](Self::flush)
    /// returns that error.
    ///
    /// ```
    /// use msgstream::client::{Event, RemoteStream};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = msgstream::broker::Server::bind(&["127.0.0.1:0".parse()?], &Default::default())?;
    /// # let address = server.addresses()[0].to_string();
    /// # tokio::spawn(server.run(std::future::pending(), std::future::pending()));
    /// #[derive(serde::Serialize)]
    /// struct Step {
    ///     k: u32,
    ///     chisq: f64,
    /// }
    ///
    /// let broker = RemoteStream::connect(&address).await?;
    /// let mut fit = broker.listen("fit").await?;
    /// broker.put("fit", &Step { k: 1, chisq: 2.5 }).await?;
    /// broker.put("fit", "a text is a message as well").await?;
    /// assert!(matches!(fit.next().await, Some(Event::Message(message)) if message == r#"{"k":1,"chisq":2.5}"#));
    /// # Ok(()) }
    /// ```
    pub async fn put<M: Serialize + ?Sized>(&self, stream: &str, message: &M) -> Result<(), ClientError> {
        self.link.queue(Verb::Put, stream, Some(message), None::<&()>).await
    }

    /// Sends a message if there is room for it now. This is for programs that must not wait, and may lose messages.
    ///
    /// # Errors
    /// [`ClientError::Full`] if there is no room; otherwise as [`put`](Self::put).
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
    /// let mut left_out = 0;
    /// for k in 0..1000 {
    ///     match broker.try_put("job-1", &k) {
    ///         Ok(()) => {}
    ///         // The computation matters more than one of its many messages.
    ///         Err(ClientError::Full) => left_out += 1,
    ///         Err(error) => return Err(error.into()),
    ///     }
    /// }
    /// assert_eq!(left_out, 0, "so few have room in a queue of the usual size");
    /// # Ok(()) }
    /// ```
    pub fn try_put<M: Serialize + ?Sized>(&self, stream: &str, message: &M) -> Result<(), ClientError> {
        let line = self.link.line(Request { message: Some(message), ..alone::<M, ()>(Verb::Put, stream) }, None)?;
        let first = {
            let mut state = self.link.shared.lock();
            if let Some(failure) = state.failure() {
                return Err(failure);
            }
            if !state.has_room(line.bytes.len(), self.link.shared.options.queue.0) {
                return Err(ClientError::Full);
            }
            state.send(line)
        };
        self.link.tell_if(first);
        Ok(())
    }

    /// Sends a message and makes `header` the stream's header in the same step, so that new listeners see each update exactly once.
    ///
    /// # Errors
    /// As [`put`](Self::put).
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
    /// for k in 1..=3 {
    ///     broker.put_with_header("job-1", &k, &format!("{k} of 10")).await?;
    /// }
    /// let mut late = broker.listen("job-1").await?;
    /// assert!(matches!(late.next().await, Some(Event::Header(header)) if header == "\"3 of 10\""));
    /// # Ok(()) }
    /// ```
    pub async fn put_with_header<M, H>(&self, stream: &str, message: &M, header: &H) -> Result<(), ClientError>
    where
        M: Serialize + ?Sized,
        H: Serialize + ?Sized,
    {
        self.link.queue(Verb::Put, stream, Some(message), Some(header)).await
    }

    /// Sets the stream's header, the first thing that new listeners get. Reopens the stream if it has ended.
    ///
    /// # Errors
    /// As [`put`](Self::put).
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
    /// broker.header("job-1", "half done").await?;
    /// let mut late = broker.listen("job-1").await?;
    /// assert!(matches!(late.next().await, Some(Event::Header(header)) if header == "\"half done\""));
    /// # Ok(()) }
    /// ```
    pub async fn header<H: Serialize + ?Sized>(&self, stream: &str, header: &H) -> Result<(), ClientError> {
        self.link.queue(Verb::Header, stream, Some(header), None::<&()>).await
    }

    /// Ends the stream. Its header stays for late listeners, for the broker's `limits.ended_time` (by default an hour).
    ///
    /// # Errors
    /// As [`put`](Self::put).
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
    /// broker.header("job-1", "all done").await?;
    /// broker.close("job-1").await?;
    /// let mut late = broker.listen("job-1").await?;
    /// assert!(matches!(late.next().await, Some(Event::Header(header)) if header == "\"all done\""));
    /// assert_eq!(late.next().await, Some(Event::Ended { message: None }));
    /// # Ok(()) }
    /// ```
    pub async fn close(&self, stream: &str) -> Result<(), ClientError> {
        self.link.queue(Verb::Close, stream, None::<&()>, None::<&()>).await
    }

    /// Ends the stream with a last message.
    ///
    /// # Errors
    /// As [`put`](Self::put).
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
    /// broker.close_with("job-1", &serde_json::json!({ "exit": 0 })).await?;
    /// assert!(matches!(listener.next().await, Some(Event::Ended { message: Some(last) }) if last == "{\"exit\":0}"));
    /// # Ok(()) }
    /// ```
    pub async fn close_with<M: Serialize + ?Sized>(&self, stream: &str, message: &M) -> Result<(), ClientError> {
        self.link.queue(Verb::Close, stream, Some(message), None::<&()>).await
    }

    /// Says how the stream is to end if this client is lost: if its program is killed, or its machine, or the network between. Then the
    /// broker closes the stream with this message. Replaces the will before; [`close`](Self::close), [`delete`](Self::delete) and
    /// [`take_back_will`](Self::take_back_will) clear it.
    ///
    /// With [`Options::reconnect`](super::Options::reconnect) the client is lost when it has not come back within the broker's
    /// `limits.session_time` (by default 5 min), otherwise when its connection ends. It is not lost when it ends in order, by
    /// [`disconnect`](Self::disconnect) or when its last handle is dropped while the runtime lives.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    ///
    /// ```
    /// use msgstream::client::RemoteStream;
    /// use msgstream::job::monitor::{Lost, Message};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = msgstream::broker::Server::bind(&["127.0.0.1:0".parse()?], &Default::default())?;
    /// # let address = server.addresses()[0].to_string();
    /// # tokio::spawn(server.run(std::future::pending(), std::future::pending()));
    /// let broker = RemoteStream::connect(&address).await?;
    /// broker.will("job-1", &Message::from(Lost::new())).await?;
    /// broker.header("job-1", "at work").await?;
    /// // The work, and its end, after which there is nothing left of the will.
    /// assert_eq!(broker.confirmed().close("job-1").await?.listeners, Some(0));
    /// broker.disconnect().await?;
    /// # Ok(()) }
    /// ```
    pub async fn will<M: Serialize + ?Sized>(&self, stream: &str, message: &M) -> Result<(), ClientError> {
        self.link.will(stream, Some(message)).await
    }

    /// Takes the will for this stream back.
    ///
    /// # Errors
    /// As [`put`](Self::put).
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
    /// broker.will("job-1", "lost").await?;
    /// broker.take_back_will("job-1").await?;
    /// broker.flush().await?;
    /// assert_eq!(broker.waiting(), 0);
    /// # Ok(()) }
    /// ```
    pub async fn take_back_will(&self, stream: &str) -> Result<(), ClientError> {
        self.link.will(stream, None::<&()>).await
    }

    /// Forgets the stream and its header. Its listeners see the stream end.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    ///
    /// ```
    /// use msgstream::client::{RemoteStream, StreamState};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = msgstream::broker::Server::bind(&["127.0.0.1:0".parse()?], &Default::default())?;
    /// # let address = server.addresses()[0].to_string();
    /// # tokio::spawn(server.run(std::future::pending(), std::future::pending()));
    /// let broker = RemoteStream::connect(&address).await?;
    /// broker.header("job-1", "a mistake").await?;
    /// broker.delete("job-1").await?;
    /// assert_eq!(broker.listen("job-1").await?.joined().await.map(|joined| joined.state), Some(StreamState::Waiting));
    /// # Ok(()) }
    /// ```
    pub async fn delete(&self, stream: &str) -> Result<(), ClientError> {
        self.link.queue(Verb::Delete, stream, None::<&()>, None::<&()>).await
    }
}
