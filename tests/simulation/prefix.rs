//! A listener of all streams by their prefix: what it hears of each is checked as if each had a listener of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use msgstream::client::{Epoch, Event, Positions, PrefixListener, RemoteStream, Starts};
use tokio::time::{Instant, sleep, sleep_until};

use super::history::{Client, Fact, Listening};
use super::world::{World, pause};

/// How the names of all streams begin.
const ALL: &str = "s";

struct Listens<'w> {
    world: &'w World,
    client: Client,
    /// Where it is to begin.
    after: Positions,
    last: Option<u64>,
    /// Which streams have begun.
    begun: BTreeSet<usize>,
    /// What it listens to at present: each stream, from its first event to its end.
    streams: BTreeMap<usize, Listening>,
    /// Of which it was told last that messages are missing.
    gaps: BTreeMap<usize, Option<u64>>,
    runs: BTreeMap<usize, Epoch>,
}

pub(crate) async fn listen_to_all(world: Arc<World>, client: Client, remote: RemoteStream, mut rng: Rng) {
    let mut starts = Starts::default();
    sleep(pause(&mut rng)).await;
    while Instant::now() < world.end {
        let Ok(listener) = remote.listen_prefix_from(ALL, starts.clone()).await else { return };
        let (after, last) = (starts.after.unwrap_or_default(), starts.last);
        let mut listens = Listens {
            world: &world,
            client,
            after,
            last,
            begun: BTreeSet::new(),
            streams: BTreeMap::new(),
            gaps: BTreeMap::new(),
            runs: BTreeMap::new(),
        };
        starts = Starts::default();
        match rng.u8(0..4) {
            0 => starts.after = Some(listens.stay(listener, &mut rng).await.positions()),
            1 => {
                listens.stay(listener, &mut rng).await;
                starts.last = Some(rng.u64(0..20));
            }
            _ => drop(listens.stay(listener, &mut rng).await),
        }
        let pause = if world.is_calm() { Duration::from_secs(1) } else { pause(&mut rng) };
        sleep(pause).await;
    }
}

impl Listens<'_> {
    /// Listens until the end, or for a time.
    async fn stay(&mut self, mut listener: PrefixListener, rng: &mut Rng) -> PrefixListener {
        let leaves = Instant::now() + Duration::from_millis([100, 2000, 20_000, 1 << 20][rng.usize(0..4)]);
        let reads_slowly = rng.u8(0..4) == 0;
        loop {
            let until = if leaves < self.world.calm { leaves } else { self.world.end };
            let event = tokio::select! {
                biased;
                event = listener.next() => event,
                () = sleep_until(until) => {
                    self.leave(until == self.world.end && !self.world.network.is_dead(self.client));
                    return listener;
                }
            };
            let Some((stream, event)) = event else { return listener };
            if stream.is_empty() {
                // All of them end with the prefix.
                let numbers: Vec<usize> = self.streams.keys().copied().collect();
                numbers.into_iter().for_each(|number| self.hears(number, event.clone(), &listener));
                return listener;
            }
            let number = stream.strip_prefix(ALL).and_then(|number| number.parse().ok()).unwrap();
            self.hears(number, event, &listener);
            if reads_slowly && !self.world.is_calm() && rng.u8(0..8) == 0 {
                sleep(pause(rng) * 4).await;
            }
        }
    }

    fn begin(&mut self, number: usize) -> Listening {
        if let Some(listening) = self.streams.get(&number) {
            return *listening;
        }
        let listening = self.world.next_listening();
        let after = self.after.get(&format!("{ALL}{number}")).filter(|_| self.begun.insert(number));
        self.runs.extend(after.map(|after| (number, after.epoch)));
        // What comes into being while it is away is told from its beginning, behind the header.
        let last = Some(self.last.unwrap_or(u64::MAX));
        self.world.history.add(Fact::Listens { listening, client: self.client, stream: number, after, last });
        self.streams.insert(number, listening);
        listening
    }

    fn hears(&mut self, number: usize, event: Event, listener: &PrefixListener) {
        let position = listener.positions().get(&format!("{ALL}{number}"));
        let run = position.map(|position| position.epoch);
        let after = self.after.get(&format!("{ALL}{number}")).filter(|_| !self.begun.contains(&number));
        let before = self.runs.get(&number).copied().or(after.map(|after| after.epoch));
        self.runs.extend(run.map(|run| (number, run)));
        // A stream without a header may be forgotten without a word, and come anew, also while this client is away.
        let is_new = before.is_some() && run.is_some() && run != before && self.gaps.get(&number) != Some(&None);
        let is_elsewhere = position.is_none() && matches!(event, Event::Reconnected { .. });
        if is_new && position.is_some_and(|position| position.sequence <= 1) || is_elsewhere {
            if is_new {
                self.begun.insert(number);
            }
            self.streams.remove(&number).into_iter().for_each(|listening| self.world.history.add(Fact::Leaves { listening }));
        }
        let listening = self.begin(number);
        let is_last = event.is_last();
        let was_gap = self.gaps.remove(&number) == Some(None);
        if was_gap && event == (Event::Ended { message: None }) {
            // The broker has forgotten it, and nobody has said an end.
            self.world.history.add(Fact::Leaves { listening });
        } else {
            self.world.history.add(Fact::Hears { listening, event: event.clone(), position });
        }
        if is_last {
            self.streams.remove(&number);
            self.runs.remove(&number);
        } else if let Event::Reconnected { missed, .. } = event {
            self.gaps.insert(number, missed);
        }
    }

    /// It reads no more. Who stays has to have heard the last of all streams.
    fn leave(&mut self, stays: bool) {
        for number in 0..self.world.streams {
            if stays {
                let listening = self.begin(number);
                self.world.history.add(Fact::Stays { listening });
            } else if let Some(listening) = self.streams.remove(&number) {
                self.world.history.add(Fact::Leaves { listening });
            }
        }
    }
}
