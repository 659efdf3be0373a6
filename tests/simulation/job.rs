//! A job with a stream of its own and a will: it dies, or ends in order. Nobody else writes to its stream, so what becomes of the will is
//! certain.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use msgstream::client::{ClientError, RemoteStream};
use serde_json::json;
use tokio::time::{Instant, sleep, timeout_at};

use super::history::{Client, Fact, Said};
use super::world::{World, pause, stream};

struct Job {
    world: Arc<World>,
    client: Client,
    remote: RemoteStream,
    /// Its stream.
    number: usize,
    /// How many wills, headers and ends there have been.
    others: u32,
}

pub(crate) async fn work(world: Arc<World>, client: Client, remote: RemoteStream, number: usize, mut rng: Rng) {
    let mut job = Job { world: Arc::clone(&world), client, remote: remote.clone(), number, others: 0 };
    // One that is cut off from the broker does not come to its end.
    let Ok(Ok(())) = timeout_at(world.calm, job.work(&mut rng)).await else { return };
    if Instant::now() < world.calm && rng.u8(0..4) > 0 {
        world.network.kill(client);
    } else {
        world.history.add(Fact::Retires { client });
        let _ = remote.disconnect().await;
    }
}

impl Job {
    fn says(&mut self, said: impl FnOnce(u32) -> Said) -> u32 {
        self.others += 1;
        self.world.history.add(Fact::Says { client: self.client, stream: self.number, said: said(self.others) });
        self.others
    }

    async fn work(&mut self, rng: &mut Rng) -> Result<(), ClientError> {
        let name = stream(self.number);
        sleep(pause(rng)).await;
        let will = self.run(&name).await?;
        if rng.bool() {
            // The next run, which the will of the one before has nothing to do with.
            let end = self.says(|number| Said::End { number: Some(number) });
            self.remote.close_with(&name, &json!({ "p": self.client, "end": end })).await?;
            let header = self.says(|number| Said::Header { number });
            self.remote.header(&name, &json!({ "p": self.client, "h": header })).await?;
            self.remote.flush().await?;
            self.world.history.add(Fact::WillIsOver { client: self.client, stream: self.number, number: will });
            if rng.bool() {
                self.run(&name).await?;
            }
        }
        for message in 1..rng.u32(2..10) {
            self.world.history.add(Fact::Says {
                client: self.client,
                stream: self.number,
                said: Said::Message { number: message, has_header: false },
            });
            self.remote.put(&name, &json!({ "p": self.client, "n": message })).await?;
            sleep(pause(rng)).await;
        }
        sleep(Duration::from_millis(rng.u64(0..3000))).await;
        Ok(())
    }

    /// Begins to run, and leaves a will. Returns its number once it stands.
    async fn run(&mut self, name: &str) -> Result<u32, ClientError> {
        let header = self.says(|number| Said::Header { number });
        self.remote.header(name, &json!({ "p": self.client, "h": header })).await?;
        let number = self.says(|number| Said::Will { number });
        self.remote.will(name, &json!({ "p": self.client, "will": number })).await?;
        self.remote.flush().await?;
        self.world.history.add(Fact::WillStands { client: self.client, stream: self.number, number });
        Ok(number)
    }
}
