//! What a broker knows of its streams and of its nodes, asked once.

use std::collections::BTreeMap;
use std::io;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::time::timeout;

use crate::job::content::Content;
use crate::wire::Verb;
use crate::wire::subscriber::{self, Reply};

use super::address::{ByteStream, ServerAddresses, Way};
use super::error::ClientError;
use super::options::Options;
use super::request::auth_line;
use super::shared::connect_within;

/// How the names of the directory's own streams begin.
pub(crate) const ENTRIES: &str = "$streams/";

/// How the names of the streams begin that tell of nodes.
const NODES: &str = "$nodes/";

/// The receipts of the two questions.
const ENTRIES_LISTED: u64 = 1;
const HEADERS_LISTED: u64 = 2;

/// One stream.
#[derive(Debug, Clone, Default)]
pub(crate) struct Listed {
    /// How it stands, as the directory says it.
    pub(crate) entry: Option<Content>,
    pub(crate) header: Option<Content>,
    /// The last message, if it has ended with one.
    pub(crate) last: Option<Content>,
}

/// All streams whose names begin so, by name, with their headers.
///
/// # Errors
/// [`ClientError::Connect`]; [`ClientError::AuthFailed`]; [`ClientError::Denied`] without the right to the directory;
/// [`ClientError::Refused`] if the broker does not know prefixes; [`ClientError::Lost`].
pub(crate) async fn list(addresses: &ServerAddresses, prefix: &str, options: &Options) -> Result<BTreeMap<String, Listed>, ClientError> {
    // The entries first: the headers are asked for by listening, which would count.
    let entries = line(Verb::Listen, &format!("{ENTRIES}{prefix}"), Some(ENTRIES_LISTED));
    let leave = line(Verb::Hangup, &format!("{ENTRIES}{prefix}"), None);
    let headers = line(Verb::Listen, prefix, Some(HEADERS_LISTED));
    ask(addresses, format!("{entries}{leave}{headers}"), options).await
}

/// What is told of each node of the broker's space, by its name. Nothing if the broker is on its own.
///
/// # Errors
/// As [`list`].
pub(crate) async fn nodes(addresses: &ServerAddresses, options: &Options) -> Result<BTreeMap<String, Content>, ClientError> {
    let told = ask(addresses, line(Verb::Listen, NODES, Some(HEADERS_LISTED)), options).await?;
    // One that is gone has ended with a message.
    let there = told.into_iter().filter(|(_, listed)| listed.last.is_none());
    Ok(there.filter_map(|(name, listed)| Some((name.strip_prefix(NODES)?.to_owned(), listed.header?))).collect())
}

/// Says these lines, and gathers what is told until the last of them is answered.
async fn ask(addresses: &ServerAddresses, lines: String, options: &Options) -> Result<BTreeMap<String, Listed>, ClientError> {
    let connected = connect_within(options.connect_time, &Way::new(addresses.clone(), options)).await;
    let connection = connected.map_err(|error| ClientError::connect(addresses, &error))?;
    match timeout(options.answer_time, gather(connection, lines, options)).await {
        Ok(listed) => listed,
        Err(_) => Err(ClientError::Lost(format!("the broker did not answer within {:?}", options.answer_time))),
    }
}

async fn gather(connection: Box<dyn ByteStream>, lines: String, options: &Options) -> Result<BTreeMap<String, Listed>, ClientError> {
    let lost = |error: io::Error| ClientError::Lost(error.to_string());
    let (read, mut write) = tokio::io::split(connection);
    let mut read = BufReader::with_capacity(64 << 10, read);
    let mut asked = options.token.as_ref().map_or_else(Vec::new, auth_line);
    asked.extend_from_slice(lines.as_bytes());
    write.write_all(&asked).await.map_err(lost)?;
    let mut streams = BTreeMap::<String, Listed>::new();
    let (mut bytes, mut latest, mut has_entries) = (Vec::new(), None, false);
    loop {
        bytes.clear();
        let most = options.longest_line.0 as u64;
        let count = (&mut read).take(most).read_until(b'\n', &mut bytes).await.map_err(lost)?;
        if count == 0 {
            return Err(ClientError::Lost("the broker ended the connection without a word".to_owned()));
        }
        let reply = subscriber::read(&bytes).map_err(|error| ClientError::Lost(format!("a line of the broker cannot be read: {error}")))?;
        match reply {
            // What stands before the word that a stream was joined is its header; what comes later is no matter here.
            Reply::Put { stream, message } => latest = Some((stream, message)),
            Reply::Joined { stream, .. } => {
                let header = latest.take_if(|(of, _)| *of == stream).map(|(_, header)| header);
                match stream.strip_prefix(ENTRIES) {
                    Some(subject) => streams.entry(subject.to_owned()).or_default().entry = header,
                    None if !has_entries => streams.entry(stream).or_default().header = header,
                    // Of one that has come since the entries were told, nothing else is known.
                    None => {
                        if let Some(listed) = streams.get_mut(&stream) {
                            listed.header = header;
                        }
                    }
                }
            }
            // The end comes behind the word that a stream was joined which has ended already.
            Reply::Close { stream, message } => {
                if let Some(listed) = streams.get_mut(&stream) {
                    listed.last = message;
                }
            }
            Reply::Receipt { receipt: ENTRIES_LISTED, .. } => has_entries = true,
            Reply::Receipt { receipt: HEADERS_LISTED, .. } => {
                // In order, so that nothing is left to be sent.
                let _ = write.write_all(b"{\"action\":\"close\"}\n").await;
                return Ok(streams);
            }
            Reply::Error { reason, receipt: Some(_), .. } => return Err(reason.into()),
            Reply::CloseConnection(Some(reason)) if reason.is_auth() => return Err(reason.into()),
            Reply::CloseConnection(reason) => {
                return Err(ClientError::Lost(
                    reason.map_or_else(|| "the broker ended the connection".to_owned(), |reason| reason.to_string()),
                ));
            }
            _ => {}
        }
    }
}

/// An action for all streams of a prefix, as a line.
fn line(action: Verb, prefix: &str, receipt: Option<u64>) -> String {
    let receipt = receipt.map_or(String::new(), |receipt| format!(",\"receipt\":{receipt}"));
    format!("{{\"action\":\"{}\",\"prefix\":{}{receipt}}}\n", action.word(), serde_json::Value::from(prefix))
}
