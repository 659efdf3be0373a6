//! Has the records of this node stored, one at a time: each is sent again until it comes back from the log, or JetStream says that it stands
//! there.
//!
//! Before it is sent once more, the leader has to answer something else: what is sent to one that is down waits there, and all of it is proposed
//! when that one is back and does not know yet that others lead. Servers of NATS 2.9 do not forget what they have proposed then.
//!
//! It is not named for JetStream, which would leave out what it has already: a server that does so while the leader changes may lose count of
//! the records that follow, and its copy of the log then lacks some for ever (2.9.10 does). Whoever reads a record twice knows it.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_nats::subject::Subject;
use async_nats::{Message, PublishErrorKind, StatusCode, Subscriber};
use bytes::Bytes;
use futures_core::Stream;
use serde::Deserialize;
use tokio::time::{sleep, timeout};

use super::api::{Api, Fault, PATIENCE, no_responders, parse, too_large};
use super::link::Link;
use super::names::Names;
use super::pending::{Append, Due, Pending};
use super::telling::{GRACE, Trouble};

/// After a failure, the record is sent again behind this pause, then twice as long a one each time, ...
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// ... up to this.
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// What JetStream says of a record.
#[derive(Debug, Deserialize)]
struct Answer {
    #[serde(rename = "seq")]
    sequence: u64,
}

/// Sends a record, and asks nobody to acknowledge it.
pub(super) struct QuietSender {
    link: Link,
    subject: Subject,
}

impl QuietSender {
    pub(super) fn new(link: Link, subject: &str) -> Self {
        Self { link, subject: subject.into() }
    }

    /// Sends it at once, or not at all.
    pub(super) fn send(&self, record: &Bytes) -> bool {
        if !self.link.is_up() {
            return false;
        }
        let sent = pin!(self.link.client().publish(self.subject.clone(), record.clone()));
        matches!(sent.poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(Ok(())))
    }
}

/// Has those records stored that do not come back at once.
pub(super) struct Appender {
    pending: Arc<Pending>,
    sender: Sender,
    trouble: Trouble,
}

impl Appender {
    pub(super) async fn new(api: Api, names: &Names, pending: Arc<Pending>, trouble: Trouble) -> Result<Self, String> {
        let client = api.link().client();
        let inbox = client.new_inbox();
        let answers = client.subscribe(format!("{inbox}.*")).await.map_err(|error| error.to_string())?;
        let sender = Sender { api, stream: names.log.clone(), subject: names.records.clone(), inbox, answers, sent: 0 };
        Ok(Self { pending, sender, trouble })
    }

    /// Stores what there is, for ever.
    pub(super) async fn run(mut self) {
        let pending = Arc::clone(&self.pending);
        loop {
            let due = pending.due().await;
            self.store(&pending, &due).await;
            self.trouble.is_over();
        }
    }

    /// Tries until the record is stored, or does not wait any more.
    async fn store(&mut self, pending: &Pending, due: &Due) {
        let (mut pause, first, mut is_again) = (FIRST_PAUSE, self.sender.sent + 1, due.is_sent);
        let mut is_over = pin!(pending.is_over(due.number));
        loop {
            let link = self.sender.api.link();
            if !link.is_up() {
                self.trouble.failed(&link.why_down());
                tokio::select! {
                    () = &mut is_over => return,
                    () = link.up() => {}
                    () = sleep(GRACE) => {}
                }
                continue;
            }
            tokio::select! {
                biased;
                // It has come back from the log, so there is a way to it, be the answers lost or not.
                () = &mut is_over => return,
                tried = self.sender.send(&due.append, first, is_again) => match tried {
                    Ok(sequence) => return pending.stored(due.number, sequence),
                    Err(fault) => {
                        tracing::debug!(id = ?due.append.id, reason = %fault, "a record is not known to be stored, and is sent again");
                        if fault.is_refusal() {
                            self.trouble.refused(&fault.to_string());
                        } else {
                            self.trouble.failed(&fault.to_string());
                        }
                        if !fault.is_silent() {
                            pending.answered();
                        }
                        is_again = true;
                    }
                }
            }
            tokio::select! {
                () = &mut is_over => return,
                () = sleep(pause) => {}
            }
            pause = LONGEST_PAUSE.min(pause * 2);
        }
    }
}

/// Sends records, and hears what becomes of them.
struct Sender {
    api: Api,
    /// The stream that is the log.
    stream: String,
    subject: String,
    /// Answers come to its subjects, of which each sending has another.
    inbox: String,
    answers: Subscriber,
    sent: u64,
}

impl Sender {
    /// Sends a record, perhaps once more, whose first answer would have the number `first`, and returns where it stands. A fault says why it is not
    /// known to be stored.
    async fn send(&mut self, append: &Append, first: u64, is_again: bool) -> Result<u64, Fault> {
        let (api, stream) = (self.api.clone(), self.stream.clone());
        let (link, connection) = (api.link(), api.link().connection());
        if is_again {
            tokio::select! {
                biased;
                // To what was sent before.
                outcome = self.outcome(first, None) => return outcome,
                led = api.is_led(&stream) => led?,
            }
        }
        tokio::select! {
            biased;
            stored = timeout(PATIENCE, self.stored(append, first)) => stored.unwrap_or_else(|_| Err(Fault::Silent(link.why_silent()))),
            () = link.lost(connection) => Err(Fault::Silent(link.why_down())),
        }
    }

    async fn stored(&mut self, append: &Append, first: u64) -> Result<u64, Fault> {
        self.sent += 1;
        let (inbox, client) = (format!("{}.{}", self.inbox, self.sent), self.api.link().client());
        let sent = client.publish_with_reply(self.subject.clone(), inbox, append.record.clone()).await;
        sent.map_err(|error| {
            Fault::Silent(match error.kind() {
                PublishErrorKind::MaxPayloadExceeded => too_large(&error),
                PublishErrorKind::Send | PublishErrorKind::InvalidSubject => error.to_string(),
            })
        })?;
        self.outcome(first, Some(self.sent)).await
    }

    /// Waits for the answer with this number, or a good one with any number from `first` on: one that comes late is as good, if it is of the same
    /// record.
    async fn outcome(&mut self, first: u64, wanted: Option<u64>) -> Result<u64, Fault> {
        loop {
            let Some(answer) = poll_fn(|context| Pin::new(&mut self.answers).poll_next(context)).await else {
                return Err(Fault::Silent(self.api.link().why_down()));
            };
            let outcome = outcome(&answer);
            let number = answer.subject.rsplit('.').next().and_then(|number| number.parse().ok()).unwrap_or(0);
            if Some(number) == wanted || outcome.is_ok() && number >= first {
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
