use tokio::sync::watch;
use tokio::time::timeout;

use super::{BACKLOG, Lines, PATIENCE};
use crate::client::{Connection, Options, RemoteStream};
use crate::job::content::Content;

/// A broker far away: what is written while the connection is being made is more than is kept.
#[tokio::test(start_paused = true)]
async fn a_connection_that_is_being_made_is_waited_for_before_lines_are_dropped() {
    let half = Content::from_json(&format!("{:?}", "x".repeat(BACKLOG / 2))).unwrap();
    for (stands, waits) in [(Connection::Connecting, true), (Connection::Away { reason: String::new() }, false)] {
        let remote = RemoteStream::start("unix:/nonexistent".parse().unwrap(), Options::default());
        let (_stands, connection) = watch::channel(stands);
        let lines = Lines { connection, ..Lines::new(remote, "job", true, false) };
        lines.keep(half.clone()).await;
        assert_eq!(timeout(PATIENCE / 2, lines.keep(half.clone())).await.is_err(), waits);
        // Not for ever.
        lines.keep(half.clone()).await;
        assert!(lines.gone.get() == waits && lines.backlog.borrow().dropped() > 0);
    }
}
