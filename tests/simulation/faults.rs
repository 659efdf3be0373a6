//! What goes wrong in a simulation, and when.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use tokio::time::{Instant, advance, sleep, sleep_until};

use super::history::Fact;
use super::world::World;

/// How often each kind of fault happens beside the others. In most simulations some never do, so that the promise is seen to be kept
/// to the letter where that can be asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dangers {
    breaks: u32,
    stands_still: u32,
    parts: u32,
    dies: u32,
    broker_stops: u32,
    broker_dies: u32,
    clock_jumps: u32,
    disk_is_full: u32,
    power_fails: u32,
    node_dies: u32,
    node_stops: u32,
    node_is_apart: u32,
    log_is_away: u32,
    /// The longest time between two, in milliseconds.
    pause: u64,
}

impl Dangers {
    pub(crate) fn new(rng: &mut Rng) -> Self {
        let mut some = |most: u32| if rng.bool() { rng.u32(1..=most) } else { 0 };
        let (breaks, stands_still, parts, dies) = (some(10), some(5), some(3), some(1));
        let mut seldom = |most| some(most) * some(1);
        let (broker_stops, broker_dies, clock_jumps) = (seldom(1), seldom(1), seldom(1));
        let (disk_is_full, power_fails) = (seldom(1), seldom(1));
        let pause = [100, 1000, 5000][rng.usize(0..3)];
        Self {
            breaks,
            stands_still,
            parts,
            dies,
            broker_stops,
            broker_dies,
            clock_jumps,
            disk_is_full,
            power_fails,
            node_dies: 0,
            node_stops: 0,
            node_is_apart: 0,
            log_is_away: 0,
            pause,
        }
    }

    /// What may happen to nodes in place of a broker.
    pub(crate) fn of_nodes(rng: &mut Rng) -> Self {
        let of_one = Self { broker_stops: 0, broker_dies: 0, clock_jumps: 0, disk_is_full: 0, power_fails: 0, ..Self::new(rng) };
        let mut some = |most: u32| if rng.bool() { rng.u32(1..=most) } else { 0 };
        Self { node_dies: some(4), node_stops: some(3), node_is_apart: some(4), log_is_away: some(3), ..of_one }
    }
}

/// Lets things go wrong until it is calm.
pub(crate) async fn faults(world: Arc<World>, dangers: Dangers, mut rng: Rng) {
    let Dangers { breaks, stands_still, parts, dies, broker_stops, broker_dies, clock_jumps, disk_is_full, power_fails, .. } = dangers;
    let Dangers { node_dies, node_stops, node_is_apart, log_is_away, pause, .. } = dangers;
    let of_disk = u32::from(world.network.kept.is_some());
    let weights = [
        breaks,
        stands_still,
        parts,
        dies,
        broker_stops,
        broker_dies,
        clock_jumps,
        of_disk * disk_is_full,
        of_disk * power_fails,
        node_dies,
        node_stops,
        node_is_apart,
        log_is_away,
    ];
    let total: u32 = weights.iter().sum();
    let later = |rng: &mut Rng| Instant::now() + Duration::from_millis(rng.u64(0..=pause));
    let mut next = later(&mut rng);
    while total > 0 && next < world.calm {
        sleep_until(next).await;
        let mut at = rng.u32(0..total);
        let kind = weights.iter().position(|weight| {
            let is_it = at < *weight;
            at = at.saturating_sub(*weight);
            is_it
        });
        one(&world, kind.unwrap_or_default(), &mut rng).await;
        next = later(&mut rng);
    }
    sleep_until(world.calm).await;
    world.network.heal();
}

async fn one(world: &Arc<World>, kind: usize, rng: &mut Rng) {
    let network = &world.network;
    let time = Duration::from_millis([50, 1000, 8000, 30_000][rng.usize(0..4)]);
    match kind {
        0 => {
            let (broker, client) = [(true, true), (true, true), (false, true), (true, false), (false, false)][rng.usize(0..5)];
            network.break_off(broker, client);
        }
        1 => network.freeze(rng.bool(), time),
        2 => {
            let client = rng.u32(0..world.clients());
            network.part(client);
            let world = Arc::clone(world);
            tokio::spawn(async move {
                sleep(time).await;
                world.network.unite(client);
            });
        }
        3 => network.kill(rng.u32(0..world.clients())),
        4 => {
            let patience = if rng.u8(0..3) == 0 { Some(Duration::from_millis(rng.u64(0..3000))) } else { None };
            world.history.add(Fact::Fault(format!("the broker is told to stop, and at once after {patience:?}")));
            network.stop_broker(patience).await;
            sleep(time.min(Duration::from_secs(8))).await;
            network.start_broker();
        }
        5 => {
            world.history.add(Fact::Fault("the broker is killed".to_owned()));
            network.kill_broker();
            sleep(time.min(Duration::from_secs(8))).await;
            network.start_broker();
        }
        6 => {
            world.history.add(Fact::Fault(format!("nobody runs for {time:?}")));
            // Nor is anything saved.
            world.history.add(Fact::Saves { is_well: false });
            advance(time).await;
            network.saves_again();
        }
        7 => {
            world.history.add(Fact::Fault(format!("the disk is full for {time:?}")));
            network.fill_disk(true);
            let world = Arc::clone(world);
            tokio::spawn(async move {
                sleep(time).await;
                world.network.fill_disk(false);
            });
        }
        9..=12 => fault_of_nodes(world, kind, time, rng).await,
        _ => {
            let Some(kept) = &network.kept else { return };
            world.history.add(Fact::Fault("the power fails".to_owned()));
            world.history.add(Fact::Saves { is_well: false });
            let (failures, until) = (kept.failures(), Instant::now() + Duration::from_secs(4));
            kept.fail_soon(rng);
            while kept.failures() == failures && Instant::now() < until {
                sleep(Duration::from_millis(rng.u64(1..50))).await;
            }
            network.kill_broker();
            kept.crash(rng);
            sleep(time.min(Duration::from_secs(8))).await;
            network.saves_again();
            network.start_broker();
        }
    }
}

async fn fault_of_nodes(world: &Arc<World>, kind: usize, time: Duration, rng: &mut Rng) {
    let network = &world.network;
    let node = rng.usize(0..network.nodes());
    let after = Arc::clone(world);
    match kind {
        9 => {
            network.kill_node(node);
            tokio::spawn(async move {
                sleep(time).await;
                after.network.start_node(node);
            });
        }
        10 => {
            tokio::spawn(async move {
                after.network.stop_node(node).await;
                sleep(time).await;
                after.network.start_node(node);
            });
        }
        11 => {
            network.leave_log(node);
            tokio::spawn(async move {
                sleep(time).await;
                after.network.reach_log(node);
            });
        }
        _ => {
            let Some(log) = network.log.clone() else { return };
            world.history.add(Fact::Fault(format!("nobody reaches the log for {time:?}")));
            log.set_away(true);
            tokio::spawn(async move {
                sleep(time).await;
                log.set_away(false);
            });
        }
    }
}
