//! A client that asks for durable receipts, in lines of its own, of a stream to which nobody else writes. The checker takes from the lines
//! what it has asked for, what it was told, and how it found its stream on each new connection.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use msgstream::internal::client::ByteStream;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines, ReadHalf, WriteHalf, split};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::history::Client;
use super::world::{World, pause, stuck};

/// How long the broker may take to answer.
const ANSWER: Duration = Duration::from_secs(4);

/// What it says last.
const LAST: &str = "last";

struct Asking {
    world: Arc<World>,
    client: Client,
    rng: Rng,
    /// The number of the last action.
    number: u32,
    /// What it said last is durable.
    is_done: bool,
}

struct Connection {
    lines: Lines<BufReader<ReadHalf<Box<dyn ByteStream>>>>,
    write: WriteHalf<Box<dyn ByteStream>>,
}

pub(crate) async fn ask(world: Arc<World>, client: Client, rng: Rng) {
    let mut asking = Asking { world: Arc::clone(&world), client, rng, number: 0, is_done: false };
    while !asking.is_done && Instant::now() < world.settled {
        if let Ok(Ok(connection)) = timeout(ANSWER, world.network.connect(client)).await {
            let (read, write) = split(connection);
            let _ = asking.talk(Connection { lines: BufReader::new(read).lines(), write }).await;
        }
        sleep(pause(&mut asking.rng).max(Duration::from_millis(50))).await;
    }
    if !asking.is_done {
        stuck(&world, client, "what it said last is not durable");
    }
}

impl Asking {
    /// Talks until the connection is lost. None then.
    async fn talk(&mut self, mut connection: Connection) -> Option<()> {
        // What came before on other connections takes no effect behind this.
        connection.say(format!(r#"{{"action":"session","session":"a session of client {:04}"}}"#, self.client)).await?;
        // One that has the session in its turn, since this came late, has nothing more to say.
        connection.hear(|line| line.contains("session")).await?;
        let stream = format!("d{}", self.client);
        connection.say(format!(r#"{{"action":"listen","stream":"{stream}","receipt":"found"}}"#)).await?;
        connection.say(format!(r#"{{"action":"hangup","stream":"{stream}"}}"#)).await?;
        while !self.world.is_calm() {
            for _ in 0..self.rng.u32(0..4) {
                self.act(&mut connection, &stream).await?;
            }
            connection.answered().await?;
            let until = Instant::now() + pause(&mut self.rng);
            while let Ok(line) = timeout_at(until, connection.lines.next_line()).await {
                line.ok()??;
            }
        }
        connection.say(format!(r#"{{"action":"header","stream":"{stream}","message":0,"receipt":"{LAST}","durable":true}}"#)).await?;
        connection.hear(|line| line.contains(LAST)).await?;
        self.is_done = true;
        connection.say(r#"{"action":"close"}"#.to_owned()).await
    }

    async fn act(&mut self, connection: &mut Connection, stream: &str) -> Option<()> {
        self.number += 1;
        let number = self.number;
        let what = ["header", "header", "header", "close", "delete"][self.rng.usize(0..5)];
        let message = if what == "delete" { String::new() } else { format!(r#","message":{number}"#) };
        let receipt = if self.rng.bool() { format!(r#""durable {number}","durable":true"#) } else { format!(r#""done {number}""#) };
        connection.say(format!(r#"{{"action":"{what}","stream":"{stream}"{message},"receipt":{receipt}}}"#)).await
    }
}

impl Connection {
    async fn say(&mut self, line: String) -> Option<()> {
        timeout(ANSWER, self.write.write_all(format!("{line}\n").as_bytes())).await.ok()?.ok()
    }

    /// Sees that the broker is there.
    async fn answered(&mut self) -> Option<()> {
        self.say(r#"{"action":"ping","receipt":"ping"}"#.to_owned()).await?;
        self.hear(|line| line.contains("pong")).await
    }

    /// Reads up to this line.
    async fn hear(&mut self, is_it: impl Fn(&str) -> bool) -> Option<()> {
        let until = Instant::now() + ANSWER;
        while !is_it(&timeout_at(until, self.lines.next_line()).await.ok()?.ok()??) {}
        Some(())
    }
}
