//! A publisher: numbers its messages, so that whoever hears them knows which are missing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use msgstream::client::{ClientError, Options, Receipt, RemoteStream};
use serde_json::{Value, json};
use tokio::time::{sleep, sleep_until, timeout_at};

use super::history::{Client, Fact, Said};
use super::world::{World, pause, stream, stuck};

/// What publishers do in a simulation beside sending messages.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Habits {
    /// They begin and end runs.
    has_runs: bool,
    has_wills: bool,
    makes_mistakes: bool,
    confirms: bool,
    /// How much there is in a message beside its number, in bytes, at most.
    padding: usize,
}

impl Habits {
    pub(crate) fn new(rng: &mut Rng) -> Self {
        Self {
            has_runs: rng.bool(),
            has_wills: rng.bool(),
            makes_mistakes: rng.bool(),
            confirms: rng.bool(),
            padding: [0, 20, 1500][rng.usize(0..3)],
        }
    }
}

struct Publisher {
    world: Arc<World>,
    client: Client,
    remote: RemoteStream,
    habits: Habits,
    rng: Rng,
    /// The number of the next message of each stream.
    next: BTreeMap<usize, u32>,
    /// The number of the next header, end or will.
    next_other: u32,
}

/// Publishes until it is calm, and then the last messages. With `options` its program may end in order, and be started again.
pub(crate) async fn publish(
    world: Arc<World>,
    client: Client,
    remote: RemoteStream,
    options: Option<Options>,
    habits: Habits,
    mut rng: Rng,
) {
    let mut publisher = Publisher { world, client, remote, habits, rng: rng.fork(), next: BTreeMap::new(), next_other: 0 };
    while !publisher.world.is_calm() {
        publisher.act().await;
        sleep(pause(&mut rng)).await;
        if let Some(options) = options.as_ref().filter(|_| rng.u8(0..100) == 0) {
            publisher = publisher.begin_again(options).await;
        }
    }
    publisher.finish().await;
}

impl Publisher {
    fn says(&self, stream: usize, said: Said) {
        self.world.history.add(Fact::Says { client: self.client, stream, said });
    }

    fn other(&mut self) -> u32 {
        self.next_other += 1;
        self.next_other
    }

    /// The next message to a stream.
    fn message(&mut self, stream: usize, has_header: bool) -> (u32, Value) {
        let next = self.next.entry(stream).or_default();
        *next += 1;
        let number = *next;
        self.says(stream, Said::Message { number, has_header });
        let padding = if self.habits.padding == 0 || self.world.is_calm() { 0 } else { self.rng.usize(0..self.habits.padding) };
        (number, json!({ "p": self.client, "n": number, "pad": "x".repeat(padding) }))
    }

    async fn act(&mut self) {
        let number = self.rng.usize(0..self.world.streams);
        let name = stream(number);
        let Habits { has_runs, has_wills, makes_mistakes, confirms, .. } = self.habits;
        // Lost for good is told by whoever waits; nothing here is.
        let _ = match self.rng.u8(0..24) {
            0..=5 => {
                let message = self.message(number, false).1;
                self.remote.put(&name, &message).await
            }
            6..=8 => self.burst().await,
            9 | 10 => {
                let (at, message) = self.message(number, true);
                self.remote.put_with_header(&name, &message, &json!({ "p": self.client, "upto": at })).await
            }
            11..=13 if confirms => self.confirm(number).await,
            14 => self.header(number).await,
            15 | 16 if has_runs => self.end(number).await,
            17 if has_runs => self.next_run(number).await,
            18 | 19 if has_wills => self.will(number).await,
            20..=22 if makes_mistakes => self.mistake(number).await,
            23 => self.flush().await,
            _ => Ok(()),
        };
    }

    async fn burst(&mut self) -> Result<(), ClientError> {
        for _ in 0..self.rng.usize(2..30) {
            let number = self.rng.usize(0..self.world.streams);
            let message = self.message(number, false).1;
            self.remote.put(&stream(number), &message).await?;
        }
        Ok(())
    }

    async fn confirm(&mut self, number: usize) -> Result<(), ClientError> {
        let has_header = self.rng.bool();
        let (at, message) = self.message(number, has_header);
        let (name, confirmed) = (stream(number), self.remote.confirmed());
        let outcome = if has_header {
            confirmed.put_with_header(&name, &message, &json!({ "p": self.client, "upto": at })).await
        } else {
            confirmed.put(&name, &message).await
        };
        self.learns(number, at, outcome);
        Ok(())
    }

    fn learns(&self, stream: usize, number: u32, outcome: Result<Receipt, ClientError>) {
        let client = self.client;
        self.world.history.add(match outcome {
            // What reaches nobody may have come after the end, and then it is none of the run's messages.
            Ok(Receipt { position, listeners, .. }) => {
                Fact::Done { client, stream, number, position: position.filter(|_| listeners.is_some_and(|count| count > 0)) }
            }
            Err(error) => Fact::Failed { client, stream, number, why: error.to_string() },
        });
    }

    async fn header(&mut self, number: usize) -> Result<(), ClientError> {
        let header = self.other();
        self.says(number, Said::Header { number: header });
        self.remote.header(&stream(number), &json!({ "p": self.client, "h": header })).await
    }

    async fn end(&mut self, number: usize) -> Result<(), ClientError> {
        let (name, kind) = (stream(number), self.rng.u8(0..6));
        if kind > 1 {
            let end = self.other();
            self.says(number, Said::End { number: Some(end) });
            return self.remote.close_with(&name, &json!({ "p": self.client, "end": end })).await;
        }
        self.says(number, Said::End { number: None });
        if kind == 0 { self.remote.close(&name).await } else { self.remote.delete(&name).await }
    }

    /// Ends a run and begins the next one at once.
    async fn next_run(&mut self, number: usize) -> Result<(), ClientError> {
        self.end(number).await?;
        self.header(number).await
    }

    async fn will(&mut self, number: usize) -> Result<(), ClientError> {
        if self.rng.u8(0..4) == 0 {
            self.says(number, Said::NoWill);
            return self.remote.take_back_will(&stream(number)).await;
        }
        let will = self.other();
        self.says(number, Said::Will { number: will });
        self.remote.will(&stream(number), &json!({ "p": self.client, "will": will })).await
    }

    /// What the broker refuses: its session counts it all the same.
    async fn mistake(&mut self, number: usize) -> Result<(), ClientError> {
        if self.rng.bool() {
            return self.remote.put("$broker", "mine").await;
        }
        let next = self.next.entry(number).or_default();
        *next += 1;
        let at = *next;
        self.says(number, Said::Wrong { number: at });
        let message = json!({ "p": self.client, "n": at });
        self.remote.put_with_header(&stream(number), &message, &"too long for a header".repeat(100)).await
    }

    async fn flush(&self) -> Result<(), ClientError> {
        let outcome = self.remote.flush().await;
        let text = outcome.as_ref().err().map_or_else(String::new, ToString::to_string);
        self.world.history.add(Fact::Flushed { client: self.client, outcome: text });
        outcome
    }

    /// Ends its program in order, and starts it again.
    async fn begin_again(self, options: &Options) -> Self {
        let Self { world, client, remote, habits, rng, .. } = self;
        let counts = |world: &World, remote: &RemoteStream| {
            world.history.add(Fact::Counts { client, repeated: remote.repeated(), waiting: 0 });
        };
        let clone = remote.clone();
        let _ = remote.disconnect().await;
        counts(&world, &clone);
        let (client, remote) = world.client(options.clone());
        Self { world, client, remote, habits, rng, next: BTreeMap::new(), next_other: 0 }
    }

    /// After the last fault: sees that all it said has taken effect, and says one last thing to each stream.
    async fn finish(mut self) {
        let (world, client) = (Arc::clone(&self.world), self.client);
        // The first one tells of what was refused.
        let flushed = async {
            while let Err(error) = self.flush().await {
                if matches!(error, ClientError::Lost(_)) {
                    return;
                }
            }
        };
        if timeout_at(world.settled, flushed).await.is_err() {
            return stuck(&world, client, "what it said has not taken effect");
        }
        sleep_until(world.settled).await;
        for number in 0..world.streams {
            let header = self.other();
            self.says(number, Said::Header { number: header });
            let _ = self.remote.confirmed().header(&stream(number), &json!({ "p": client, "h": header })).await;
        }
        sleep_until(world.joined).await;
        for number in 0..world.streams {
            let (at, message) = self.message(number, false);
            world.history.add(Fact::Last { client, stream: number, number: at });
            let outcome = self.remote.confirmed().put(&stream(number), &message).await;
            self.learns(number, at, outcome);
        }
        sleep_until(world.end - Duration::from_secs(1)).await;
        let (repeated, waiting) = (self.remote.repeated(), self.remote.waiting());
        world.history.add(Fact::Counts { client, repeated, waiting });
    }
}
