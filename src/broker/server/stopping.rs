//! How a server ends: what its connections are sent and told, and what the actor leaves behind.

use std::future::Future;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::broker::actor::{Command, LONGEST_FINISH, Mailbox, StatsSnapshot};
use crate::broker::connection::within;

/// How long connections may take beyond the drain time: for the peer to close, and because the machine may be slow.
pub(super) const LAST_MOMENT: Duration = Duration::from_secs(2);

/// A broker could not go on.
///
/// ```
/// # use msgstream::broker::ServerError;
/// // As `msgstream serve` does: a supervisor is to restart the broker.
/// fn exit_code(ended: Result<(), ServerError>) -> u8 {
///     match ended {
///         Ok(()) => 0,
///         Err(_) => 70,
///     }
/// }
/// assert_eq!(exit_code(Err(ServerError::ActorPanicked)), 70);
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// The actor panicked: no stream can be trusted any more, so the broker ends.
    #[error("the actor that owns all streams panicked; this is a bug, please report it with the lines before this one")]
    ActorPanicked,
    /// The store cannot be written, so that the broker did not begin.
    #[error("{0}")]
    Store(Box<dyn std::error::Error + Send + Sync>),
    /// It is one of several nodes, and does not know any more how the streams of all stand.
    #[error("this node cannot go on: {0}")]
    Node(String),
}

/// Waits for the actor to end. Before its server does, it ends only by a panic, which has been printed.
pub(super) async fn end_of(actor: &mut Option<JoinHandle<()>>, mailbox: &Mailbox) {
    match actor {
        Some(actor) => drop(actor.await),
        None => mailbox.closed().await,
    }
}

/// Waits for the actor, which ends with its last connection. A connection that has not ended by now was told to, and holds it up
/// for a second at most. Then it has what there is kept, if there is a store.
pub(super) async fn last_word(actor: JoinHandle<()>) -> Result<(), ServerError> {
    let abort = actor.abort_handle();
    match timeout(Duration::from_secs(1) + LONGEST_FINISH, actor).await {
        Ok(Err(error)) if error.is_panic() => Err(ServerError::ActorPanicked),
        Ok(_) => Ok(()),
        Err(_) => {
            abort.abort();
            Ok(())
        }
    }
}

/// Brings the connections to their end.
pub(super) async fn drain(
    mailbox: &Mailbox,
    tasks: &TaskTracker,
    (time, longest): (Duration, Duration),
    cut_short: impl Future<Output = ()>,
) {
    info!(connections = tasks.len(), "stopping: sending what is queued");
    tasks.close();
    let orderly = async {
        let (done, all_taken_in) = oneshot::channel();
        mailbox.send(Command::Quiesce(done));
        // First all connections take in what they have received, so that none is told the end before the others' messages.
        if within(time, all_taken_in).await.is_none() {
            warn!("some connections did not take in all that they received");
        }
        mailbox.send(Command::Shutdown);
        // Each connection keeps its own drain time; this is for those that do not.
        within(longest + LAST_MOMENT, tasks.wait()).await.is_some()
    };
    let ended = tokio::select! {
        ended = orderly => ended,
        () = cut_short => false,
    };
    if !ended {
        warn!(connections = tasks.len(), "stopping at once: what is queued is dropped");
        mailbox.send(Command::Abort);
        let _ = timeout(Duration::from_secs(1), tasks.wait()).await;
    }
}

/// Logs what was counted.
pub(super) fn tell_counts(stats: &StatsSnapshot) {
    info!(
        connections = stats.connections_opened,
        delivered = stats.delivered,
        mistakes = stats.mistakes,
        cut_limit = stats.cut_limit,
        cut_total = stats.cut_total,
        cut_time = stats.cut_time,
        translated = stats.translated,
        refused = stats.connections_refused,
        handshakes_failed = stats.handshakes_failed,
        auth_required = stats.auth_required,
        auth_failed = stats.auth_failed,
        auth_paused = stats.auth_paused,
        "stopped"
    );
}
