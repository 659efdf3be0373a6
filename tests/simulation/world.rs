//! One simulation: what its seed decides, who takes part, and when.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use fastrand::Rng;
use msgstream::broker::{Limits, OutboxSettings, ReplaySettings, Settings};
use msgstream::client::{Backoff, Options, RemoteStream};
use msgstream::internal::client::start_over;
use msgstream::units::{ByteSize, Span};
use tokio::time::{Instant, sleep_until};

use super::asking::ask;
use super::checker::Terms;
use super::direction::Weather;
use super::faults::{Dangers, faults};
use super::history::{Client, Fact, History};
use super::job::work;
use super::kept::Kept;
use super::listener::listen;
use super::log::SharedLog;
use super::network::{Network, Way};
use super::owner::own;
use super::prefix::listen_to_all;
use super::publisher::{Habits, publish};

/// From the last fault until all that was said must have taken effect, and whoever is lost is known to be.
const SETTLES: Duration = Duration::from_secs(60);

/// Until all listeners have joined again, and until they have the last messages.
const JOINS: Duration = Duration::from_secs(30);

/// What all who take part share.
pub(crate) struct World {
    pub(crate) network: Arc<Network>,
    pub(crate) history: History,
    pub(crate) streams: usize,
    /// Up to when anything may happen.
    pub(crate) calm: Instant,
    /// When all that was said has taken effect.
    pub(crate) settled: Instant,
    /// When everybody listens.
    pub(crate) joined: Instant,
    pub(crate) end: Instant,
    next_client: AtomicU32,
    next_listening: AtomicU32,
}

impl World {
    /// A new client of the simulated network, and its name.
    pub(crate) fn client(self: &Arc<Self>, options: Options) -> (Client, RemoteStream) {
        let client = self.next_client();
        (client, start_over(Way { network: Arc::clone(&self.network), client }, options))
    }

    /// A new client that speaks for itself.
    fn next_client(&self) -> Client {
        self.next_client.fetch_add(1, Ordering::Relaxed)
    }

    /// How many clients there are.
    pub(crate) fn clients(&self) -> u32 {
        self.next_client.load(Ordering::Relaxed)
    }

    pub(crate) fn next_listening(&self) -> u32 {
        self.next_listening.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn is_calm(&self) -> bool {
        Instant::now() >= self.calm
    }
}

pub(crate) fn stream(number: usize) -> String {
    format!("s{number}")
}

/// A pause as they are in life: mostly none, at times a long one.
pub(crate) fn pause(rng: &mut Rng) -> Duration {
    Duration::from_millis([0, 0, 1, 5, 30, 200, 1000, 4000][rng.usize(0..8)])
}

/// Lives through what follows from a seed. Returns what the checker has to know.
pub(crate) async fn simulate(seed: u64, on_nodes: bool) -> (History, Terms) {
    let mut rng = Rng::with_seed(seed);
    let settings = settings(&mut rng);
    let ReplaySettings { stream, total, time, .. } = &settings.replay;
    // A window takes no more than half of a queue.
    let keeps_all = stream.0.min(total.0).min(settings.outbox.limit.0) >= 1 << 20 && time.0 > SETTLES;
    // For nodes a client is away from when one of them has said so, which may be before its connection has ended.
    let slack = if on_nodes { Duration::from_millis(1500) } else { Duration::ZERO };
    let terms = Terms { session_time: settings.limits.session_time.0.saturating_sub(slack), keeps_all };
    let weather =
        Weather { delay: [0, 1, 5, 40, 300][rng.usize(0..5)], splits: [0, 20, 80][rng.usize(0..3)], room: rng.usize(300..20_000) };
    let turn = if rng.bool() { 1 } else { 80_000 };
    let kept = (!on_nodes && rng.bool()).then(|| Kept::new(Duration::from_millis([20, 200, 1000][rng.usize(0..3)])));
    let nodes = if on_nodes { rng.usize(1..4) } else { 1 };
    let log = on_nodes.then(|| SharedLog::new(nodes, [0, 1, 5, 100][rng.usize(0..4)], rng.fork()));
    let network = Network::new(settings, (kept, log, nodes), weather, turn, rng.fork());
    if on_nodes {
        network.start_nodes();
    } else {
        network.start_broker();
    }
    let calm = Instant::now() + Duration::from_secs(rng.u64(10..90));
    let world = Arc::new(World {
        history: network.history.clone(),
        network,
        streams: rng.usize(1..4),
        calm,
        settled: calm + SETTLES,
        joined: calm + SETTLES + JOINS,
        end: calm + SETTLES + 2 * JOINS,
        next_client: AtomicU32::new(0),
        next_listening: AtomicU32::new(0),
    });
    people(&world, &mut rng);
    let dangers = if on_nodes { Dangers::of_nodes(&mut rng) } else { Dangers::new(&mut rng) };
    tokio::spawn(faults(Arc::clone(&world), dangers, rng.fork()));
    sleep_until(world.end + Duration::from_secs(1)).await;
    if on_nodes {
        world.network.end_nodes();
    } else {
        world.network.kill_broker();
    }
    (world.history.clone(), terms)
}

/// Who publishes and who listens.
fn people(world: &Arc<World>, rng: &mut Rng) {
    let habits = Habits::new(rng);
    for _ in 0..rng.usize(1..4) {
        let options = options(rng);
        let (client, remote) = world.client(options.clone());
        // Some programs listen to what they publish.
        if rng.u8(0..4) == 0 {
            tokio::spawn(listen(Arc::clone(world), client, remote.clone(), rng.usize(0..world.streams), rng.fork()));
            tokio::spawn(publish(Arc::clone(world), client, remote, None, habits, rng.fork()));
        } else {
            tokio::spawn(publish(Arc::clone(world), client, remote, Some(options), habits, rng.fork()));
        }
    }
    // Each has a stream that nobody else writes to.
    let jobs = world.streams + rng.usize(0..3);
    for number in world.streams..jobs {
        let (client, remote) = world.client(options(rng).session(true));
        tokio::spawn(work(Arc::clone(world), client, remote, number, rng.fork()));
        let (client, remote) = world.client(options(rng));
        tokio::spawn(listen(Arc::clone(world), client, remote, number, rng.fork()));
    }
    for number in jobs..jobs + rng.usize(0..2) {
        // Without one, what is late on an old connection comes behind what was said on the next.
        let (client, remote) = world.client(options(rng).session(true));
        tokio::spawn(own(Arc::clone(world), client, remote, number, rng.fork()));
        let (client, remote) = world.client(options(rng));
        tokio::spawn(listen(Arc::clone(world), client, remote, number, rng.fork()));
    }
    let asking = if world.network.kept.is_some() { rng.usize(0..3) } else { 0 };
    for _ in 0..asking {
        tokio::spawn(ask(Arc::clone(world), world.next_client(), rng.fork()));
    }
    for _ in 0..rng.usize(1..4) {
        let (client, remote) = world.client(options(rng));
        for _ in 0..rng.usize(1..3) {
            tokio::spawn(listen(Arc::clone(world), client, remote.clone(), rng.usize(0..world.streams), rng.fork()));
        }
        for _ in 0..rng.usize(0..3) {
            tokio::spawn(listen_to_all(Arc::clone(world), client, remote.clone(), rng.fork()));
        }
    }
}

fn options(rng: &mut Rng) -> Options {
    let backoff = Backoff::default().first(Duration::from_millis(rng.u64(10..200))).longest(Duration::from_secs(2));
    Options::default()
        .reconnect(backoff)
        .session(rng.u8(0..8) > 0)
        .connect_time(Duration::from_secs(3))
        .idle_time(Duration::from_secs(rng.u64(2..6)))
        .answer_time(Duration::from_secs(rng.u64(2..6)))
        .queue(ByteSize([300, 3000, 1 << 20][rng.usize(0..3)]))
        .listener_queue(ByteSize([2000, 1 << 20, 1 << 20][rng.usize(0..3)]))
}

/// What of this machine would decide is set.
fn settings(rng: &mut Rng) -> Settings {
    let limits = Limits::default()
        .header(ByteSize(500))
        .headers_total(ByteSize(64 << 20))
        .session_time(Span::from_secs(rng.u64(3..15)))
        .unfinished_lines(ByteSize(64 << 20));
    let outbox = OutboxSettings::default()
        .limit(ByteSize([4000, 1 << 20, 1 << 20][rng.usize(0..3)]))
        .total(ByteSize(64 << 20))
        .write_time(Span::from_secs(5));
    let replay = ReplaySettings::default()
        .stream(ByteSize([0, 600, 2000, 1 << 20, 1 << 20, 1 << 20][rng.usize(0..6)]))
        .total(ByteSize([3000, 64 << 20, 64 << 20][rng.usize(0..3)]))
        .time(Span::from_secs([5, 600, 600][rng.usize(0..3)]));
    Settings::default().limits(limits).outbox(outbox).replay(replay)
}

/// What a client does not do in time.
pub(crate) fn stuck(world: &World, client: Client, what: &'static str) {
    if !world.network.is_dead(client) {
        world.history.add(Fact::Stuck { client, what });
    }
}
