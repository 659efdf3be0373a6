//! The way to the list of all connections, with the names of those who have shown a token.

use std::sync::Arc;

use tokio::sync::mpsc::WeakUnboundedSender;
use tokio::sync::oneshot;

use crate::broker::access::Access;
use crate::wire::ids::ConnectionId;

use super::mailbox::{Command, Mailbox};
use super::page::{Ask, LONGEST_PAGE, Page};

/// Lists the connections of a broker. Cheap to clone; it does not keep the broker alive.
#[derive(Debug, Clone)]
pub struct Connections {
    mailbox: WeakUnboundedSender<Command>,
    access: Option<Arc<Access>>,
}

impl Connections {
    /// Of the broker that a mailbox reaches, with the names that `access` knows.
    pub fn new(mailbox: &Mailbox, access: Option<Arc<Access>>) -> Self {
        Self { mailbox: mailbox.downgrade(), access }
    }

    /// The connections behind one of them, or from the first on, by their numbers; at most `most`, and never more than [`LONGEST_PAGE`].
    /// None if the broker has ended, or too many ask at once.
    ///
    /// Those that come and go between two pages may be in none of them. A number is given to another connection after the end of the one
    /// that had it, so the name of one that ends just now may be missing, or be that of its successor.
    pub async fn page(&self, after: Option<ConnectionId>, most: usize) -> Option<Page> {
        let (answer, answered) = oneshot::channel();
        let ask = Ask { after, most: most.clamp(1, LONGEST_PAGE), answer };
        // The way to the actor is given back at once, since it would keep the actor alive.
        self.mailbox.upgrade()?.send(Command::List(ask)).ok()?;
        let mut page = answered.await.ok()?;
        if let Some(access) = &self.access {
            let names = access.names_of(page.connections.iter().map(|listed| listed.id));
            page.connections.iter_mut().zip(names).for_each(|(listed, name)| listed.name = name);
        }
        Some(page)
    }
}
