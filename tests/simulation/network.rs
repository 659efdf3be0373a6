//! The network: who reaches the broker, over which connections, and who has died. [`lives`] are those of the broker at its other
//! side, which ends and begins again.

mod lives;
mod nodes;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::pending;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

use fastrand::Rng;
use msgstream::broker::Settings;
use msgstream::internal::broker::connection::{ConnectionContext, serve};
use msgstream::internal::client::{ByteStream, Connecting, Connector};
use msgstream::internal::wire::json_lines::JsonLines;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep};

use super::direction::Weather;
use super::history::{Client, Fact, History, without_session};
use super::kept::Kept;
use super::log::SharedLog;
use super::wire::{Tap, Wire};

pub(crate) struct Network {
    pub(crate) history: History,
    /// What brokers keep beyond their lives, if anything.
    pub(crate) kept: Option<Kept>,
    /// The log, if there are nodes.
    pub(crate) log: Option<Arc<SharedLog>>,
    settings: Settings,
    weather: Weather,
    /// What one turn of the broker's actor may cost.
    turn: usize,
    me: Weak<Network>,
    state: Mutex<State>,
}

struct State {
    rng: Rng,
    /// The broker, or each of the nodes that there may be.
    brokers: Vec<Option<Broker>>,
    /// The last broker is not done yet: nobody else can have its store.
    is_ending: bool,
    /// The nodes that are not done yet: nobody else has their names.
    ending_nodes: BTreeSet<usize>,
    /// Which nodes do not reach the log, since when, and who was left there.
    apart_nodes: BTreeMap<usize, (Instant, Vec<(Client, u32)>)>,
    links: Vec<Link>,
    next_link: u32,
    /// Who reaches nobody.
    apart: BTreeSet<Client>,
    dead: BTreeSet<Client>,
    /// The connection that holds each client's session.
    holders: BTreeMap<Client, u32>,
}

struct Broker {
    context: Arc<ConnectionContext>,
    actor: AbortHandle,
    tasks: JoinSet<()>,
}

impl Broker {
    /// How many of its tasks have panicked. As long as it can be reached, its actor ends in no other way.
    fn panics(&self) -> u64 {
        self.context.stats.snapshot().panics + u64::from(self.actor.is_finished())
    }
}

struct Link {
    number: u32,
    client: Client,
    /// At which of the brokers it ends.
    node: usize,
    wire: Wire,
}

/// What listens in on one link.
struct LinkTap {
    network: Weak<Network>,
    link: u32,
    client: Client,
    /// What has been written of the next line, by the client and by the broker.
    unfinished: Mutex<[Vec<u8>; 2]>,
}

impl Tap for LinkTap {
    fn wrote(&self, by_broker: bool, bytes: &[u8]) {
        let Some(network) = self.network.upgrade() else { return };
        let mut unfinished = self.unfinished.lock().unwrap();
        let buffer = &mut unfinished[usize::from(by_broker)];
        buffer.extend_from_slice(bytes);
        while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = buffer.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line[..end]).into_owned();
            network.wrote(self.link, self.client, by_broker, &line);
        }
    }

    fn broker_read_end(&self) {
        if let Some(network) = self.network.upgrade() {
            // The last line counts without its end too, if it is whole.
            let rest = std::mem::take(&mut self.unfinished.lock().unwrap()[0]);
            let rest = String::from_utf8_lossy(&rest).into_owned();
            if rest.ends_with('}') {
                network.wrote(self.link, self.client, false, &rest);
            }
            network.left(self.link, self.client);
        }
    }

    fn broker_left(&self) {
        if let Some(network) = self.network.upgrade() {
            network.broker_left(self.link, self.client);
        }
    }
}

impl Network {
    pub(crate) fn new(
        settings: Settings,
        (kept, log, nodes): (Option<Kept>, Option<Arc<SharedLog>>, usize),
        weather: Weather,
        turn: usize,
        rng: Rng,
    ) -> Arc<Self> {
        let state = State {
            rng,
            brokers: (0..nodes).map(|_| None).collect(),
            is_ending: false,
            ending_nodes: BTreeSet::new(),
            apart_nodes: BTreeMap::new(),
            links: Vec::new(),
            next_link: 0,
            apart: BTreeSet::new(),
            dead: BTreeSet::new(),
            holders: BTreeMap::new(),
        };
        let history = History::new();
        Arc::new_cyclic(|me| Self { history, kept, log, settings, weather, turn, me: me.clone(), state: Mutex::new(state) })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Fault: breaks one connection off.
    pub(crate) fn break_off(&self, broker_learns: bool, client_learns: bool) {
        let Some((number, client, wire)) = self.pick() else { return };
        self.history
            .add(Fact::Fault(format!("connection {number} of {client} breaks; told: broker {broker_learns}, client {client_learns}")));
        if client_learns && !broker_learns {
            // What it had sent comes when it has gone on already.
            wire.freeze(true, Duration::from_millis(self.lock().rng.u64(0..5000)));
        }
        wire.break_off(broker_learns, client_learns);
    }

    /// Fault: nothing arrives at one side of a connection for a time.
    pub(crate) fn freeze(&self, at_broker: bool, time: Duration) {
        let Some((number, client, wire)) = self.pick() else { return };
        let whom = if at_broker { "the broker" } else { "the client" };
        self.history.add(Fact::Fault(format!("connection {number} of {client} stands still for {whom} for {time:?}")));
        wire.freeze(at_broker, time);
    }

    /// Fault: a client reaches nobody, until it is set free.
    pub(crate) fn part(&self, client: Client) {
        self.history.add(Fact::Fault(format!("{client} reaches nobody")));
        let mut state = self.lock();
        state.apart.insert(client);
        let broker_learns = state.rng.bool();
        let wires = state.wires(|link| link.client == client);
        drop(state);
        wires.iter().for_each(|wire| wire.break_off(broker_learns, false));
    }

    pub(crate) fn unite(&self, client: Client) {
        let mut state = self.lock();
        if !state.dead.contains(&client) && state.apart.remove(&client) {
            self.history.add(Fact::Fault(format!("{client} reaches others again")));
        }
    }

    /// Fault: a client's machine is gone.
    pub(crate) fn kill(&self, client: Client) {
        self.lock().dead.insert(client);
        self.history.add(Fact::Dies { client });
        self.part(client);
    }

    pub(crate) fn is_dead(&self, client: Client) -> bool {
        self.lock().dead.contains(&client)
    }

    /// No more faults: whoever waits for nothing learns that, and the broker runs.
    pub(crate) fn heal(&self) {
        self.history.add(Fact::Fault("no more faults".to_owned()));
        self.fill_disk(false);
        let mut state = self.lock();
        state.apart = state.dead.clone();
        let wires = state.wires(|_| true);
        drop(state);
        wires.iter().for_each(|wire| wire.break_off(true, true));
        if let Some(log) = &self.log {
            log.set_away(false);
            for node in 0..self.nodes() {
                self.reach_log(node);
                self.start_node(node);
            }
        } else {
            self.start_broker();
        }
    }

    fn pick(&self) -> Option<(u32, Client, Wire)> {
        let mut state = self.lock();
        let State { rng, links, .. } = &mut *state;
        // The latest are the ones in use.
        let at = links.len().checked_sub(1 + rng.usize(0..4))?;
        links.get(at).map(|link| (link.number, link.client, link.wire.clone()))
    }

    pub(crate) async fn connect(&self, client: Client) -> io::Result<Box<dyn ByteStream>> {
        let delay = self.lock().rng.u64(0..=self.weather.delay);
        sleep(Duration::from_millis(delay)).await;
        if self.lock().apart.contains(&client) {
            pending::<()>().await;
        }
        let mut state = self.lock();
        let (number, rng) = (state.next_link, state.rng.fork());
        let nodes = state.brokers.len();
        let node = if nodes > 1 { state.rng.usize(0..nodes) } else { 0 };
        let Some(broker) = &mut state.brokers[node] else { return Err(io::ErrorKind::ConnectionRefused.into()) };
        let tap = LinkTap { network: self.me.clone(), link: number, client, unfinished: Mutex::default() };
        let wire = Wire::new(self.weather, rng, Arc::new(tap));
        let (broker_end, client_end) = wire.ends();
        broker.tasks.spawn(serve(broker_end, JsonLines::default(), Arc::clone(&broker.context)));
        state.next_link += 1;
        state.links.push(Link { number, client, node, wire });
        Ok(Box::new(client_end))
    }

    fn wrote(&self, link: u32, client: Client, by_broker: bool, line: &str) {
        if by_broker && line.starts_with("{\"action\":\"session\"") {
            let known = line.contains("\"known\":true");
            let taken = line.split_once("\"taken\":").and_then(|(_, rest)| rest.split_once(',')?.0.parse().ok()).unwrap_or_default();
            let life = line.split_once("\"broker\":\"").and_then(|(_, rest)| rest.split_once('"')).map_or("", |(life, _)| life);
            self.history.add(Fact::Session { client, known, taken, life: life.to_owned() });
            self.lock().holders.insert(client, link);
        }
        // It ends as its client has asked: then it leaves nothing behind.
        if by_broker && line == "{\"action\":\"close\"}" {
            self.lock().holders.remove(&client);
        }
        self.history.add(Fact::Line { link, client, by_broker, line: without_session(line) });
    }

    fn broker_left(&self, link: u32, client: Client) {
        self.lock().links.retain(|other| other.number != link);
        self.left(link, client);
    }

    /// From here on the session of the one who held it by this link waits for another.
    fn left(&self, link: u32, client: Client) {
        let mut state = self.lock();
        if state.holders.get(&client) == Some(&link) {
            state.holders.remove(&client);
            drop(state);
            self.history.add(Fact::Away { client });
        }
    }
}

impl State {
    fn wires(&self, which: impl Fn(&Link) -> bool) -> Vec<Wire> {
        self.links.iter().filter(|link| which(link)).map(|link| link.wire.clone()).collect()
    }
}

/// How one client reaches the broker.
pub(crate) struct Way {
    pub(crate) network: Arc<Network>,
    pub(crate) client: Client,
}

impl fmt::Debug for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the broker as {} reaches it", self.client)
    }
}

impl Connector for Way {
    fn connect(&self) -> Connecting<'_> {
        Box::pin(self.network.connect(self.client))
    }
}
