//! Feeds the store: asks the actor for what has changed, some time after it has, and writes that in one transaction. A thread of its own does
//! so, since a disk may take any time.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use tokio::sync::mpsc::WeakUnboundedSender;
use tokio::sync::mpsc::error::SendError;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep_until};
use tracing::{debug, error, info, warn};

use crate::broker::actor::{Command, Keep, Piece, Save, Saves};
use crate::broker::core::Core;
use crate::wire::ids::StreamName;

use super::error::StoreError;
use super::file::Store;

/// Where streams are that have had messages, and no other change, is written this often at most.
const POSITIONS: Duration = Duration::from_secs(1);

/// After a failure, the next try waits this long, ...
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// ... then twice as long each time, up to this.
const LONGEST_RETRY: Duration = Duration::from_secs(10);

/// At the end, windows are written for as long as this. Those that are not, are not vouched for.
const LONGEST_END: Duration = Duration::from_secs(5);

/// What one transaction of the end holds, in bytes of messages, so that the time can be kept to.
const END_PIECE: usize = 8 << 20;

/// So many changes are handed over at once then.
const END_CHANGES: usize = 1000;

/// The end of a broker, and who waits until it is kept.
struct End {
    core: Core,
    at_once: bool,
    done: oneshot::Sender<()>,
}

/// The way from the actor to what feeds the store.
pub(crate) struct Keeper {
    wake: Arc<Notify>,
    /// Somebody waits for what is woken for.
    hurries: Arc<AtomicBool>,
    end: oneshot::Sender<End>,
    /// Before it has begun.
    feeder: Option<Feeder>,
    on_a_thread: bool,
}

impl Keeper {
    /// Feeds the store of the actor that a mailbox reaches.
    pub(crate) fn new(store: Store, interval: Duration, mailbox: WeakUnboundedSender<Command>, saves: Arc<Saves>) -> Self {
        let (wake, hurries, (end, ended)) = (Arc::new(Notify::new()), Arc::new(AtomicBool::new(false)), oneshot::channel());
        let feeder =
            Feeder { store, interval, mailbox, saves, wake: Arc::clone(&wake), hurries: Arc::clone(&hurries), ended, unkept: Vec::new() };
        Self { wake, hurries, end, feeder: Some(feeder), on_a_thread: true }
    }

    /// Has the runtime's own task feed the store, as simulations need it: what is written takes no time there.
    pub(crate) fn without_thread(self) -> Self {
        Self { on_a_thread: false, ..self }
    }
}

impl Keep for Keeper {
    fn begin(&mut self) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let Some(mut feeder) = self.feeder.take() else { return Ok(()) };
        feeder.store.begin_life()?;
        if !self.on_a_thread {
            drop(tokio::spawn(feeder.run()));
            return Ok(());
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let watched = Watched { saves: Arc::clone(&feeder.saves), mailbox: feeder.mailbox.clone() };
        let feed = move || {
            runtime.block_on(feeder.run());
            std::mem::forget(watched);
        };
        thread::Builder::new().name("store".to_owned()).spawn(feed)?;
        Ok(())
    }

    fn wake(&self) {
        self.wake.notify_one();
    }

    fn hurry(&self) {
        self.hurries.store(true, Ordering::Relaxed);
        self.wake.notify_one();
    }

    fn finish(self: Box<Self>, core: Core, at_once: bool) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let (done, kept) = oneshot::channel();
        Box::pin(async move {
            // If the thread is gone, it has said why.
            if self.end.send(End { core, at_once, done }).is_ok() {
                let _ = kept.await;
            }
        })
    }
}

/// Says that the store is not fed any more, if that ends by a panic.
struct Watched {
    saves: Arc<Saves>,
    mailbox: WeakUnboundedSender<Command>,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.saves.give_up();
        self.saves.failed("the thread that feeds the store panicked; nothing is kept any more until the broker is restarted");
        error!("the thread that feeds the store panicked: nothing is kept any more until the broker is restarted; please report it");
        if let Some(mailbox) = self.mailbox.upgrade() {
            // The actor is gone only if the broker is.
            let _ = mailbox.send(Command::Save(Save::Over));
        }
    }
}

/// What feeds the store.
struct Feeder {
    store: Store,
    interval: Duration,
    mailbox: WeakUnboundedSender<Command>,
    saves: Arc<Saves>,
    wake: Arc<Notify>,
    hurries: Arc<AtomicBool>,
    ended: oneshot::Receiver<End>,
    /// What was handed over by an actor that ended before it was kept.
    unkept: Vec<StreamName>,
}

/// Why nothing was saved.
enum Unsaved {
    /// The actor has ended, and will say how it stands.
    Ended,
    Failed(StoreError),
}

impl From<StoreError> for Unsaved {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

impl Feeder {
    async fn run(mut self) {
        let (mut next, mut positions_at, mut retry) = (Instant::now(), Instant::now(), None);
        let mut has_more = false;
        loop {
            let (wake, hurries) = (Arc::clone(&self.wake), Arc::clone(&self.hurries));
            let due = async {
                if !has_more {
                    wake.notified().await;
                }
                // Whoever wakes it meanwhile is served as well.
                while !hurries.swap(false, Ordering::Relaxed) {
                    tokio::select! {
                        () = sleep_until(next) => break,
                        () = wake.notified() => {}
                    }
                }
            };
            tokio::select! {
                biased;
                end = &mut self.ended => return if let Ok(end) = end { self.end(end) },
                () = due => {}
            }
            let began = Instant::now();
            let moved = began >= positions_at;
            let mut names = Vec::new();
            match self.save(moved, &mut names).await {
                Ok(more) => {
                    // Before anybody is told: whoever asks behind a receipt finds that all is well.
                    self.saves.succeeded();
                    // The actor is gone only if the broker is.
                    let _ = self.tell(Command::Save(Save::Done));
                    if retry.take().is_some() {
                        info!("the store can be written again, and has all that had changed");
                    }
                    (has_more, next) = (more, began + self.interval);
                    if moved {
                        positions_at = began + POSITIONS;
                    }
                }
                Err(Unsaved::Ended) => {
                    self.unkept.append(&mut names);
                    (has_more, next) = (false, began + self.interval);
                }
                Err(Unsaved::Failed(error)) => {
                    self.saves.failed(&error.to_string());
                    if let Err(Command::Save(Save::Failed(names))) = self.tell(Command::Save(Save::Failed(names))) {
                        // The actor has ended meanwhile: these are kept with all that there is then.
                        self.unkept.extend(names);
                    }
                    if retry.is_none() {
                        warn!(%error, "what changes is not kept beyond a restart until the store can be written again");
                    }
                    let wait = retry.map_or(FIRST_RETRY, |wait: Duration| (wait * 2).min(LONGEST_RETRY));
                    retry = Some(wait);
                    (has_more, next) = (true, Instant::now() + wait);
                }
            }
        }
    }

    /// Tells the actor. Gives the command back if the actor has ended.
    fn tell(&self, command: Command) -> Result<(), Command> {
        match self.mailbox.upgrade() {
            Some(mailbox) => mailbox.send(command).map_err(|SendError(command)| command),
            None => Err(command),
        }
    }

    async fn ask(&self, save: impl FnOnce(oneshot::Sender<Piece>) -> Save) -> Result<Piece, Unsaved> {
        let (answer, answered) = oneshot::channel();
        // Dropped unsent if the actor is gone, which the answer tells.
        drop(self.tell(Command::Save(save(answer))));
        answered.await.map_err(|_| Unsaved::Ended)
    }

    /// Saves what has changed. True if there is more by now. `names` is what was handed over.
    async fn save(&mut self, moved: bool, names: &mut Vec<StreamName>) -> Result<bool, Unsaved> {
        let mut piece = self.ask(|answer| Save::Begin { moved, answer }).await?;
        let began = Instant::now();
        names.extend(piece.changes.iter().map(|change| change.name.clone()));
        if piece.changes.is_empty() && piece.is_last {
            return Ok(piece.has_more);
        }
        let mailbox = self.mailbox.clone();
        let writing = self.saves.begin();
        let mut transaction = self.store.begin()?;
        loop {
            transaction.changes(&piece.changes)?;
            if piece.is_last {
                break;
            }
            let (answer, answered) = oneshot::channel();
            // Dropped unsent if the actor is gone, which the answer tells.
            if let Some(mailbox) = mailbox.upgrade() {
                let _ = mailbox.send(Command::Save(Save::GoOn { answer }));
            }
            piece = answered.await.map_err(|_| Unsaved::Ended)?;
            names.extend(piece.changes.iter().map(|change| change.name.clone()));
        }
        transaction.clock(piece.clock)?;
        transaction.commit()?;
        drop(writing);
        self.saves.wrote(names.len(), began.elapsed(), self.store.meter().size(), self.store.meter().written());
        Ok(piece.has_more)
    }

    /// The broker stops.
    fn end(mut self, End { mut core, at_once, done }: End) {
        match self.keep_all(&mut core, at_once) {
            Ok(None) => debug!("all that there is was kept for the next start"),
            Ok(Some(left_out)) if at_once => {
                debug!(streams = left_out, "the messages of streams were not kept, since the stop was cut short")
            }
            Ok(Some(left_out)) => {
                warn!(
                    streams = left_out,
                    "there was no time to keep all messages: listeners of these streams will be told that some may be missing"
                );
            }
            Err(error) => warn!(%error, "not all that there is was kept for the next start"),
        }
        if let Err(error) = self.store.close() {
            warn!(%error, "the store was not closed as it should be; nothing is lost by that");
        }
        // Whoever waits may have given up.
        let _ = done.send(());
    }

    /// Keeps all that there is. Returns how many streams were left out, if any were.
    fn keep_all(&mut self, core: &mut Core, at_once: bool) -> Result<Option<usize>, StoreError> {
        let until = Instant::now() + LONGEST_END;
        self.unkept.drain(..).for_each(|name| core.unsaved(&name));
        let mut transaction = self.store.begin()?;
        // The rest of a save that was not finished comes first, and alone.
        let mut is_all = false;
        while !is_all {
            is_all = core.begin_save(true);
            loop {
                let changes: Vec<_> = std::iter::from_fn(|| core.next_change()).take(END_CHANGES).collect();
                if changes.is_empty() {
                    break;
                }
                transaction.changes(&changes)?;
            }
        }
        for (name, taken) in core.saved_sessions() {
            transaction.session(name, taken)?;
        }
        transaction.clock(core.time())?;
        transaction.commit()?;
        let mut names = core.latest_first().into_iter();
        while !at_once && Instant::now() < until {
            let (mut windows, mut bytes) = (Vec::new(), 0);
            while let Some(name) = if bytes < END_PIECE { names.next() } else { None } {
                windows.extend(core.window(&name).inspect(|window| bytes += window.bytes()));
            }
            let mut transaction = self.store.begin()?;
            transaction.windows(&windows)?;
            let is_all = names.len() == 0;
            if is_all {
                transaction.life(core.life())?;
            }
            transaction.commit()?;
            if is_all {
                return Ok(None);
            }
        }
        Ok(Some(names.len()))
    }
}

#[cfg(test)]
mod tests;
