//! What a node has beside the streams: its way to the log, what it says there, and what it knows of the others.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::broker::actor::contact::Contact;
use crate::broker::actor::mailbox::Mailbox;
use crate::broker::core::{Core, SharedLimits};
use crate::broker::space::{Clock, Join, Log, Members, Op, Status};
use crate::wire::ids::{ConnectionId, StreamName};

use super::entry::Entry;
use super::keeping::Keeping;
use super::outgoing::Outgoing;

/// A node says something this often at least.
const TICK: Duration = Duration::from_secs(1);
/// How often it says how it does.
const STATUS: u64 = 5;
/// If it has heard nothing of itself for this long, it does not know how the streams stand.
const FRESH: Duration = Duration::from_secs(3);
/// When the broker stops, that may take so long.
const LAST_WORD: Duration = Duration::from_secs(2);
/// While it goes, the node looks this often whether it has said so.
const LEAVING: Duration = Duration::from_millis(20);
/// So many streams are looked at each time to find those that are to stay.
const LOOKS: usize = 10_000;
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
    /// The most that the log may take, in bytes.
    pub log: usize,
}

/// What a connection of this node has that the others know of.
#[derive(Debug, Default)]
pub(super) struct Client {
    pub(super) has_session: bool,
}

/// What the actor has beside, if it is that of a node.
pub(in crate::broker::actor) struct Sharing {
    pub(super) port: Box<dyn Log>,
    pub(super) settings: NodeSettings,
    /// In whose order records are read. No connection has this id.
    pub(in crate::broker::actor) flow: ConnectionId,
    /// Which life of the node this is.
    pub(super) life: u64,
    pub(super) lives: u64,
    pub(super) members: Members,
    pub(super) clock: Clock,
    pub(super) limits: SharedLimits,
    pub(super) lease: Duration,
    /// It has a state to begin with.
    pub(super) has_begun: bool,
    /// It has read what there was when it began.
    pub(super) has_caught_up: bool,
    /// It has said that it goes.
    pub(in crate::broker::actor) is_leaving: bool,
    pub(super) outgoing: Outgoing,
    /// Its connections that have a session or a will.
    pub(super) clients: BTreeMap<ConnectionId, Client>,
    /// Its connections of which something was lost, so that nothing more of them is taken.
    pub(super) cut: BTreeSet<ConnectionId>,
    /// Whose work may go on.
    pub(super) resumed: Vec<ConnectionId>,
    /// When it last said something of which it has heard since.
    pub(super) heard: Option<Instant>,
    pub(super) next_tick: Instant,
    pub(super) ticks: u64,
    /// What it says once a second has not come back yet.
    pub(super) tick_waits: bool,
    /// Keeps the actor alive until the node has said that it goes, or until it takes too long.
    alive: Option<(Mailbox, Instant)>,
    /// Where it has come to among the streams that are to stay.
    pub(super) to_touch: Option<(u32, StreamName)>,
    pub(super) keeping: Keeping,
    pub(super) contact: Arc<Contact>,
    /// Why it cannot go on.
    pub(in crate::broker::actor) over: Option<String>,
}

impl Sharing {
    pub(in crate::broker::actor) fn new(port: Box<dyn Log>, settings: NodeSettings, flow: ConnectionId, contact: Arc<Contact>) -> Self {
        let (limits, lease) = (settings.limits.clone(), settings.lease);
        let keeping = Keeping::after(settings.keep_after, settings.log);
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
            tick_waits: false,
            alive: None,
            to_touch: None,
            keeping,
            contact,
            over: None,
        };
        sharing.begin_life();
        sharing
    }

    /// Another life of the node: nothing that it has said before counts any more.
    pub(super) fn begin_life(&mut self) {
        self.lives += 1;
        let mixed = (self.settings.seed ^ self.lives.rotate_left(48)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.life = mixed ^ mixed >> 29;
        self.outgoing.begin_life(self.life);
        self.tick_waits = false;
        self.keeping.give_up();
    }

    /// Whether it knows how the streams stand, as far as one can.
    pub(super) fn is_fresh(&self) -> bool {
        self.heard.is_some_and(|heard| heard.elapsed() < FRESH)
    }

    /// Introduces the node to the others, before it says anything else.
    pub(super) fn introduce(&mut self) {
        let NodeSettings { name, limits, lease, .. } = &self.settings;
        let join = Join { name: name.clone(), limits: limits.clone(), lease: *lease };
        self.outgoing.push_first(Entry::Step(None, Op::Join(Box::new(join))));
    }

    /// It has other settings from now on, and so have all nodes.
    pub(in crate::broker::actor) fn set_limits(&mut self, limits: SharedLimits) {
        if self.settings.limits != limits {
            self.settings.limits = limits.clone();
            self.outgoing.push(Entry::Step(None, Op::Limits(limits)));
        }
    }

    /// How long it may be until it has something to say.
    pub(in crate::broker::actor) fn until_tick(&self) -> Duration {
        if !self.has_caught_up {
            return TICK;
        }
        if self.is_leaving {
            // It only looks whether it may end.
            return LEAVING;
        }
        self.next_tick.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))
    }

    /// Says what there is to say, if it may.
    pub(in crate::broker::actor) fn speak(&mut self, core: &mut Core, status: impl FnOnce() -> Status) {
        if !self.has_caught_up || self.over.is_some() {
            return;
        }
        let now = Instant::now();
        if now >= self.next_tick && !self.is_leaving {
            self.next_tick = now + TICK;
            self.contact.look(self.heard, self.members.get(self.life).is_some());
            // What is said once a second does not pile up while nothing can be said.
            if !std::mem::replace(&mut self.tick_waits, true) {
                self.tick(core, status);
            }
        }
        self.outgoing.send(&mut *self.port);
        self.let_end();
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
            self.to_touch = core.to_touch(self.to_touch.take(), LOOKS, &mut wanted);
            wanted.into_iter().for_each(|stream| self.outgoing.push(Entry::Step(None, Op::Touch(stream))));
        }
        self.outgoing.push(Entry::Tick(Instant::now()));
    }

    /// It hears what it said at this moment, so it is not cut off: nobody is turned away any more from now on.
    pub(super) fn hear_tick(&mut self, said: Instant) {
        (self.heard, self.tick_waits) = (Some(said), false);
        self.contact.look(self.heard, self.members.get(self.life).is_some());
    }

    /// The node goes: all that it has to say is said, and then that.
    pub(in crate::broker::actor) fn leave(&mut self, mailbox: Option<Mailbox>) {
        if !std::mem::replace(&mut self.is_leaving, true) && self.has_caught_up {
            self.outgoing.push(Entry::Step(None, Op::Stop));
            self.alive = mailbox.map(|mailbox| (mailbox, Instant::now() + LAST_WORD));
        }
    }

    /// Lets the actor end once the node has said that it goes.
    fn let_end(&mut self) {
        self.alive.take_if(|(_, until)| self.outgoing.is_free() || *until <= Instant::now());
    }

    /// Waits until what the node has said last is stored, or until that takes too long.
    pub(in crate::broker::actor) async fn finish(self) {
        self.port.finish().await;
    }

    /// Whether one that comes is turned away, since the node has not heard the others for longer than the lease: what it wants could wait for
    /// ever, and so could what thousands of others want that come after it.
    pub(in crate::broker::actor) fn turns_away(&mut self, id: ConnectionId) -> bool {
        let is_cut_off = self.contact.cut_off().is_some_and(|(time, _)| time > self.lease);
        if is_cut_off {
            self.cut.insert(id);
        }
        is_cut_off
    }

    /// The connection is gone, and its id may be given to another.
    pub(in crate::broker::actor) fn gone(&mut self, id: ConnectionId) {
        self.cut.remove(&id);
        self.clients.remove(&id);
    }

    /// Whose work may go on.
    pub(in crate::broker::actor) fn take_resumed(&mut self) -> Vec<ConnectionId> {
        std::mem::take(&mut self.resumed)
    }

    /// What the connections are called here of which all nodes know, and what all call them.
    #[cfg(test)]
    pub(super) fn called(&self) -> BTreeMap<ConnectionId, String> {
        let members = self.members.iter();
        members.flat_map(|(life, member)| member.clients.iter().map(move |(number, id)| (*id, format!("{number} of {life:x}")))).collect()
    }

    /// Says what it has to say.
    #[cfg(test)]
    pub(super) fn speak_for_test(&mut self) {
        self.outgoing.send(&mut *self.port);
    }
}
