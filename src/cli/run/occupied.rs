//! Whether a job of this name is running already: two runs of one name would end each other for those who listen.

use std::fs;
use std::time::Duration;

use crate::client::{Connection, Event, RemoteStream, StreamState};
use crate::job::monitor::{Join, Message};
use rustix::process::{Pid, getpid, test_kill_process};
use rustix::system::uname;
use serde_json::{Map, Value, json};
use tokio::time::timeout;

/// How long the broker may take to answer before the command starts anyway.
const PATIENCE: Duration = Duration::from_secs(1);

/// Which process runs the job, for its header.
pub(super) fn process() -> Map<String, Value> {
    let id = getpid();
    let entries = [("host", json!(host())), ("pid", json!(id.as_raw_nonzero().get())), ("begun", json!(begun(id)))];
    entries.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The header of a run of this name that has not ended, if the broker can be reached and knows one. A run on this machine whose
/// process is gone has ended.
pub(super) async fn live(remote: &RemoteStream, stream: &str) -> Option<Join> {
    let mut connection = remote.connection();
    let header = timeout(PATIENCE, header(remote, stream));
    let away = connection.wait_for(|now| matches!(now, Connection::Away { .. } | Connection::Over { .. }));
    let header = tokio::select! {
        header = header => header.ok()??,
        _ = away => return None,
    };
    (header.more.contains_key("pid") && may_live(&header.more)).then_some(header)
}

async fn header(remote: &RemoteStream, stream: &str) -> Option<Join> {
    let mut listener = remote.listen(stream).await.ok()?;
    if listener.joined().await.map(|joined| joined.state) != Some(StreamState::Running) {
        return None;
    }
    let Some(Event::Header(content)) = listener.next().await else { return None };
    match Message::of(&content)? {
        Message::Join(join) => Some(join),
        _ => None,
    }
}

/// Of another machine nobody knows.
fn may_live(process: &Map<String, Value>) -> bool {
    if process.get("host").and_then(Value::as_str) != Some(&host()) {
        return true;
    }
    let id = process.get("pid").and_then(Value::as_i64).and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    let Some(id) = id else { return false };
    // Another process may have got its number since.
    test_kill_process(id) != Err(rustix::io::Errno::SRCH) && process.get("begun").and_then(Value::as_u64) == begun(id)
}

fn host() -> String {
    uname().nodename().to_string_lossy().into_owned()
}

/// When a process began, in ticks since this machine did (see proc_pid_stat(5)).
fn begun(id: Pid) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{}/stat", id.as_raw_nonzero())).ok()?;
    // The name before may hold spaces and parentheses.
    status.rsplit_once(") ")?.1.split(' ').nth(19)?.parse().ok()
}
