//! Has the records of this node stored, one at a time: each is sent again, with the same name, until JetStream says that it stands in the
//! log or another takes its place.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_nats::{HeaderMap, Message, PublishErrorKind, StatusCode, Subscriber};
use bytes::Bytes;
use futures_core::Stream;
use serde::Deserialize;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::broker::space::RecordId;

use super::api::{Fault, PATIENCE, no_responders, parse, too_large};
use super::link::Link;
use super::overdue::Stored;
use super::telling::{GRACE, Trouble};

/// After a failure, the record is sent again behind this pause, then twice as long a one each time, ...
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// ... up to this.
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// A record to be stored.
#[derive(Debug)]
pub(super) struct Append {
    pub(super) id: RecordId,
    pub(super) record: Bytes,
}

/// What JetStream says of a record.
#[derive(Debug, Deserialize)]
struct Answer {
    #[serde(rename = "seq", default)]
    sequence: u64,
}

/// Has records stored.
pub(super) struct Appender {
    appends: UnboundedReceiver<Append>,
    /// How many are done with.
    done: watch::Sender<u64>,
    /// Up to where its own records stand in the log.
    stored: Arc<Stored>,
    sender: Sender,
    trouble: Trouble,
}

/// What is to be appended, and where it is told how much of it is done with.
pub(super) type Appends = (UnboundedReceiver<Append>, watch::Sender<u64>);

impl Appender {
    pub(super) async fn new(
        link: Link,
        subject: String,
        (appends, done): Appends,
        stored: Arc<Stored>,
        trouble: Trouble,
    ) -> Result<Self, String> {
        let inbox = link.client().new_inbox();
        let answers = link.client().subscribe(format!("{inbox}.*")).await.map_err(|error| error.to_string())?;
        Ok(Self { appends, done, stored, sender: Sender { link, subject, inbox, answers, sent: 0 }, trouble })
    }

    /// Stores what there is, until whoever appends is gone.
    pub(super) async fn run(mut self) {
        while let Some(first) = self.appends.recv().await {
            let mut next = Some(first);
            while let Some(append) = next {
                next = self.store(&append).await;
                self.done.send_modify(|done| *done += 1);
            }
        }
    }

    /// Tries until the record is stored. Returns the one that takes its place, if one does.
    async fn store(&mut self, append: &Append) -> Option<Append> {
        let mut pause = FIRST_PAUSE;
        loop {
            let link = &self.sender.link;
            if !link.is_up() {
                self.trouble.failed(&link.why_down());
                tokio::select! {
                    newer = self.appends.recv() => return newer,
                    () = link.up() => {}
                    () = sleep(GRACE) => {}
                }
                continue;
            }
            tokio::select! {
                biased;
                newer = self.appends.recv() => return self.replaced(newer),
                tried = self.sender.send(append, &mut self.trouble) => match tried {
                    Ok(sequence) => {
                        self.stored.up_to(sequence);
                        return None;
                    }
                    Err(reason) => {
                        tracing::debug!(id = ?append.id, %reason, "a record is not known to be stored, and is sent again");
                        self.trouble.failed(&reason);
                    }
                }
            }
            tokio::select! {
                newer = self.appends.recv() => return self.replaced(newer),
                () = sleep(pause) => {}
            }
            pause = LONGEST_PAUSE.min(pause * 2);
        }
    }

    /// Another takes the place of one that nobody has answered for. It comes when that one has come back from the log, so there is a way to it, be
    /// the answers lost or not.
    fn replaced(&mut self, newer: Option<Append>) -> Option<Append> {
        self.trouble.is_over();
        newer
    }
}

/// Sends records, and hears what becomes of them.
struct Sender {
    link: Link,
    subject: String,
    /// Answers come to its subjects, of which each sending has another.
    inbox: String,
    answers: Subscriber,
    sent: u64,
}

impl Sender {
    /// Sends a record once, and returns where it stands. An error says why it is not known to be stored.
    async fn send(&mut self, append: &Append, trouble: &mut Trouble) -> Result<u64, String> {
        let (link, connection) = (self.link.clone(), self.link.connection());
        tokio::select! {
            biased;
            stored = timeout(PATIENCE, self.stored(append, trouble)) => stored.unwrap_or_else(|_| Err(link.why_silent())),
            () = link.lost(connection) => Err(link.why_down()),
        }
    }

    async fn stored(&mut self, append: &Append, trouble: &mut Trouble) -> Result<u64, String> {
        self.sent += 1;
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Msg-Id", format!("{:x}-{:x}", append.id.life, append.id.number));
        let inbox = format!("{}.{}", self.inbox, self.sent);
        let client = self.link.client();
        let sent = client.publish_with_reply_and_headers(self.subject.clone(), inbox.clone(), headers, append.record.clone()).await;
        sent.map_err(|error| match error.kind() {
            PublishErrorKind::MaxPayloadExceeded => too_large(&error),
            PublishErrorKind::Send | PublishErrorKind::InvalidSubject => error.to_string(),
        })?;
        loop {
            let Some(answer) = poll_fn(|context| Pin::new(&mut self.answers).poll_next(context)).await else {
                return Err(self.link.why_down());
            };
            let outcome = outcome(&answer);
            if outcome.is_ok() {
                // Also of one before, which was read before its answer came.
                trouble.is_over();
            }
            if *answer.subject == *inbox {
                return outcome;
            }
        }
    }
}

/// What became of a record.
fn outcome(answer: &Message) -> Result<u64, String> {
    if answer.status == Some(StatusCode::NO_RESPONDERS) {
        return Err(no_responders().to_owned());
    }
    match parse(&answer.payload) {
        // The same record was sent before, and the servers have yet to agree on it.
        Ok(Answer { sequence: 0 }) => Err("most of the NATS servers have not stored the record yet; check that they run".to_owned()),
        Ok(Answer { sequence }) => Ok(sequence),
        Err(Fault::Silent(reason)) => Err(reason),
        Err(fault @ Fault::Refused(_)) => Err(fault.to_string()),
    }
}
