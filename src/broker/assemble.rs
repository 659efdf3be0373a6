//! From settings to the running parts of a broker.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
#[cfg(feature = "store")]
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tracing::debug;

#[cfg(feature = "store")]
use tokio::sync::mpsc::WeakUnboundedSender;

#[cfg(feature = "store")]
use crate::broker::actor::Mailbox;
use crate::broker::actor::{Actor, ActorSettings, Command, CutLog, Ids, Intake, Saves, Stats};
#[cfg(feature = "nodes")]
use crate::broker::actor::{KEEP_AFTER, NodeSettings};
use crate::broker::connection::{ConnectionContext, ReaderLimits, Times};
#[cfg(feature = "nodes")]
use crate::broker::core::SharedLimits;
use crate::broker::core::{CoreLimits, ReplayLimits};
use crate::broker::outbox::OutboxLimits;
#[cfg(feature = "nodes")]
use crate::broker::settings::NodesSettings;
#[cfg(feature = "store")]
use crate::broker::settings::StoreSettings;
use crate::broker::settings::{Settings, memory};
#[cfg(feature = "store")]
use crate::broker::store::{Keeper, Store, StoreError};
use crate::wire::json_lines;
use crate::wire::units::ByteSize;
use crate::wire::{DecodeLimits, Gauge, Translations};

/// Translations of headers are kept up to this fraction of the memory that headers may take. Beyond it a header is translated for
/// each listener that joins in another encoding.
const KEPT_TRANSLATIONS: usize = 4;

/// A run may have to be taken apart. Its messages are then translated one by one, by the actor if they are no longer than this.
const LONGEST_RUN: usize = 256 << 10;

/// A broker without sockets: the actor, which is to be run, and what all connections that speak JSON lines share;
/// [`ConnectionContext::speaking`] makes the same for another encoding.
pub fn assemble(settings: &Settings) -> (Actor, Arc<ConnectionContext>) {
    let (derived, outbox) = (Derived::of(settings), &settings.outbox);
    debug!(memory = derived.memory, "limits that are set to 0 follow from the memory");
    let frames = Arc::new(Gauge::default());
    let translations = Arc::new(Translations::keeping(derived.translations, Arc::clone(&frames)));
    let (ids, stats, cut_log) = (Arc::new(Ids::default()), Arc::new(Stats::default()), Arc::new(CutLog::default()));
    let (actor, mailbox) = Actor::new(ActorSettings {
        core: derived.core,
        // The standard library's hashers have random keys.
        seed: RandomState::new().hash_one(std::process::id()),
        total: auto(outbox.total, derived.memory / 4),
        gauge: Arc::clone(&frames),
        translations: Arc::clone(&translations),
        ids: Arc::clone(&ids),
        stats: Arc::clone(&stats),
        cut_log: Arc::clone(&cut_log),
    });
    let context = ConnectionContext {
        mailbox,
        reader: reader(settings, Arc::new(Intake::new(derived.intake)), Arc::clone(&stats.saves)),
        outbox: Arc::new(OutboxLimits {
            encoder: &json_lines::ENCODER,
            limit: outbox.limit.0,
            policy: outbox.policy,
            gauge: frames,
            translations,
            permits: Arc::default(),
            sent: Arc::default(),
        }),
        times: times(settings),
        // A server has its own, which reads its file.
        access: None,
        ids,
        stats,
        cut_log,
        mistake_log: Arc::default(),
    };
    (actor, Arc::new(context))
}

/// Has an actor keep what there is in a store, and begin with what that holds.
#[cfg(feature = "store")]
pub(crate) fn keep(actor: Actor, store: Store, settings: &StoreSettings, mailbox: &Mailbox, stats: &Stats) -> Result<Actor, StoreError> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    keep_with(actor, store, now, mailbox, stats, |store, mailbox, saves| Keeper::new(store, settings.interval.0, mailbox, saves))
}

/// The same at any time since 1970, and a store that is written without a thread, for simulations.
///
/// # Errors
/// If the store cannot be read.
#[cfg(feature = "store")]
pub fn keep_without_thread(
    actor: Actor,
    store: Store,
    settings: &StoreSettings,
    now: Duration,
    mailbox: &Mailbox,
    stats: &Stats,
) -> Result<Actor, StoreError> {
    let keeper = |store, mailbox, saves| Keeper::new(store, settings.interval.0, mailbox, saves).without_thread();
    keep_with(actor, store, now, mailbox, stats, keeper)
}

#[cfg(feature = "store")]
fn keep_with(
    actor: Actor,
    mut store: Store,
    now: Duration,
    mailbox: &Mailbox,
    stats: &Stats,
    keeper: impl FnOnce(Store, WeakUnboundedSender<Command>, Arc<Saves>) -> Keeper,
) -> Result<Actor, StoreError> {
    let began = Instant::now();
    let actor = actor.restored(|core| {
        let loaded = store.read_clock(now)?;
        core.restore_clock(loaded.clock, loaded.began);
        store.load(&mut |restored| core.restore(restored))?;
        if let Some(life) = loaded.life {
            core.restore_life(life);
        }
        tracing::info!(streams = core.streams(), after = if loaded.life.is_some() { "an orderly stop" } else { "a crash, or at first" }, took = ?began.elapsed(), "the store is read");
        Ok(())
    })?;
    stats.saves.keep();
    Ok(actor.kept_by(Box::new(keeper(store, mailbox.downgrade(), Arc::clone(&stats.saves)))))
}

/// Makes an actor that of a node, and begins to follow the log of its space.
#[cfg(feature = "nodes")]
pub(crate) fn share(
    actor: Actor,
    nodes: &NodesSettings,
    settings: &Settings,
    addresses: Vec<String>,
    context: &ConnectionContext,
) -> Result<Actor, crate::broker::nats::NatsError> {
    let mailbox = context.mailbox.downgrade();
    let tell = move |told| mailbox.upgrade().is_some_and(|mailbox| mailbox.send(Command::Log(told)).is_ok());
    let port = crate::broker::nats::follow(nodes, tell)?;
    let name = if nodes.name.is_empty() { host_name() } else { nodes.name.clone() };
    let (limits, lease) = (SharedLimits::of(&Derived::of(settings).core), nodes.lease.0);
    let seed = RandomState::new().hash_one(std::process::id());
    context.stats.saves.keep();
    Ok(actor.shared_by(Box::new(port), NodeSettings { name, addresses, limits, lease, seed, keep_after: KEEP_AFTER, log: nodes.log.0 }))
}

/// What this machine is called.
#[cfg(feature = "nodes")]
fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Has a running broker keep to other limits, and returns what connections that are made from now on are given. The rest of the
/// settings is as before.
pub(crate) fn set_limits(settings: &Settings, context: &ConnectionContext) -> Arc<ConnectionContext> {
    let derived = Derived::of(settings);
    context.reader.intake.set_most(derived.intake);
    context.outbox.translations.set_most(derived.translations);
    // The actor is gone only if the broker is.
    let _ = context.mailbox.send(Command::SetLimits(Box::new(derived.core)));
    let reader = reader(settings, Arc::clone(&context.reader.intake), Arc::clone(&context.stats.saves));
    Arc::new(ConnectionContext { reader, times: times(settings), ..context.clone() })
}

/// What follows from the settings and the memory of the machine.
struct Derived {
    memory: usize,
    core: CoreLimits,
    /// What may be received and not have taken effect, in bytes of memory.
    intake: usize,
    /// What translations may be kept, in bytes of memory.
    translations: usize,
}

impl Derived {
    fn of(Settings { limits, outbox, replay, .. }: &Settings) -> Self {
        let memory = memory();
        let stored = auto(limits.headers_total, memory / 4);
        let core = CoreLimits {
            streams: limits.streams,
            listens: limits.listens,
            // Half of a queue is taken before it is looked at.
            piece: outbox.limit.0 / 4,
            stored,
            ended_time: limits.ended_time.0,
            replay: ReplayLimits {
                // What a listener missed has to fit into its outbox beside what comes.
                stream: replay.stream.0.min(outbox.limit.0 / 2),
                total: auto(replay.total, memory / 8),
                time: replay.time.0,
            },
            sessions: limits.sessions,
            session_time: limits.session_time.0,
        };
        // Two lines of the longest length must fit at once, on the smallest machine too.
        let intake = auto(limits.unfinished_lines, (memory / 8).max(2 * limits.line.0));
        Self { memory, core, intake, translations: stored / KEPT_TRANSLATIONS }
    }
}

/// A size that was set, or this share of the memory.
fn auto(size: ByteSize, share: usize) -> usize {
    if size.0 == 0 { share } else { size.0 }
}

fn reader(Settings { limits, outbox, .. }: &Settings, intake: Arc<Intake>, saves: Arc<Saves>) -> ReaderLimits {
    ReaderLimits {
        decode: DecodeLimits { line: limits.line.0, name: limits.name.0 },
        header: limits.header.0,
        // With less than a queue takes, it is seen to be full before it is so twice.
        run: (outbox.limit.0 / 2).min(LONGEST_RUN),
        errors_in_a_row: limits.errors_in_a_row,
        intake,
        saves,
    }
}

fn times(Settings { limits, outbox, auth, .. }: &Settings) -> Times {
    Times {
        first_line: limits.first_line_time.0,
        auth: auth.time.0,
        write: outbox.write_time.0,
        throttle: outbox.throttle_time.0,
        drain: outbox.drain_time.0,
        longest_drain: outbox.longest_drain(),
    }
}
