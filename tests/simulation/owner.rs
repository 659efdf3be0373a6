//! A publisher with a stream of its own that runs to the end: whatever happens, the stream has its last header then. Its client sees to that,
//! also where a broker has lost it.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use msgstream::client::{ClientError, Event, RemoteStream};
use serde_json::{Value, json};
use tokio::time::{sleep, sleep_until, timeout};

use super::history::{Client, Fact, Said};
use super::world::{World, pause, stream, stuck};

struct Owner {
    world: Arc<World>,
    client: Client,
    remote: RemoteStream,
    /// Its stream.
    number: usize,
    messages: u32,
    /// How many headers and ends there have been.
    others: u32,
    header: Value,
}

pub(crate) async fn own(world: Arc<World>, client: Client, remote: RemoteStream, number: usize, mut rng: Rng) {
    let mut owner = Owner { world: Arc::clone(&world), client, remote, number, messages: 0, others: 0, header: Value::Null };
    let _ = owner.header().await;
    while !world.is_calm() {
        // Lost for good is told by whoever waits; nothing here is.
        let _ = owner.act(&mut rng).await;
        sleep(pause(&mut rng)).await;
    }
    sleep_until(world.settled).await;
    match timeout(Duration::from_secs(10), owner.find()).await {
        Ok(Ok(found)) => {
            let wanted = owner.header.to_string();
            world.history.add(Fact::Finds { client, stream: number, wanted, found });
        }
        Ok(Err(_)) => {}
        Err(_) => stuck(&world, client, "its stream cannot be found"),
    }
}

impl Owner {
    fn says(&mut self, said: Said) {
        self.world.history.add(Fact::Says { client: self.client, stream: self.number, said });
    }

    async fn act(&mut self, rng: &mut Rng) -> Result<(), ClientError> {
        let name = stream(self.number);
        match rng.u8(0..12) {
            0..=3 => {
                self.messages += 1;
                self.says(Said::Message { number: self.messages, has_header: false });
                self.remote.put(&name, &json!({ "p": self.client, "n": self.messages })).await
            }
            4..=6 => {
                self.messages += 1;
                self.says(Said::Message { number: self.messages, has_header: true });
                self.header = json!({ "p": self.client, "upto": self.messages });
                self.remote.put_with_header(&name, &json!({ "p": self.client, "n": self.messages }), &self.header).await
            }
            7..=9 => self.header().await,
            10 => {
                self.others += 1;
                self.says(Said::End { number: Some(self.others) });
                self.remote.close_with(&name, &json!({ "p": self.client, "end": self.others })).await?;
                self.header().await
            }
            _ => self.remote.flush().await,
        }
    }

    async fn header(&mut self) -> Result<(), ClientError> {
        self.others += 1;
        self.says(Said::Header { number: self.others });
        self.header = json!({ "p": self.client, "h": self.others });
        self.remote.header(&stream(self.number), &self.header).await
    }

    /// What its stream has as a header, once all that was said has taken effect.
    async fn find(&mut self) -> Result<String, ClientError> {
        let flushed = self.remote.flush().await.err().map(|error| format!(" after {error}")).unwrap_or_default();
        let mut listener = self.remote.listen(&stream(self.number)).await?;
        loop {
            match listener.next().await {
                Some(Event::Reconnected { .. }) => {}
                Some(Event::Header(header)) if flushed.is_empty() => return Ok(header.to_string()),
                other => return Ok(format!("{other:?}{flushed}")),
            }
        }
    }
}
