//! A broker that is not there: who waits for it is told.

use std::future::pending;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::client::{Connection, RemoteStream};

use super::broker::Broker;

/// What the user is to know of the connection.
#[derive(Debug)]
pub(super) enum News {
    /// The broker is away, in words; told once until it is back.
    Away(String),
    Back,
}

/// Follows the connection.
#[derive(Debug)]
pub(super) struct Contact {
    connection: watch::Receiver<Connection>,
    address: String,
    is_away: bool,
}

impl Contact {
    pub(super) fn new(remote: &RemoteStream, broker: &Broker) -> Self {
        Self { connection: remote.connection(), address: broker.address(), is_away: false }
    }

    /// Waits for news. Dropped while it waits, it misses none.
    pub(super) async fn news(&mut self) -> News {
        loop {
            if self.connection.changed().await.is_err() {
                pending::<()>().await;
            }
            let stands = self.connection.borrow_and_update().clone();
            match stands {
                Connection::Away { reason } if !self.is_away => {
                    self.is_away = true;
                    return News::Away(format!("the broker at {} is away: {}; trying again", self.address, reason));
                }
                Connection::Connected if self.is_away => {
                    self.is_away = false;
                    return News::Back;
                }
                // A connection that is lost for good is the last event of every listener.
                _ => {}
            }
        }
    }
}

/// Waits until then, if there is such a time.
pub(super) async fn until(end: Option<Instant>) {
    match end {
        Some(end) => sleep_until(end).await,
        None => pending().await,
    }
}
