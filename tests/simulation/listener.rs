//! A listener: joins, reads at its own pace, leaves, and joins again.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use msgstream::client::{Listener, Position, RemoteStream, Start};
use tokio::time::{Instant, sleep, sleep_until};

use super::history::{Client, Fact, Listening};
use super::world::{World, pause, stream};

pub(crate) async fn listen(world: Arc<World>, client: Client, remote: RemoteStream, number: usize, mut rng: Rng) {
    let mut position = None;
    sleep(pause(&mut rng)).await;
    while Instant::now() < world.end {
        let start = start(position, &mut rng);
        let listening = world.next_listening();
        world.history.add(Fact::Listens { listening, client, stream: number, after: start.after, last: start.last });
        let Ok(listener) = remote.listen_from(&stream(number), start).await else { return };
        position = stay(&world, client, listening, listener, &mut rng).await;
        let pause = if world.is_calm() { Duration::from_secs(1) } else { pause(&mut rng) };
        sleep(pause).await;
    }
}

/// Where it begins: at times where it was, as a program that is started again.
fn start(position: Option<Position>, rng: &mut Rng) -> Start {
    let start = Start::default();
    match rng.u8(0..6) {
        0 => start.after(position),
        1 => start.last(rng.u64(0..20)),
        2 => start.after(position).last(rng.u64(0..20)),
        _ => start,
    }
}

/// Listens until the end, or for a time. Returns where it was.
async fn stay(world: &World, client: Client, listening: Listening, mut listener: Listener, rng: &mut Rng) -> Option<Position> {
    let leaves = Instant::now() + Duration::from_millis([100, 2000, 20_000, 1 << 20][rng.usize(0..4)]);
    let reads_slowly = rng.u8(0..4) == 0;
    loop {
        let until = if leaves < world.calm { leaves } else { world.end };
        let event = tokio::select! {
            biased;
            event = listener.next() => event,
            () = sleep_until(until) => {
                let stays = until == world.end && !world.network.is_dead(client);
                world.history.add(if stays { Fact::Stays { listening } } else { Fact::Leaves { listening } });
                return listener.position();
            }
        };
        let Some(event) = event else { return listener.position() };
        let (position, is_last) = (listener.position(), event.is_last());
        world.history.add(Fact::Hears { listening, event, position });
        if is_last {
            return position;
        }
        if reads_slowly && !world.is_calm() && rng.u8(0..8) == 0 {
            sleep(pause(rng) * 4).await;
        }
    }
}
