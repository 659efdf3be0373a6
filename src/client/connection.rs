//! Whether there is a connection, for programs that show it.

use tokio::sync::watch;

/// How a client's connection stands.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Connection {
    /// It is being made for the first time, or the broker has not said anything yet.
    Connecting,
    /// The broker has answered.
    Connected,
    /// It is being made again: an attempt has failed, or it was lost.
    Away {
        /// What was seen of the failure.
        reason: String,
    },
    /// It is lost for good, or this client has left.
    Over,
}

/// Follows a client's connection. Made by [`RemoteStream::connection`](super::RemoteStream::connection).
#[derive(Debug, Clone)]
pub struct Connections(pub(super) watch::Receiver<Connection>);

impl Connections {
    /// How it stands now.
    pub fn now(&self) -> Connection {
        self.0.borrow().clone()
    }

    /// Waits until it stands otherwise than when it was asked last; for ever once it is [`Over`](Connection::Over). Dropped while
    /// it waits, it misses nothing.
    pub async fn changed(&mut self) -> Connection {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        self.0.borrow_and_update().clone()
    }
}
