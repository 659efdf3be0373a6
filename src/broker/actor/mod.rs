//! The one owner of every stream's header and listener list.
//!
//! A single task with a single mailbox drives the [`Core`]: so joining is atomic, each stream has one order, and no lock
//! holds streams. It awaits nothing but its mailbox: not a listener, not a disk, not a network.
//!
//! It works in turns. What a turn does is counted, and when it has cost some 80 microseconds the actor yields, so that
//! connections can read and write; who has more to do comes again behind the others. The [`agenda`] says whose work is next.

mod agenda;
mod applying;
mod connections;
mod contact;
mod count;
mod cut_log;
mod durable;
mod full;
mod intake;
mod keeping;
mod levels;
mod listing;
mod mailbox;
mod page;
mod quiescing;
mod recent;
mod relief;
mod routes;
mod saves;
mod saving;
mod shared;
mod sharing;
mod stats;
mod translator;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::mpsc::{UnboundedReceiver, WeakUnboundedSender};
use tokio::task::yield_now;
use tokio::time::{Instant, timeout};
use tracing::warn;

use crate::broker::core::{Budget, Core, CoreLimits, Epochs, INPUT, SharedLimits};
use crate::broker::space::Log;
use crate::wire::ids::ConnectionId;
use crate::wire::{ErrorCode, Gauge, Translations};

use agenda::{Agenda, Awaits, Flow, Progress};
use applying::{Applying, Parts};
use listing::Listing;
use quiescing::Quiescing;
use routes::Routes;
use saving::{AT_ONCE, Saving};
use sharing::{Asked, Reading, Sharing, StateWork};
use translator::Translator;

pub use connections::Connections;
pub use contact::Contact;
#[cfg(feature = "http")]
pub(crate) use contact::Records;
pub use cut_log::{Cut, CutLog};
pub use intake::{Claim, Intake};
pub(super) use saving::LONGEST_FINISH;

pub use mailbox::{Command, Ids, Mailbox, Pulse};
pub use page::{LONGEST_PAGE, Listed, Page};
pub use recent::Removed;
pub use saves::Saves;
pub use saving::{Keep, Piece, Save};
pub use sharing::{KEEP_AFTER, NodeSettings};
pub use stats::{Stats, StatsSnapshot};

/// Commands that are taken out of the mailbox before other work.
const COMMANDS: usize = 64;

/// What one turn may cost, in nanoseconds: then connections' tasks have theirs.
const TURN: usize = 80_000;
/// What one connection's work may cost before the next one's, ...
const QUANTUM: usize = 40_000;
/// ... and if it comes first because it has had little so far.
const LIGHT_QUANTUM: usize = 20_000;
/// What writing may cost before it is looked for light connections, of which there may be some by now.
const FLUSH: usize = 40_000;
/// Work that has cost this much is written before more is taken from those who had their share, so that a write carries more than one
/// message and none waits long.
const UNWRITTEN: usize = 250_000;
/// What a turn may spend on forgetting streams and on connections that were cut off, as long as others wait.
const CHORES: usize = 25_000;

/// While wills wait for sessions to come back, or receipts for a disk, the actor looks at the clock this often at least, ...
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// ... and if it comes later than this, the broker was stopped or starved.
const LATE: Duration = Duration::from_secs(1);

/// What the actor is built from. [`assemble`](crate::broker::assemble::assemble) makes it of a broker's settings.
pub struct ActorSettings {
    /// The core's limits.
    pub core: CoreLimits,
    /// Makes this broker's epochs others than those of its former lives.
    pub seed: u64,
    /// What may wait for all connections together, in bytes of memory.
    pub total: usize,
    /// Counts the memory of all frames in queues, and of queues.
    pub gauge: Arc<Gauge>,
    /// Counts what is translated for listeners of another encoding.
    pub translations: Arc<Translations>,
    /// Where ended connections' ids go.
    pub ids: Arc<Ids>,
    /// What is counted.
    pub stats: Arc<Stats>,
    /// Logs cut listeners.
    pub cut_log: Arc<CutLog>,
}

/// The actor, before it runs.
pub struct Actor {
    core: Core,
    routes: Routes,
    agenda: Agenda<Work>,
    mailbox: UnboundedReceiver<Command>,
    /// The way to itself, which does not keep it alive.
    me: WeakUnboundedSender<Command>,
    translator: Translator,
    settings: ActorSettings,
    /// What a turn may cost.
    turn: usize,
    /// What the work has cost whose messages have not all been written.
    unwritten: usize,
    quiescing: Option<Quiescing>,
    /// The lists of connections that somebody asks for.
    listing: Listing,
    /// Whoever keeps what there is beyond the actor's life.
    keep: Option<Box<dyn Keep>>,
    saving: Saving,
    /// What it has beside, as that of a node.
    sharing: Option<Box<Sharing>>,
    /// The broker is to end without delay.
    at_once: bool,
}

/// Work of one connection.
enum Work {
    Batch(Applying),
    /// It was cut off.
    Cut,
    /// It has ended.
    Gone,
    /// It has taken in what it has received.
    Quiesced,
    /// What the log says: nobody's own.
    Read(Box<Reading>),
    /// The state of the space is written down, between two records.
    Keep(Box<StateWork>),
}

impl Work {
    /// Whose work it is if it has its place in the order of another.
    fn of_other_than(&self, id: ConnectionId) -> Option<ConnectionId> {
        if let Self::Batch(batch) = self { Some(batch.from()).filter(|from| *from != id) } else { None }
    }

    /// It waits for something else than its turn: no reason for others to read less.
    fn park(&mut self) {
        if let Self::Batch(batch) = self {
            batch.park();
        }
    }
}

impl Actor {
    /// An actor and the mailbox that reaches it. It ends when every mailbox is dropped.
    pub fn new(settings: ActorSettings) -> (Self, Mailbox) {
        let (sender, mailbox) = Mailbox::new();
        let core = Core::new(settings.core.clone(), Arc::clone(&settings.gauge), Epochs::new(settings.seed));
        let routes = Routes::new(Arc::clone(&settings.stats), Arc::clone(&settings.cut_log));
        let translator = Translator::new(Arc::clone(&settings.translations), sender.downgrade());
        let (agenda, turn, listing, saving) = (Agenda::default(), TURN, Listing::default(), Saving::default());
        settings.stats.set_most(&settings.core);
        settings.stats.most.queued.set(settings.total as u64);
        let (unwritten, quiescing, keep, sharing, at_once) = (0, None, None, None, false);
        let me = sender.downgrade();
        let actor = Self {
            core,
            routes,
            agenda,
            mailbox,
            me,
            translator,
            settings,
            turn,
            unwritten,
            quiescing,
            listing,
            keep,
            saving,
            sharing,
            at_once,
        };
        (actor, sender)
    }

    /// Turns that may cost `nanoseconds`. Smaller ones are fairer and cost more; tests have them take one step each.
    #[must_use]
    pub fn with_turns_of(self, nanoseconds: usize) -> Self {
        Self { turn: nanoseconds, ..self }
    }

    /// Epochs that follow from a seed; tests have the same each time.
    #[must_use]
    pub fn with_epochs_of(self, seed: u64) -> Self {
        let core = Core::new(self.settings.core.clone(), Arc::clone(&self.settings.gauge), Epochs::new(seed));
        Self { core, ..self }
    }

    /// The limits that it was given.
    pub fn limits(&self) -> &CoreLimits {
        &self.settings.core
    }

    /// Begins with what another life has left, which `restore` puts into the core. From here on what changes is noted.
    ///
    /// # Errors
    /// That of `restore`.
    pub fn restored<E>(mut self, restore: impl FnOnce(&mut Core) -> Result<(), E>) -> Result<Self, E> {
        self.core.keep_changes();
        restore(&mut self.core)?;
        Ok(self)
    }

    /// Has what there is kept beyond the actor's life.
    #[must_use]
    pub fn kept_by(self, keep: Box<dyn Keep>) -> Self {
        Self { keep: Some(keep), ..self }
    }

    /// Makes it the actor of a node: what clients want goes through the log, and what comes from there is done.
    #[must_use]
    pub fn shared_by(mut self, port: Box<dyn Log>, settings: NodeSettings) -> Self {
        let flow = self.settings.ids.take();
        self.routes.is_durable_at_once = true;
        self.settings.stats.contact.begin(&settings.name);
        let contact = Arc::clone(&self.settings.stats.contact);
        Self { sharing: Some(Box::new(Sharing::new(port, settings, flow, contact))), ..self }
    }

    /// Begins to keep what there is. To be called before it runs, and before anything reaches it.
    ///
    /// # Errors
    /// That of whoever keeps it, who cannot.
    pub fn begin_to_keep(&mut self) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        self.keep.as_mut().map_or(Ok(()), |keep| keep.begin())
    }

    /// Runs until nobody can reach it any more.
    pub async fn run(mut self) {
        let (began, mut next_look, mut commands) = (Instant::now(), LONGEST_WAIT, Vec::with_capacity(COMMANDS));
        let clock = self.core.time();
        // What was restored may have to be saved as it is now.
        if let Some(keep) = self.keep.as_ref().filter(|_| self.core.take_news()) {
            keep.wake();
        }
        if self.keep.is_none() && self.sharing.is_none() {
            self.core.set_beginning(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default());
        }
        loop {
            if self.is_idle() {
                let Some(late) = self.receive(&mut commands).await else { break };
                self.core.forgive(late);
            } else {
                commands.extend(std::iter::from_fn(|| self.mailbox.try_recv().ok()).take(COMMANDS));
            }
            // Nobody can tell whether a stream was forgotten on time or just before somebody asks for it. So no timer runs: one
            // that does costs every turn of the runtime more than this.
            let passed = began.elapsed();
            if self.sharing.is_none() {
                self.core.set_time(clock + passed);
            }
            for command in commands.drain(..) {
                self.admit(command);
            }
            if passed >= next_look {
                next_look = passed + LONGEST_WAIT;
                self.look_at_disk();
            }
            self.turn(&mut Budget::new(self.turn));
            self.ask_to_save();
            if let Some(sharing) = &mut self.sharing {
                let (core, stats) = (&mut self.core, &self.settings.stats);
                sharing.speak(core, || stats.of_node());
                if let Some(why) = sharing.over.take() {
                    return self.settings.stats.contact.end(why);
                }
                self.look_at_state();
            }
            if !self.is_idle() {
                yield_now().await;
            }
        }
        if let Some(sharing) = self.sharing {
            return sharing.finish().await;
        }
        self.saving.note_again(&mut self.core, &mut Budget::unlimited());
        if let Some(keep) = self.keep {
            let longest = if self.at_once { AT_ONCE } else { LONGEST_FINISH };
            if timeout(longest, keep.finish(self.core, self.at_once)).await.is_err() {
                let seconds = longest.as_secs();
                warn!(seconds, "the store has not been written in time: what has changed since it last was is not kept for the next start");
            }
        }
    }

    /// Waits for commands, or until a will may have to take effect, or the directory has news, or a disk for which somebody waits may hang.
    /// No timer runs for anything else. Returns by how much later than that this went on; none if nobody can reach the actor any more.
    async fn receive(&mut self, commands: &mut Vec<Command>) -> Option<Duration> {
        let look = Some(LONGEST_WAIT).filter(|_| !self.routes.durable.is_empty());
        let tick = self.sharing.as_ref().map(|sharing| sharing.until_tick());
        let Some(wait) = self.core.next_loss().into_iter().chain(self.core.until_news()).chain(look).chain(tick).min() else {
            return (self.mailbox.recv_many(commands, COMMANDS).await > 0).then_some(Duration::ZERO);
        };
        let (began, wait) = (Instant::now(), wait.min(LONGEST_WAIT));
        match timeout(wait, self.mailbox.recv_many(commands, COMMANDS)).await {
            Ok(0) => None,
            // While the broker was stopped or starved, nobody could come back to a session.
            Ok(_) | Err(_) if self.sharing.is_some() => Some(Duration::ZERO),
            Ok(_) | Err(_) => Some(began.elapsed().saturating_sub(wait + LATE)),
        }
    }

    /// Whether there is nothing to do.
    fn is_idle(&self) -> bool {
        let is_due = self.sharing.is_none() && self.core.has_lost_session() || self.core.has_news();
        let has_chores = self.routes.first_cut().is_some() || self.core.has_forgettable() || is_due;
        self.agenda.is_empty()
            && !self.routes.has_queued()
            && !has_chores
            && self.listing.is_empty()
            && self.saving.is_empty()
            && self.saving.is_noted()
            && !self.routes.durable.is_done()
    }

    /// Does what is to be done at once, and puts the rest behind the connection's earlier work.
    fn admit(&mut self, command: Command) {
        match command {
            Command::Connected(id, outbox) => {
                if let Some(quiescing) = &mut self.quiescing {
                    // It comes while the others take in what they have received, and does so too.
                    outbox.quiesce();
                    quiescing.wait_for(id);
                }
                self.settings.stats.opened(outbox.kind(), outbox.encoder());
                self.routes.connect(id, outbox, self.core.time());
                self.turn_away(id);
            }
            Command::Batch { from, inputs, order, claim } => {
                self.settings.stats.actions.add(inputs.len() as u64);
                let mut batch = Applying::new(from, inputs, claim);
                if self.sharing.is_some() {
                    batch.ask_log();
                }
                let mut work = Work::Batch(batch);
                if self.agenda.waits(order) {
                    work.park();
                }
                self.agenda.add(order, work);
            }
            Command::Room(id) => {
                self.routes.durable.unstick(id);
                self.agenda.resume(id, Awaits::Room);
            }
            Command::Translated { order, frames } => {
                if let Some(Work::Batch(batch)) = self.agenda.first(order) {
                    batch.translated(frames);
                }
                self.agenda.resume(order, Awaits::Translation);
                self.translator.next();
            }
            // One that ends is given no more, so that the rest of its work waits for nothing.
            Command::Cut(id) => {
                self.routes.durable.forget(id);
                self.last_of(id, Work::Cut);
            }
            Command::Expel(id, reason) => self.routes.expel(id, ErrorCode::AuthFailed, &reason),
            Command::Gone(id) => {
                self.routes.durable.forget(id);
                self.last_of(id, Work::Gone);
            }
            Command::SetLimits(limits) => {
                if let Some(sharing) = &mut self.sharing {
                    sharing.set_limits(SharedLimits::of(&limits));
                }
                self.core.set_limits(*limits);
                self.settings.stats.set_most(self.core.limits());
            }
            Command::List(ask) => self.listing.ask(ask),
            Command::Save(save) => self.save(save),
            Command::Quiesced(id) => self.agenda.add(id, Work::Quiesced),
            Command::Quiesce(done) => self.quiesce(done),
            Command::Log(told) => self.hear(told),
            Command::Shutdown => {
                match &mut self.sharing {
                    Some(sharing) => sharing.leave(self.me.upgrade().map(Mailbox::of)),
                    None => self.core.stop(),
                }
                self.routes.shutdown();
                self.agenda.resume_all();
            }
            Command::Abort => {
                self.at_once = true;
                self.routes.abort();
                self.agenda.resume_all();
            }
            // Whoever asked may be gone by now, which is no matter.
            Command::Beat(answer) => drop(answer.send(())),
        }
    }

    fn last_of(&mut self, id: ConnectionId, work: Work) {
        self.agenda.add(id, work);
        self.agenda.resume(id, Awaits::Room);
    }

    /// One turn: as much as the budget allows of what there is to do, the most urgent first.
    fn turn(&mut self, budget: &mut Budget) {
        self.chores(budget, CHORES);
        while !budget.is_spent() {
            if let Some((id, flow)) = self.agenda.take_light() {
                self.serve(id, flow, LIGHT_QUANTUM, budget);
            } else if self.routes.has_queued() && (self.agenda.is_empty() || self.unwritten >= UNWRITTEN) {
                self.flush(budget);
            } else if let Some((id, flow)) = self.agenda.take() {
                self.serve(id, flow, QUANTUM, budget);
            } else if self.chores(budget, self.turn) == 0 {
                break;
            }
        }
        if self.settings.gauge.bytes() > self.settings.total {
            relief::relieve(&mut self.routes, &self.settings.stats, self.settings.total, || self.settings.gauge.bytes());
        }
        self.settings.stats.set_levels(&self.core, self.settings.translations.count());
    }

    /// Writes some of what was queued. That is everybody's work: who has more to do waits as long, in virtual time.
    fn flush(&mut self, budget: &mut Budget) {
        let ((), cost) = budget.part(FLUSH, |part| self.routes.flush_touched(part));
        self.agenda.pass(cost);
        if !self.routes.has_queued() {
            self.unwritten = 0;
        }
        self.resume_roomy();
    }

    /// Takes up to `most` worth of one connection's work.
    fn serve(&mut self, id: ConnectionId, mut flow: Box<Flow<Work>>, most: usize, budget: &mut Budget) {
        let ((), cost) = budget.part(most, |part| {
            while let Some(mut work) = flow.work.pop_front() {
                let Progress { done, mut awaits } = self.work(id, &mut work, flow.fresh, part);
                match work.of_other_than(id) {
                    // Nobody who publishes waits for the listener.
                    Some(own) if awaits == Some(Awaits::Room) => {
                        awaits = None;
                        self.agenda.add(own, work);
                    }
                    Some(_) | None if !done => flow.work.push_front(work),
                    Some(_) | None => {}
                }
                if let Some(awaits) = awaits {
                    flow.pause(awaits);
                }
                if !done || awaits.is_some() || part.is_spent() {
                    break;
                }
            }
            self.routes.flush_urgent(part);
        });
        self.unwritten += cost;
        if flow.waits() {
            flow.work.iter_mut().for_each(Work::park);
        }
        self.agenda.put_back(id, flow, cost);
        self.resume_roomy();
    }

    /// Does some work of one connection.
    fn work(&mut self, id: ConnectionId, work: &mut Work, fresh: bool, budget: &mut Budget) -> Progress {
        let done = match work {
            Work::Batch(batch) => {
                return match self.ask(id, batch, budget) {
                    Asked::Here => self.parts().apply(id, batch, fresh, budget),
                    Asked::Waits => Progress { done: false, awaits: Some(Awaits::Log) },
                    Asked::Dropped => {
                        batch.drop_all();
                        self.routes.applied(batch.from());
                        Progress { done: true, awaits: None }
                    }
                };
            }
            Work::Read(reading) => self.read(reading, budget),
            Work::Keep(state) => self.keep_state(state, budget),
            Work::Cut => self.core.forget_connection(id, budget),
            Work::Gone => {
                if self.sharing.as_mut().is_some_and(|sharing| sharing.lose(id)) {
                    return Progress { done: false, awaits: Some(Awaits::Log) };
                }
                self.routes.nobody_begins();
                let lost = self.sharing.is_some() || self.core.lose(id, budget, &mut self.routes);
                let done = lost && self.core.forget_connection(id, budget);
                self.routes.all_listen_to_less();
                if done {
                    self.gone(id);
                }
                done
            }
            Work::Quiesced => {
                self.quiesced(id);
                true
            }
        };
        Progress { done, awaits: None }
    }

    fn parts(&mut self) -> Parts<'_> {
        let Self { core, routes, translator, settings, quiescing, .. } = self;
        Parts { core, routes, translator, translations: &settings.translations, is_stopping: quiescing.is_some() }
    }

    fn gone(&mut self, id: ConnectionId) {
        self.quiesced(id);
        if let Some(outbox) = self.routes.disconnect(id) {
            self.settings.stats.closed(outbox.kind(), outbox.encoder());
        }
        if let Some(sharing) = &mut self.sharing {
            sharing.gone(id);
        }
        self.settings.ids.give_back(id);
    }

    /// What is nobody's own work: forgetting streams that are over, and taking connections that were cut off out of all lists. Returns
    /// what it cost.
    fn chores(&mut self, budget: &mut Budget, most: usize) -> usize {
        let ((), cost) = budget.part(most, |part| {
            self.core.forget(part);
            if self.sharing.is_none() && self.core.has_lost_session() {
                self.routes.nobody_begins();
                self.core.lose_sessions(part, &mut self.routes);
                self.routes.all_listen_to_less();
            }
            if self.core.has_news() {
                self.routes.nobody_begins();
                self.core.publish(part, &mut self.routes);
            }
            while let Some(id) = self.routes.first_cut() {
                if part.is_spent() {
                    break;
                }
                part.spend(INPUT);
                if !self.core.forget_connection(id, part) {
                    break;
                }
                self.routes.hung_up();
                // It is given nothing any more, so that its work need not wait for room.
                self.agenda.resume(id, Awaits::Room);
            }
            if !self.listing.is_empty() {
                self.listing.go_on(&self.core, &self.routes, part);
            }
            if !self.saving.is_noted() {
                self.saving.note_again(&mut self.core, part);
            }
            if !self.saving.is_empty() {
                self.saving.go_on(&mut self.core, self.routes.durable.wants_save(), part);
            }
            self.routes.give_out_durable(part);
        });
        // Some may have waited for a receipt.
        self.resume_roomy();
        self.tell_quiesced();
        cost
    }

    fn resume_roomy(&mut self) {
        while let Some(id) = self.routes.next_roomy() {
            self.routes.durable.unstick(id);
            self.agenda.resume(id, Awaits::Room);
        }
    }
}
