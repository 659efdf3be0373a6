//! Whether a job of this name is running already: two runs of one name would end each other for those who listen.

use std::fs;
use std::time::Duration;

use crate::client::{ClientError, Connection, Event, Joined, RemoteStream, StreamState};
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

/// Begins a run with this header, unless a run of this name has not ended: then its header is the error. A run on this machine whose
/// process is gone has ended. Where the broker cannot be reached, or knows what is no run, nothing is done, and the run may begin.
///
/// The will follows once this run knows that it is the one, a round trip after its header: one that is killed in between leaves a stream
/// that nobody ends, until a run of its name on the same machine, or one with `--force`. No order of lines closes this gap. A will holds
/// whatever the stream is, and each takes the place of the one before. So the will of a run that loses, sent before it knows that, would
/// push out that of the run that won. That run would be left without one when the loser takes its own back; and if the loser is killed
/// first, its will ends the stream of a job that goes on, until the winner leaves its will again. To say that a live job is lost is worse
/// than to leave a dead one unended.
pub(super) async fn claim(remote: &RemoteStream, stream: &str, header: &Message) -> Result<(), Box<Join>> {
    let mut connection = remote.connection();
    let away = connection.wait_for(|now| matches!(now, Connection::Away { .. } | Connection::Over { .. }));
    tokio::select! {
        claimed = timeout(PATIENCE, try_claim(remote, stream, header)) => claimed.unwrap_or(Ok(())),
        _ = away => Ok(()),
    }
}

/// Of several that begin in one moment only one does: each changes the stream only if it stands as it was seen.
async fn try_claim(remote: &RemoteStream, stream: &str, header: &Message) -> Result<(), Box<Join>> {
    let confirmed = remote.confirmed();
    while let Some((joined, run)) = look(remote, stream).await {
        let begun = match (joined.state, joined.position) {
            (StreamState::Waiting, _) => confirmed.header_if_absent(stream, header).await,
            // The former run is forgotten first, so that there is no header for anybody who looked before.
            (StreamState::Ended, Some(end)) => match confirmed.of(end.epoch).delete(stream).await {
                Ok(_) => confirmed.header_if_absent(stream, header).await,
                Err(error) => Err(error),
            },
            _ => return run.filter(|run| run.more.contains_key("pid") && may_live(&run.more)).map_or(Ok(()), |run| Err(Box::new(run))),
        };
        if !matches!(begun, Err(ClientError::Stale(_))) {
            break;
        }
    }
    Ok(())
}

/// How the stream stands, and the header of a run that is on.
async fn look(remote: &RemoteStream, stream: &str) -> Option<(Joined, Option<Join>)> {
    let mut listener = remote.listen(stream).await.ok()?;
    let joined = listener.joined().await?;
    let header = match joined.state {
        StreamState::Running => listener.next().await,
        _ => None,
    };
    let run = match header {
        Some(Event::Header(content)) => Message::of(&content),
        _ => None,
    };
    Some((joined, run.and_then(|run| if let Message::Join(run) = run { Some(run) } else { None })))
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
