//! A broker that is not there: who waits for it is told.

use std::future::pending;

use tokio::time::{Instant, sleep_until};

use crate::client::Connection;

use super::broker::Broker;

/// What the user is told of a connection; nothing of one that is made for the first time.
pub(super) fn away(connection: &Connection, broker: &Broker) -> Option<String> {
    match connection {
        Connection::Away { reason } => Some(format!("the broker at {} is away: {reason}; trying again", broker.address())),
        _ => None,
    }
}

/// Waits until then, if there is such a time.
pub(super) async fn until(end: Option<Instant>) {
    match end {
        Some(end) => sleep_until(end).await,
        None => pending().await,
    }
}
