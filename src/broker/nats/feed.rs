//! What JetStream sends of the log: a consumer of its own, which is given up as soon as anything is missing in it. Another is made then.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use async_nats::{Message, StatusCode, Subscriber};
use bytes::Bytes;
use futures_core::Stream;
use serde_json::json;

use super::api::{Api, Fault, TRIES};
use super::link::Link;
use super::names::Names;

/// The server says so often that there is nothing new.
const HEARTBEAT: Duration = Duration::from_millis(500);

/// The server forgets a consumer that nobody has listened to for this long.
const FORGOTTEN: Duration = Duration::from_secs(30);

/// So many consumers are made in a row, in the hope that the leader has one: of three servers, each has one in three.
const CONSUMERS: usize = 12;

/// A record, as it stands in the log.
#[derive(Debug)]
pub(super) struct Delivery {
    pub(super) sequence: u64,
    /// Since 1970.
    pub(super) at: Duration,
    pub(super) record: Bytes,
}

/// A consumer of the log.
pub(super) struct Feed {
    link: Link,
    name: String,
    /// The server that sends, if there are several.
    server: Option<String>,
    messages: Subscriber,
    /// How many deliveries there were.
    delivered: u64,
    /// The sequence of the last one in the log, or what there was before.
    last: u64,
}

impl Feed {
    /// Has the log sent from this sequence on, by the server that leads it.
    ///
    /// JetStream gives a consumer to any server that has the log, and a copy may be behind, or not be what the others agreed to; so another is
    /// asked for until the leader has it. It also gives one to a server that is down, and then nobody answers. So that a node does not stand
    /// still for long while one is down, another is soon asked for. The server forgets those that nobody listens to.
    pub(super) async fn open(api: &Api, names: &Names, next: u64, leader: Option<&str>) -> Result<Self, Fault> {
        let (mut tries, mut why) = (TRIES.into_iter(), Fault::Silent(api.link().why_silent()));
        for _ in 0..CONSUMERS {
            let Some(patience) = tries.next() else { break };
            match Self::try_to_open(api, names, next, patience).await {
                Ok(feed) if leader.is_none() || feed.server.as_deref() == leader => return Ok(feed),
                Ok(_) => (tries, why) = (TRIES.into_iter(), Fault::Silent("NATS has others than the leader send the log".to_owned())),
                Err(fault) if fault.is_silent() => why = fault,
                Err(fault) => return Err(fault),
            }
        }
        Err(why)
    }

    async fn try_to_open(api: &Api, names: &Names, next: u64, patience: Duration) -> Result<Self, Fault> {
        let client = api.link().client();
        let inbox = client.new_inbox();
        let messages = client.subscribe(inbox.clone()).await.map_err(|error| Fault::Silent(error.to_string()))?;
        let config = json!({
            "deliver_subject": inbox,
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": next,
            "ack_policy": "none",
            "replay_policy": "instant",
            "flow_control": true,
            "idle_heartbeat": HEARTBEAT.as_nanos() as u64,
            "inactive_threshold": FORGOTTEN.as_nanos() as u64,
            "mem_storage": true,
            "num_replicas": 1,
        });
        let consumer = api.consume(&names.log, &config, patience).await?;
        let (name, server) = (consumer.name, consumer.cluster.leader);
        Ok(Self { link: api.link().clone(), name, server, messages, delivered: 0, last: next - 1 })
    }

    /// What JetStream calls the consumer.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The server that sends, if there are several.
    pub(super) fn server(&self) -> Option<&str> {
        self.server.as_deref()
    }

    /// The next message. None once there will be none.
    pub(super) async fn next(&mut self) -> Option<Message> {
        poll_fn(|context| Pin::new(&mut self.messages).poll_next(context)).await
    }

    /// The record in a message, if it is one. An error says why this consumer is of no use any more.
    pub(super) async fn record(&mut self, message: Message) -> Result<Option<Delivery>, &'static str> {
        if let Some(status) = message.status {
            return self.sign(status, &message).await.map(|()| None);
        }
        let Some(place) = message.reply.as_deref().and_then(Place::read) else { return Err("it does not say where a record stands") };
        if place.delivered != self.delivered + 1 {
            return Err("records did not arrive");
        }
        (self.delivered, self.last) = (place.delivered, place.sequence);
        Ok(Some(Delivery { sequence: place.sequence, at: place.at, record: message.payload }))
    }

    /// What the server says between the records.
    async fn sign(&self, status: StatusCode, message: &Message) -> Result<(), &'static str> {
        if status != StatusCode::IDLE_HEARTBEAT {
            return Err("it has ended");
        }
        let said = |name: &str| message.headers.as_ref().and_then(|headers| headers.get(name)).map(|value| value.as_str());
        let number = |name: &str| said(name).and_then(|value| value.parse().ok());
        if let Some(reply) = message.reply.as_deref().or_else(|| said("Nats-Consumer-Stalled")) {
            // The server waits for this before it sends more. If it gets lost, the server says so with the next heartbeat.
            drop(self.link.client().publish(reply.to_owned(), Bytes::new()).await);
        }
        if number("Nats-Last-Consumer").is_some_and(|delivered: u64| delivered != self.delivered) {
            return Err("records did not arrive");
        }
        if number("Nats-Last-Stream").is_some_and(|sequence: u64| sequence > self.last) {
            return Err("records were passed over");
        }
        Ok(())
    }
}

/// Where a record stands, as the subject says by which it would be acknowledged.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    sequence: u64,
    delivered: u64,
    at: Duration,
}

impl Place {
    /// `$JS.ACK.` stream, consumer, deliveries, sequence, number in the consumer, time, how many are left. Later versions put a domain and
    /// an account before the stream, and more behind.
    fn read(subject: &str) -> Option<Self> {
        let parts = subject.strip_prefix("$JS.ACK.")?;
        let skipped = if parts.split('.').count() > 7 { 5 } else { 3 };
        let mut numbers = parts.split('.').skip(skipped).map(|part| part.parse().ok());
        let (sequence, delivered, at) = (numbers.next()??, numbers.next()??, numbers.next()??);
        Some(Self { sequence, delivered, at: Duration::from_nanos(at) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_record_stands_is_read_in_both_forms() {
        let place = Some(Place { sequence: 42, delivered: 7, at: Duration::from_nanos(1_700_000_000_000_000_123) });
        assert_eq!(Place::read("$JS.ACK.msgstream-lab.Xy12.1.42.7.1700000000000000123.0"), place);
        assert_eq!(Place::read("$JS.ACK._.ABCD.msgstream-lab.Xy12.1.42.7.1700000000000000123.0.r4nd"), place);
        for odd in ["", "$JS.ACK.a.b", "$JS.ACK.a.b.1.x.7.3.0", "_INBOX.a.b.1.42.7.3.0"] {
            assert_eq!(Place::read(odd), None, "{odd}");
        }
    }
}
