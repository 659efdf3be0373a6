//! How the actor of a node does what all nodes of its space do: what clients want goes into the log, and is done when it comes back from there,
//! between what comes from other nodes.
//!
//! - `entry`: what waits to be done when a record comes back.
//! - `outgoing`: what goes into the log, one record after the other.
//! - `asking`: from a client's batch into the log.
//! - `reading`: from the log into the core.
//! - `nodes`: the nodes as streams, for whoever wants to see them.
//! - `starting`: how a node begins, and what it keeps for those that come later.
//! - `contact`: whether a node hears the others, as others see it.

mod asking;
mod contact;
mod entry;
mod nodes;
mod outgoing;
mod reading;
mod starting;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use crate::broker::core::{Budget, Core, SharedLimits};
use crate::broker::space::{Clock, Join, Log, Members, Op, Status, Told};
use crate::wire::ids::{ConnectionId, StreamName};

use super::agenda::Awaits;
use super::applying::Applying;
use super::{Actor, Work};
pub(super) use asking::Asked;
pub use contact::Contact;
#[cfg(feature = "http")]
pub(crate) use contact::Records;
use entry::Entry;
use outgoing::Outgoing;
pub(super) use reading::{Reading, Replay};
pub use starting::KEEP_AFTER;
pub(super) use starting::{Next, StateWork};

/// A node says something this often at least.
pub(super) const TICK: Duration = Duration::from_secs(1);
/// How often it says how it does.
const STATUS: u64 = 5;
/// If it has heard nothing of itself for this long, it does not know how the streams stand.
const FRESH: Duration = Duration::from_secs(3);
/// So many streams are told of at once.
const COUNTS: usize = 1000;

/// What a node is given.
#[derive(Debug, Clone)]
pub struct NodeSettings {
    /// Its name.
    pub name: String,
    /// Where its clients find it.
    pub addresses: Vec<String>,
    /// What it brings of the settings that all nodes have in common.
    pub limits: SharedLimits,
    /// How long a node may be silent.
    pub lease: Duration,
    /// Makes its lives others than those of other nodes.
    pub seed: u64,
    /// After so many records the state is kept for nodes that come later.
    pub keep_after: usize,
}

/// What a connection of this node has that the others know of.
#[derive(Debug, Default)]
struct Client {
    has_session: bool,
}

/// What the actor has beside, if it is that of a node.
pub(super) struct Sharing {
    port: Box<dyn Log>,
    settings: NodeSettings,
    /// In whose order records are read. No connection has this id.
    pub(super) flow: ConnectionId,
    /// Which life of the node this is.
    life: u64,
    lives: u64,
    members: Members,
    clock: Clock,
    limits: SharedLimits,
    lease: Duration,
    /// It has a state to begin with.
    has_begun: bool,
    /// It has read what there was when it began.
    has_caught_up: bool,
    /// It has said that it goes.
    pub(super) is_leaving: bool,
    outgoing: Outgoing,
    /// Its connections that have a session or a will.
    clients: BTreeMap<ConnectionId, Client>,
    /// Its connections of which something was lost, so that nothing more of them is taken.
    cut: BTreeSet<ConnectionId>,
    /// Whose work may go on.
    resumed: Vec<ConnectionId>,
    /// When it last said something of which it has heard since.
    heard: Option<Instant>,
    next_tick: Instant,
    ticks: u64,
    /// Where it has come to among the streams that are to stay.
    to_touch: Option<(u32, StreamName)>,
    keeping: starting::Keeping,
    contact: std::sync::Arc<Contact>,
    /// Why it cannot go on.
    pub(super) over: Option<String>,
}

impl Sharing {
    pub(super) fn new(port: Box<dyn Log>, settings: NodeSettings, flow: ConnectionId, contact: std::sync::Arc<Contact>) -> Self {
        let (limits, lease) = (settings.limits.clone(), settings.lease);
        let keeping = starting::Keeping::after(settings.keep_after);
        let mut sharing = Self {
            port,
            settings,
            flow,
            life: 0,
            lives: 0,
            members: Members::default(),
            clock: Clock::default(),
            limits,
            lease,
            has_begun: false,
            has_caught_up: false,
            is_leaving: false,
            outgoing: Outgoing::default(),
            clients: BTreeMap::new(),
            cut: BTreeSet::new(),
            resumed: Vec::new(),
            heard: None,
            next_tick: Instant::now(),
            ticks: 0,
            to_touch: None,
            keeping,
            contact,
            over: None,
        };
        sharing.begin_life();
        sharing
    }

    /// Another life of the node: nothing that it has said before counts any more.
    fn begin_life(&mut self) {
        self.lives += 1;
        let mixed = (self.settings.seed ^ self.lives.rotate_left(48)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.life = mixed ^ mixed >> 29;
        self.outgoing.begin_life(self.life);
    }

    /// Whether it knows how the streams stand, as far as one can.
    fn is_fresh(&self) -> bool {
        self.heard.is_some_and(|heard| heard.elapsed() < FRESH)
    }

    /// Introduces the node to the others, before it says anything else.
    fn introduce(&mut self) {
        let NodeSettings { name, limits, lease, .. } = &self.settings;
        let join = Join { name: name.clone(), limits: limits.clone(), lease: *lease };
        self.outgoing.push_first(Entry::Step(None, Op::Join(Box::new(join))));
    }

    /// It has other settings from now on, and so have all nodes.
    pub(super) fn set_limits(&mut self, limits: SharedLimits) {
        if self.settings.limits != limits {
            self.settings.limits = limits.clone();
            self.outgoing.push(Entry::Step(None, Op::Limits(limits)));
        }
    }

    /// How long it may be until it has something to say.
    pub(super) fn until_tick(&self) -> Duration {
        self.next_tick.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))
    }

    /// Says what there is to say, if it may.
    pub(super) fn speak(&mut self, core: &mut Core, status: impl FnOnce() -> Status) {
        if !self.has_caught_up || self.over.is_some() {
            return;
        }
        let now = Instant::now();
        if now >= self.next_tick && !self.is_leaving {
            self.next_tick = now + TICK;
            self.contact.look(self.heard, self.members.get(self.life).is_some());
            if self.outgoing.is_free() {
                self.tick(core, status);
            }
        }
        self.outgoing.send(&mut *self.port);
    }

    fn tick(&mut self, core: &mut Core, status: impl FnOnce() -> Status) {
        if self.members.get(self.life).is_some() {
            if self.ticks.is_multiple_of(STATUS) {
                let status = Status { addresses: self.settings.addresses.clone(), ..status() };
                self.outgoing.push(Entry::Step(None, Op::Status(Box::new(status))));
            }
            self.ticks += 1;
            let counts: Vec<_> = std::iter::from_fn(|| core.next_count()).take(COUNTS).collect();
            if !counts.is_empty() {
                self.outgoing.push(Entry::Step(None, Op::Counts(counts)));
            }
            let mut wanted = Vec::new();
            self.to_touch = core.to_touch(self.to_touch.take(), COUNTS, &mut wanted);
            wanted.into_iter().for_each(|stream| self.outgoing.push(Entry::Step(None, Op::Touch(stream))));
        }
        self.outgoing.push(Entry::Tick(Instant::now()));
    }

    /// The node goes: all that it has to say is said, and then that.
    pub(super) fn leave(&mut self) {
        if !std::mem::replace(&mut self.is_leaving, true) {
            self.outgoing.push(Entry::Step(None, Op::Stop));
        }
    }

    /// Waits until what the node has said last is stored, or until that takes too long.
    pub(super) async fn finish(self) {
        self.port.finish().await;
    }

    /// The connection is gone, and its id may be given to another.
    pub(super) fn gone(&mut self, id: ConnectionId) {
        self.cut.remove(&id);
        self.clients.remove(&id);
    }

    /// Whose work may go on.
    pub(super) fn take_resumed(&mut self) -> Vec<ConnectionId> {
        std::mem::take(&mut self.resumed)
    }
}

impl Actor {
    /// What is told by whatever keeps the log.
    pub(super) fn hear(&mut self, told: Told) {
        let Some(sharing) = &mut self.sharing else { return };
        if let Next::Read(reading) = sharing.hear(told, &mut self.core, &self.settings.ids) {
            self.agenda.add(sharing.flow, Work::Read(reading));
        }
    }

    /// Takes out of a batch what has to go into the log.
    pub(super) fn ask(&mut self, order: ConnectionId, batch: &mut Applying) -> Asked {
        let Some(sharing) = &mut self.sharing else { return Asked::Here };
        let from = batch.from();
        if self.core.is_fenced(from) || from == order && self.routes.is_held(from) {
            return Asked::Here;
        }
        sharing.ask(order, batch, &mut self.core)
    }

    /// Goes on with what a record says. True if it is done.
    pub(super) fn read(&mut self, reading: &mut Reading, budget: &mut Budget) -> bool {
        let Some(sharing) = &mut self.sharing else { return true };
        let (core, routes, ids) = (&mut self.core, &mut self.routes, &*self.settings.ids);
        let done = Replay { core, routes, sharing, ids }.go_on(reading, budget);
        for order in sharing.take_resumed() {
            self.agenda.resume(order, Awaits::Log);
        }
        if done && let Some(state) = sharing.state_to_keep(&self.core) {
            self.agenda.add(sharing.flow, Work::Keep(state));
        }
        done
    }

    /// Goes on with writing the state down. True if it is done.
    pub(super) fn keep_state(&mut self, state: &mut StateWork, budget: &mut Budget) -> bool {
        let Some(sharing) = &mut self.sharing else { return true };
        let done = state.go_on(&self.core, budget);
        if done {
            sharing.keep(std::mem::take(state));
        }
        done
    }
}
