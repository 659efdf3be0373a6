//! The state of a client's connection, for programs that show it to their users.

/// The state of the connection of a [`RemoteStream`](super::RemoteStream).
///
/// ```
/// use msgstream::client::{Backoff, Connection, Options, RemoteStream};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = msgstream::broker::Server::bind(&["127.0.0.1:0".parse()?], &Default::default())?;
/// # let address = server.addresses()[0].to_string();
/// # tokio::spawn(server.run(std::future::pending(), std::future::pending()));
/// let options = Options::default().reconnect(Backoff::default());
/// let broker = RemoteStream::start(address.parse()?, options);
/// let mut connection = broker.connection();
/// connection.wait_for(|now| *now == Connection::Connected).await?;
/// assert_eq!(*connection.borrow(), Connection::Connected);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Connection {
    /// The first attempt is under way.
    #[default]
    Connecting,
    /// The client is connected. With [`Options::reconnect`](super::Options::reconnect), the broker has also answered.
    Connected,
    /// The client is not connected, and tries again.
    Away {
        /// Why, for people.
        reason: String,
    },
    /// The connection is lost for good.
    Over {
        /// Why, for people.
        reason: String,
    },
}
