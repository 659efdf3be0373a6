//! The few requests to JetStream that there are, in JSON, and what it refuses.
//!
//! They go to the leader of a stream. What can be asked of any server is not asked, since that one may be behind.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use async_nats::{Message, Request, RequestErrorKind};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::timeout;

use super::link::Link;

/// An answer may take this long.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);

/// What may be asked more than once is asked again if no answer comes within one of these, the last of which is for those who are slow: whoever
/// was to answer may be down, and another be there by now.
pub(super) const TRIES: [Duration; 5] = [SOON, SOON, SOON, SOON, PATIENCE];

/// Within this, most answers come.
const SOON: Duration = Duration::from_millis(500);

/// What JetStream calls some of its refusals.
const NO_MESSAGE: u64 = 10037;
const NAME_IN_USE: u64 = 10058;
const NO_STREAM: u64 = 10059;
pub(super) const WRONG_LAST_SEQUENCE: u64 = 10071;
const FULL: u64 = 10077;
/// That nobody leads, or another: what passes by itself.
const UNLED: [u64; 2] = [10008, 10009];

/// Nothing came of a request.
#[derive(Debug)]
pub(super) enum Fault {
    /// It is not known whether it was served.
    Silent(String),
    /// JetStream has said no.
    Refused(Refusal),
}

#[derive(Debug, Deserialize)]
pub(super) struct Refusal {
    #[serde(default)]
    err_code: u64,
    #[serde(default)]
    description: String,
}

impl Fault {
    pub(super) fn is(&self, code: u64) -> bool {
        matches!(self, Self::Refused(refusal) if refusal.err_code == code)
    }

    pub(super) fn is_silent(&self) -> bool {
        matches!(self, Self::Silent(_))
    }

    /// Whether JetStream has said no for good, as far as it is up to JetStream.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused(refusal) if !UNLED.contains(&refusal.err_code))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent(reason) => f.write_str(reason),
            Self::Refused(Refusal { err_code, description }) => {
                write!(f, "NATS refuses: {description} ({err_code}){}", cure(*err_code))
            }
        }
    }
}

/// What helps, if that is known.
fn cure(code: u64) -> &'static str {
    match code {
        FULL => {
            "; the log is full until the nodes have kept their state: make it larger with \"nats stream edit --max-bytes\", and nodes.log"
        }
        // No suitable peers; not in a cluster.
        10005 | 10074 => "; set nodes.replicas to as many NATS servers as there are, or fewer",
        // No storage left: of the account, of the servers.
        10002 | 10023 | 10028 | 10047 => "; give NATS more room, or set nodes.log lower",
        10035 | 10039 | 10076 => "; switch JetStream on: nats-server -js, and for the account of nodes.credentials",
        _ => "",
    }
}

/// What there is to know of a stream.
#[derive(Debug, Deserialize)]
pub(super) struct Info {
    /// When it was made, to the nanosecond: no other has the same.
    pub(super) created: String,
    pub(super) state: State,
    #[serde(default)]
    pub(super) cluster: Cluster,
}

/// The servers that have a stream or a consumer.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Cluster {
    /// The one that leads, if there are several.
    #[serde(default)]
    pub(super) leader: Option<String>,
}

/// A consumer that was made.
#[derive(Debug, Deserialize)]
pub(super) struct Consumer {
    pub(super) name: String,
    #[serde(default)]
    pub(super) cluster: Cluster,
}

#[derive(Debug, Deserialize)]
pub(super) struct State {
    #[serde(rename = "first_seq", default)]
    pub(super) first: u64,
    #[serde(rename = "last_seq", default)]
    pub(super) last: u64,
    /// How many messages stand at each subject, if that was asked for.
    #[serde(default)]
    pub(super) subjects: Option<HashMap<String, u64>>,
}

/// A message in a stream.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) sequence: u64,
    pub(super) content: Vec<u8>,
}

/// JetStream, over a connection.
#[derive(Clone)]
pub(super) struct Api {
    link: Link,
}

impl Api {
    pub(super) fn new(link: Link) -> Self {
        Self { link }
    }

    pub(super) fn link(&self) -> &Link {
        &self.link
    }

    /// What there is to know of a stream, if it is there.
    pub(super) async fn info(&self, stream: &str) -> Result<Option<Info>, Fault> {
        let (what, body) = (format!("STREAM.INFO.{stream}"), json!({}));
        let mut answer = Err(Fault::Silent(self.link.why_silent()));
        for patience in TRIES {
            answer = self.call_for(patience, &what, &body).await;
            if !answer.as_ref().is_err_and(Fault::is_silent) {
                break;
            }
        }
        or_nothing(answer, NO_STREAM)
    }

    /// Waits until the server that leads a stream answers, for a short time. Without one, others may say so.
    pub(super) async fn is_led(&self, stream: &str) -> Result<(), Fault> {
        let answer: Result<IgnoredAny, _> = self.call_for(SOON, &format!("STREAM.INFO.{stream}"), &json!({})).await;
        answer.map(drop).map_err(|fault| Fault::Silent(fault.to_string()))
    }

    /// The subjects in a stream that match, as many as one answer holds.
    pub(super) async fn subjects(&self, stream: &str, filter: &str) -> Result<Vec<String>, Fault> {
        let info: Info = self.call(&format!("STREAM.INFO.{stream}"), &json!({ "subjects_filter": filter })).await?;
        Ok(info.state.subjects.unwrap_or_default().into_keys().collect())
    }

    /// Makes a stream. If there is one of that name, it stays as it is.
    pub(super) async fn create(&self, stream: &str, config: &serde_json::Value) -> Result<(), Fault> {
        let made: Result<Info, _> = self.call(&format!("STREAM.CREATE.{stream}"), config).await;
        or_nothing(made, NAME_IN_USE).map(drop)
    }

    /// The last message at a subject, if there is any.
    pub(super) async fn last(&self, stream: &str, subject: &str) -> Result<Option<Kept>, Fault> {
        #[derive(Deserialize)]
        struct Answer {
            message: Message,
        }
        #[derive(Deserialize)]
        struct Message {
            seq: u64,
            #[serde(default)]
            data: String,
        }
        let answer = self.call(&format!("STREAM.MSG.GET.{stream}"), &json!({ "last_by_subj": subject })).await;
        let Some(Answer { message }) = or_nothing(answer, NO_MESSAGE)? else { return Ok(None) };
        let content = STANDARD.decode(message.data).map_err(|error| Fault::Silent(format!("NATS does not answer in base64: {error}")))?;
        Ok(Some(Kept { sequence: message.seq, content }))
    }

    /// Has the messages at these subjects forgotten.
    pub(super) async fn purge(&self, stream: &str, filter: &str) -> Result<(), Fault> {
        self.call(&format!("STREAM.PURGE.{stream}"), &json!({ "filter": filter })).await.map(|IgnoredAny| ())
    }

    /// Has the messages before this one forgotten.
    pub(super) async fn purge_before(&self, stream: &str, sequence: u64) -> Result<(), Fault> {
        self.call(&format!("STREAM.PURGE.{stream}"), &json!({ "seq": sequence })).await.map(|IgnoredAny| ())
    }

    /// Has a stream sent to a subject. The answer is waited for so long.
    pub(super) async fn consume(&self, stream: &str, config: &serde_json::Value, patience: Duration) -> Result<Consumer, Fault> {
        let body = json!({ "stream_name": stream, "config": config });
        self.call_for(patience, &format!("CONSUMER.CREATE.{stream}"), &body).await
    }

    /// Stores a message, if the last one at its subject has this sequence, where that is asked for. 0 is for none.
    pub(super) async fn store(&self, subject: String, content: Bytes, last: Option<u64>) -> Result<(), Fault> {
        let request = Request::new().payload(content);
        let request = match last {
            Some(last) => {
                let mut headers = async_nats::HeaderMap::new();
                headers.insert("Nats-Expected-Last-Subject-Sequence", last.to_string());
                request.headers(headers)
            }
            None => request,
        };
        parse(&self.request(subject, request, PATIENCE).await?.payload).map(|IgnoredAny| ())
    }

    async fn call<T: DeserializeOwned>(&self, what: &str, body: &impl Serialize) -> Result<T, Fault> {
        self.call_for(PATIENCE, what, body).await
    }

    async fn call_for<T: DeserializeOwned>(&self, patience: Duration, what: &str, body: &impl Serialize) -> Result<T, Fault> {
        let body = serde_json::to_vec(body).map_err(|error| Fault::Silent(error.to_string()))?;
        parse(&self.request(format!("$JS.API.{what}"), Request::new().payload(body.into()), patience).await?.payload)
    }

    /// Nothing is sent without a connection: it would wait for one, and be served when nobody waits any more.
    async fn request(&self, subject: String, request: Request, patience: Duration) -> Result<Message, Fault> {
        if !self.link.is_up() {
            return Err(Fault::Silent(self.link.why_down()));
        }
        let (client, connection) = (self.link.client(), self.link.connection());
        // With an inbox of its own: the library does not forget requests without one that are never answered.
        let request = client.send_request(subject, request.inbox(client.new_inbox()).timeout(None));
        let answer = tokio::select! {
            answer = timeout(patience, request) => answer,
            () = self.link.lost(connection) => return Err(Fault::Silent(self.link.why_down())),
        };
        match answer {
            Ok(Ok(message)) => Ok(message),
            Ok(Err(error)) => Err(Fault::Silent(match error.kind() {
                RequestErrorKind::NoResponders => no_responders().to_owned(),
                RequestErrorKind::MaxPayloadExceeded => too_large(&error),
                RequestErrorKind::TimedOut | RequestErrorKind::InvalidSubject | RequestErrorKind::Other => error.to_string(),
            })),
            Err(_) => Err(Fault::Silent(self.link.why_silent())),
        }
    }
}

/// Why nobody takes a request.
pub(super) fn no_responders() -> &'static str {
    "NATS does not serve JetStream; switch it on: nats-server -js, and see that most of its servers run"
}

/// Why a message cannot be sent.
pub(super) fn too_large(error: &impl fmt::Display) -> String {
    format!("NATS takes no message of that size: {error}; set its max_payload to 1 MB or more")
}

/// An answer of JetStream, or what it refuses.
pub(super) fn parse<T: DeserializeOwned>(answer: &[u8]) -> Result<T, Fault> {
    #[derive(Deserialize)]
    struct Refused {
        error: Option<Refusal>,
    }
    let odd = |error: serde_json::Error| Fault::Silent(format!("NATS answers what is not understood: {error}"));
    match serde_json::from_slice(answer).map_err(odd)? {
        Refused { error: Some(refusal) } => Err(Fault::Refused(refusal)),
        Refused { error: None } => serde_json::from_slice(answer).map_err(odd),
    }
}

/// Nothing, if that is why it was refused.
fn or_nothing<T>(answer: Result<T, Fault>, code: u64) -> Result<Option<T>, Fault> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(fault) if fault.is(code) => Ok(None),
        Err(fault) => Err(fault),
    }
}
