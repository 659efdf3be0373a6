//! Has the records of this node stored, one at a time: each is sent again until JetStream says that it stands in the log, or another takes its
//! place.
//!
//! It is not named for JetStream, which would leave out what it has already: a server that does so while the leader changes may lose count of
//! the records that follow, and its copy of the log then lacks some for ever (2.9.10 does). Whoever reads a record twice knows it.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_nats::{Message, PublishErrorKind, StatusCode, Subscriber};
use bytes::Bytes;
use futures_core::Stream;
use serde::Deserialize;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::broker::space::RecordId;

use super::api::{Fault, PATIENCE, no_responders, parse, too_large};
use super::link::Link;
use super::telling::{GRACE, Trouble};
use super::touch::Touch;

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
    #[serde(rename = "seq")]
    sequence: u64,
}

/// Has records stored.
pub(super) struct Appender {
    appends: UnboundedReceiver<Append>,
    /// How many are done with.
    done: watch::Sender<u64>,
    touch: Arc<Touch>,
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
        touch: Arc<Touch>,
        trouble: Trouble,
    ) -> Result<Self, String> {
        let inbox = link.client().new_inbox();
        let answers = link.client().subscribe(format!("{inbox}.*")).await.map_err(|error| error.to_string())?;
        Ok(Self { appends, done, touch, sender: Sender { link, subject, inbox, answers, sent: 0 }, trouble })
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
        let (mut pause, first) = (FIRST_PAUSE, self.sender.sent + 1);
        self.touch.asked();
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
                tried = self.sender.send(append, first) => match tried {
                    Ok(sequence) => {
                        self.touch.stored(sequence);
                        self.trouble.is_over();
                        return None;
                    }
                    Err(fault) => {
                        tracing::debug!(id = ?append.id, reason = %fault, "a record is not known to be stored, and is sent again");
                        self.trouble.failed(&fault.to_string());
                        if !fault.is_silent() {
                            // It was answered.
                            self.touch.asked();
                        }
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
        self.touch.is_done();
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
    /// Sends a record once more, which was sent `first` with this number, and returns where it stands. A fault says why it is not known to be
    /// stored.
    async fn send(&mut self, append: &Append, first: u64) -> Result<u64, Fault> {
        let (link, connection) = (self.link.clone(), self.link.connection());
        tokio::select! {
            biased;
            stored = timeout(PATIENCE, self.stored(append, first)) => stored.unwrap_or_else(|_| Err(Fault::Silent(link.why_silent()))),
            () = link.lost(connection) => Err(Fault::Silent(link.why_down())),
        }
    }

    async fn stored(&mut self, append: &Append, first: u64) -> Result<u64, Fault> {
        self.sent += 1;
        let (inbox, client) = (format!("{}.{}", self.inbox, self.sent), self.link.client());
        let sent = client.publish_with_reply(self.subject.clone(), inbox, append.record.clone()).await;
        sent.map_err(|error| {
            Fault::Silent(match error.kind() {
                PublishErrorKind::MaxPayloadExceeded => too_large(&error),
                PublishErrorKind::Send | PublishErrorKind::InvalidSubject => error.to_string(),
            })
        })?;
        loop {
            let Some(answer) = poll_fn(|context| Pin::new(&mut self.answers).poll_next(context)).await else {
                return Err(Fault::Silent(self.link.why_down()));
            };
            let outcome = outcome(&answer);
            let number = answer.subject.rsplit('.').next().and_then(|number| number.parse().ok()).unwrap_or(0);
            // One that comes late is as good, if it is good and of the same record.
            if number == self.sent || outcome.is_ok() && number >= first {
                return outcome;
            }
        }
    }
}

/// What became of a record.
fn outcome(answer: &Message) -> Result<u64, Fault> {
    if answer.status == Some(StatusCode::NO_RESPONDERS) {
        return Err(Fault::Silent(no_responders().to_owned()));
    }
    parse(&answer.payload).map(|Answer { sequence }| sequence)
}
