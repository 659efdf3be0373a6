//! How a client's connection stands, for programs that tell their users.

/// How the connection of a [`RemoteStream`](super::RemoteStream) stands.
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
    /// There is a connection; with [`Options::reconnect`](super::Options::reconnect) the broker has answered on it.
    Connected,
    /// There is none now, and the client tries again.
    Away {
        /// Why, for people.
        reason: String,
    },
    /// There will be none any more.
    Over {
        /// Why, for people.
        reason: String,
    },
}
