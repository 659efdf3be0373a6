//! How connections reach the actor.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, oneshot};

use crate::broker::core::{CoreLimits, Input};
use crate::broker::outbox::{Outbox, Sink};
use crate::broker::space::Told;
use crate::wire::Frame;
use crate::wire::ids::ConnectionId;

use super::intake::Claim;
use super::page::Ask;
use super::saving::Save;

/// A message to the actor.
pub enum Command {
    /// A connection begins.
    Connected(ConnectionId, Arc<Outbox<dyn Sink>>),
    /// The actions of one connection, in the order it sent them. Once they have taken effect, its outbox is told.
    Batch {
        /// The connection.
        from: ConnectionId,
        /// Its actions.
        inputs: Vec<Input>,
        /// The connection whose order they have a place in: its own, or that of another one of the same program.
        order: ConnectionId,
        /// The memory that they take.
        claim: Claim,
    },
    /// The connection has taken some of what waits for it, so that it may be given more of what it asked for.
    Room(ConnectionId),
    /// What the first work in a connection's order waits for has been translated.
    Translated {
        /// The connection.
        order: ConnectionId,
        /// The translations, which are shared as long as somebody holds them.
        frames: Vec<Frame>,
    },
    /// The connection was cut off by its own task: it hangs up everywhere.
    Cut(ConnectionId),
    /// Other limits, from now on. What is kept of streams' messages stays as it was set at the start.
    SetLimits(Box<CoreLimits>),
    /// The connection is to end, and is told why: what it was let in with counts no more.
    Expel(ConnectionId, String),
    /// The connection has ended; its id may be given to another.
    Gone(ConnectionId),
    /// The broker stops: every connection takes in what it has received, then `done` is told.
    Quiesce(oneshot::Sender<()>),
    /// The connection has done so.
    Quiesced(ConnectionId),
    /// Every connection is told that the broker stops, and ends when its queue is sent.
    Shutdown,
    /// Every connection ends at once.
    Abort,
    /// Whoever keeps what there is beyond the actor's life asks for what has changed, or tells what has become of it.
    Save(Save),
    /// Somebody wants a page of the list of connections.
    List(Ask),
    /// Whatever keeps the log of the space tells something.
    Log(Told),
    /// Somebody wants to know whether the actor takes commands: it answers.
    Beat(oneshot::Sender<()>),
}

/// The way to the actor. Cheap to clone.
///
/// It has no bound of its own: a connection may have one or two batches on their way, which its outbox counts, and the
/// [`Intake`](super::Intake) bounds what they take together.
#[derive(Clone)]
pub struct Mailbox(mpsc::UnboundedSender<Command>);

impl Mailbox {
    /// A mailbox and what comes out of it.
    pub(super) fn new() -> (Self, mpsc::UnboundedReceiver<Command>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self(sender), receiver)
    }

    /// The way that a sender is.
    pub(super) fn of(sender: mpsc::UnboundedSender<Command>) -> Self {
        Self(sender)
    }

    /// Sends at once. False if the actor is gone, and with it the broker.
    pub fn send(&self, command: Command) -> bool {
        self.0.send(command).is_ok()
    }

    /// A way to the actor that does not keep it alive.
    pub(crate) fn downgrade(&self) -> mpsc::WeakUnboundedSender<Command> {
        self.0.downgrade()
    }

    /// The same for whatever keeps the log.
    pub fn weak(&self) -> mpsc::WeakUnboundedSender<Command> {
        self.downgrade()
    }

    /// A way to ask whether the actor takes commands, which does not keep it alive.
    pub fn pulse(&self) -> Pulse {
        Pulse(self.downgrade())
    }

    /// Waits until the actor is gone. While mailboxes remain, this happens only after a panic.
    pub async fn closed(&self) {
        self.0.closed().await;
    }
}

/// Tells whether a broker is alive: not only its process, but the part of it that every message passes. A supervisor that must restart
/// a broker that is stuck asks it now and then.
///
/// ```
/// use std::time::Duration;
///
/// use msgstream::broker::Pulse;
///
/// // As `msgstream serve` does under systemd, before it feeds the watchdog.
/// async fn is_alive(pulse: &Pulse) -> bool {
///     tokio::time::timeout(Duration::from_secs(10), pulse.beat()).await.unwrap_or(false)
/// }
/// ```
#[derive(Debug, Clone)]
pub struct Pulse(mpsc::WeakUnboundedSender<Command>);

impl Pulse {
    /// Waits until the broker has taken in what it was sent before, which takes as long as it is busy. False if it has ended.
    ///
    /// ```
    /// use msgstream::broker::{Server, Settings};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let server = Server::bind(&["127.0.0.1:0".parse()?], &Settings::default())?;
    /// let pulse = server.pulse();
    /// tokio::spawn(server.run(std::future::pending(), std::future::pending()));
    /// assert!(pulse.beat().await);
    /// # Ok(()) }
    /// ```
    pub async fn beat(&self) -> bool {
        let (answer, answered) = oneshot::channel();
        // The way to the actor is given back at once, since it would keep the actor alive.
        let is_asked = self.0.upgrade().is_some_and(|sender| sender.send(Command::Beat(answer)).is_ok());
        is_asked && answered.await.is_ok()
    }
}

/// Gives out connection ids, dense and reused.
#[derive(Debug, Default)]
pub struct Ids {
    next: AtomicU32,
    free: Mutex<Vec<u32>>,
}

impl Ids {
    /// An id that no connection has now.
    pub fn take(&self) -> ConnectionId {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        ConnectionId(free.unwrap_or_else(|| self.next.fetch_add(1, Ordering::Relaxed)))
    }

    /// The connection has ended, or never began, and nothing knows the id any more.
    pub fn give_back(&self, id: ConnectionId) {
        self.free.lock().unwrap_or_else(PoisonError::into_inner).push(id.0);
    }
}
