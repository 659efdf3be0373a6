//! Connections that there is no room for: each is counted, told so as far as the reserve of descriptors allows, and ended.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use tracing::debug;

use crate::broker::connection::{self, ConnectionContext, Transport};
use crate::wire::ErrorCode;

use super::spoken::{Counted, Spoken};

/// How long a connection that is turned away may take to hear why.
pub(super) const REFUSAL: Duration = Duration::from_secs(1);

/// Does what is done without room, and turns the connection away if that was not all that it wanted.
pub(super) async fn turn_away<T: Transport>(
    transport: T,
    spoken: impl Spoken,
    context: Arc<ConnectionContext>,
    most: usize,
    counted: Counted,
) {
    let _counted = counted;
    let Some(transport) = spoken.serve_without_room(transport, Arc::clone(&context)).await else { return };
    note(&context, || transport.peer(), most);
    context.stats.tell(ErrorCode::Limit);
    tell(transport, &spoken.close(ErrorCode::Limit, &full(most))).await;
}

/// Counts a connection that is turned away.
pub(super) fn note(context: &ConnectionContext, peer: impl Fn() -> String, most: usize) {
    context.stats.connections_refused.add(1);
    context.cut_log.note(None, &peer, ErrorCode::Limit.as_str(), || full(most), 0);
    debug!(peer = peer(), reason = full(most), "connection refused");
}

/// Tells a connection its last word, and ends it.
pub(super) async fn tell<T: Transport>(transport: T, line: &[u8]) {
    // A fresh socket takes a line at once; if it does not, the peer is gone.
    let told = async {
        std::future::poll_fn(|cx| transport.poll_writable(cx)).await?;
        transport.try_write(&[IoSlice::new(line)])?;
        transport.close();
        connection::drop_input(&transport).await;
        io::Result::Ok(())
    };
    let _ = timeout(REFUSAL, told).await;
}

/// Why there is no room for a connection.
fn full(most: usize) -> String {
    format!("there are {most} connections, the most allowed (limits.connections); try again later")
}
