//! The one owner of every stream's header and listener list.
//!
//! A single task with a single mailbox drives the [`Core`]: so joining is atomic, each stream has one order, and no lock
//! holds streams. It awaits nothing but its mailbox: not a listener, not a disk, not a network.

mod routes;
mod stats;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::broker::core::{Core, CoreLimits, Input};
use crate::broker::outbox::{Outbox, Sink};
use crate::wire::ids::ConnectionId;
use crate::wire::{Gauge, Translations};

use routes::Routes;
pub use stats::{Stats, StatsSnapshot};

/// Batches that may wait for the actor. A full mailbox stops the reading of sockets, which is the back-pressure that
/// publishers feel; few are as quick as many, and bound what waits here.
const MAILBOX: usize = 16;

/// What the actor is told.
pub enum Command {
    /// A connection begins.
    Connected(ConnectionId, Arc<Outbox<dyn Sink>>),
    /// The actions of one connection, in the order it sent them.
    Batch {
        /// The connection.
        from: ConnectionId,
        /// Its actions.
        inputs: Vec<Input>,
    },
    /// The connection was cut off by its own task: it hangs up everywhere.
    Cut(ConnectionId),
    /// The connection has ended; its id may be given to another.
    Gone(ConnectionId),
    /// The broker stops: every connection takes in what it has received, then `done` is told.
    Quiesce(tokio::sync::oneshot::Sender<()>),
    /// The connection has done so.
    Quiesced(ConnectionId),
    /// Every connection is told that the broker stops, and ends when its queue is sent.
    Shutdown,
    /// Every connection ends at once.
    Abort,
}

/// How connections reach the actor. Cheap to clone.
#[derive(Clone)]
pub struct Mailbox(mpsc::Sender<Command>);

impl Mailbox {
    /// Sends at once if there is room. If not, returns the wait for room, which tells whether the actor is still there;
    /// boxed, since it is rare and would make every idle connection larger.
    pub(crate) fn tell(&self, command: Command) -> Option<Pin<Box<dyn Future<Output = bool> + Send>>> {
        match self.0.try_send(command) {
            Ok(()) => None,
            Err(mpsc::error::TrySendError::Full(command) | mpsc::error::TrySendError::Closed(command)) => {
                let mailbox = self.clone();
                Some(Box::pin(async move { mailbox.send(command).await }))
            }
        }
    }

    /// Sends, waiting for room. False if the actor is gone, and with it the broker.
    pub async fn send(&self, command: Command) -> bool {
        self.0.send(command).await.is_ok()
    }

    /// Waits for room for so many commands, which are then sent without a wait: all or, if this is dropped, none. None if
    /// the actor is gone.
    pub(crate) async fn reserve(&self, count: usize) -> Option<mpsc::PermitIterator<'_, Command>> {
        self.0.reserve_many(count).await.ok()
    }

    /// Waits until the actor is gone, which it is before all mailboxes are only by a panic.
    pub async fn closed(&self) {
        self.0.closed().await;
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

    fn give_back(&self, id: ConnectionId) {
        self.free.lock().unwrap_or_else(PoisonError::into_inner).push(id.0);
    }
}

/// What the actor is built from. [`assemble`](crate::broker::assemble::assemble) makes it of a broker's settings.
pub struct ActorSettings {
    /// The core's limits.
    pub core: CoreLimits,
    /// What may wait for all connections together, in bytes of memory.
    pub total: usize,
    /// Counts the memory of all frames and queues.
    pub gauge: Arc<Gauge>,
    /// Counts what is translated for listeners of another encoding.
    pub translations: Arc<Translations>,
    /// Where ended connections' ids go.
    pub ids: Arc<Ids>,
    /// What is counted.
    pub stats: Arc<Stats>,
}

/// The actor, before it runs.
pub struct Actor {
    core: Core,
    routes: Routes,
    mailbox: mpsc::Receiver<Command>,
    settings: ActorSettings,
    /// Who has yet to take in what it has received, and who waits for that.
    quiescing: Option<(Vec<bool>, usize, tokio::sync::oneshot::Sender<()>)>,
}

impl Actor {
    /// An actor and the mailbox that reaches it. It ends when every mailbox is dropped.
    pub fn new(settings: ActorSettings) -> (Self, Mailbox) {
        let (sender, mailbox) = mpsc::channel(MAILBOX);
        let core = Core::new(settings.core.clone());
        let routes = Routes::new(Arc::clone(&settings.stats));
        (Self { core, routes, mailbox, settings, quiescing: None }, Mailbox(sender))
    }

    /// Runs until nobody can reach it any more.
    pub async fn run(mut self) {
        let (began, mut commands) = (Instant::now(), Vec::with_capacity(MAILBOX));
        while self.mailbox.recv_many(&mut commands, MAILBOX).await > 0 {
            // Nobody can tell whether a stream was forgotten on time or just before somebody asks for it. So no timer runs: one
            // that does costs every turn of the runtime more than this.
            self.core.tick(began.elapsed());
            for command in commands.drain(..) {
                self.handle(command);
                if self.routes.is_full() {
                    self.end_round();
                }
            }
            self.end_round();
        }
    }

    fn handle(&mut self, command: Command) {
        match command {
            Command::Connected(id, outbox) => {
                self.routes.connect(id, outbox);
                self.settings.stats.connections_opened.add(1);
            }
            Command::Batch { from, inputs } => {
                self.routes.publisher = Some(from);
                self.settings.stats.actions.add(inputs.len() as u64);
                self.core.foresee(&inputs);
                for input in inputs {
                    self.core.handle(from, input, &mut self.routes);
                    if self.routes.is_full() {
                        self.end_round();
                    }
                }
                self.routes.publisher = None;
                self.hang_up_cut();
            }
            Command::Cut(id) => self.core.hang_up_all(id),
            Command::Gone(id) => {
                self.core.hang_up_all(id);
                self.quiesced(id);
                if self.routes.disconnect(id) {
                    self.settings.stats.connections_closed.add(1);
                }
                self.settings.ids.give_back(id);
            }
            Command::Quiesce(done) => {
                let waiting = self.routes.quiesce();
                let count = waiting.iter().filter(|waits| **waits).count();
                if count == 0 {
                    // Whoever asked may be gone by now, which is no matter.
                    let _ = done.send(());
                } else {
                    self.quiescing = Some((waiting, count, done));
                }
            }
            Command::Quiesced(id) => self.quiesced(id),
            Command::Shutdown => self.routes.shutdown(),
            Command::Abort => self.routes.abort(),
        }
    }

    /// Sends out what the round has queued, and keeps within the memory for all queues.
    fn end_round(&mut self) {
        self.routes.flush();
        if self.settings.gauge.bytes() > self.settings.total {
            self.routes.relieve(self.settings.total, || self.settings.gauge.bytes());
            self.hang_up_cut();
        }
        self.settings.stats.streams.set(self.core.streams() as u64);
        self.settings.stats.translated.set(self.settings.translations.count());
    }

    /// Whoever was cut off while something was queued listens to nothing any more.
    fn hang_up_cut(&mut self) {
        while let Some(id) = self.routes.cut.pop() {
            self.core.hang_up_all(id);
        }
    }

    fn quiesced(&mut self, id: ConnectionId) {
        let Some((waiting, count, _)) = &mut self.quiescing else { return };
        if waiting.get_mut(id.index()).is_some_and(|waits| std::mem::replace(waits, false)) {
            *count -= 1;
        }
        if *count == 0
            && let Some((_, _, done)) = self.quiescing.take()
        {
            let _ = done.send(());
        }
    }
}
