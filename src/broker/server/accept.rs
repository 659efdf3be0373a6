//! The accept loop: it goes on after every error, and pauses where it would spin.

use std::io;
use std::io::IoSlice;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use crate::broker::connection::{self, Transport};
use crate::wire::{Codec, Encode, Encoding, ErrorCode, Event};

use super::control::Newcomers;
use super::listening_socket::{Accepted, ListeningSocket};

/// The first and the longest pause after an accept that failed for lack of descriptors or memory.
const PAUSES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// How long a connection that is turned away may take to hear why.
const REFUSAL: Duration = Duration::from_secs(1);

/// Where accepted connections go.
#[derive(Clone)]
pub(super) struct Admission {
    pub(super) newcomers: Arc<Newcomers>,
    pub(super) tasks: TaskTracker,
    pub(super) open: Arc<AtomicUsize>,
    /// The most connections that may be turned away at once: each holds a descriptor of the reserve.
    pub(super) most_refusals: usize,
    pub(super) refusals: Arc<AtomicUsize>,
}

/// Accepts connections of one encoding until told to stop.
pub(super) async fn accept<C: Codec + Default>(socket: ListeningSocket, encoding: Encoding, admission: Admission, stop: CancellationToken) {
    let mut pause = PAUSES.0;
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            accepted = socket.accept() => accepted,
        };
        match accepted {
            Ok(accepted) => {
                pause = PAUSES.0;
                match accepted {
                    Accepted::Tcp(socket) => admission.admit::<_, C>(socket, encoding),
                    Accepted::Unix(socket) => admission.admit::<_, C>(socket, encoding),
                }
            }
            Err(error) if is_peers_doing(&error) => debug!(%error, "a connection ended before it was accepted"),
            Err(error) => {
                admission.newcomers.context(encoding).stats.accept_failed.add(1);
                warn!(%error, pause_ms = pause.as_millis() as u64, "cannot accept connections now; trying again after a pause");
                tokio::select! {
                    biased;
                    () = stop.cancelled() => return,
                    () = sleep(pause) => {}
                }
                pause = (pause * 2).min(PAUSES.1);
            }
        }
    }
}

/// Whether the connection is at fault rather than the machine; then the next one is accepted at once. Besides a peer that has
/// left, accept(2) passes on the network errors that a connection had before it was accepted.
fn is_peers_doing(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, HostUnreachable, Interrupted, NetworkDown, NetworkUnreachable, NotConnected};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionReset | HostUnreachable | Interrupted | NetworkDown | NetworkUnreachable | NotConnected
    )
}

/// Counts one up for as long as it lives.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    /// None if `most` are counted already.
    fn new(count: &Arc<AtomicUsize>, most: usize) -> Option<Self> {
        count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| (now < most).then_some(now + 1)).ok()?;
        Some(Self(Arc::clone(count)))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Admission {
    fn admit<T: Transport, C: Codec + Default>(&self, transport: T, encoding: Encoding) {
        let codec = C::default();
        let Some(counted) = Counted::new(&self.open, self.newcomers.most()) else { return self.refuse(transport, codec.encoder()) };
        let context = self.newcomers.context(encoding);
        self.tasks.spawn(async move {
            let _counted = counted;
            connection::serve(transport, codec, context).await;
        });
    }

    /// Tells a connection that there are too many, and ends it.
    fn refuse<T: Transport>(&self, transport: T, encoder: &dyn Encode) {
        self.newcomers.context(Encoding::JsonLines).stats.connections_refused.add(1);
        debug!(peer = transport.peer(), "connection refused, there are too many");
        let Some(counted) = Counted::new(&self.refusals, self.most_refusals) else { return };
        let reason = format!("there are {} connections, the most allowed (limits.connections); try again later", self.newcomers.most());
        let mut line = Vec::new();
        encoder.encode(&Event::CloseConnection { why: Some((ErrorCode::Limit, &reason)) }, &mut line);
        self.tasks.spawn(async move {
            let _counted = counted;
            // A fresh socket takes a line at once; if it does not, the peer is gone.
            let told = async {
                std::future::poll_fn(|cx| transport.poll_writable(cx)).await?;
                transport.try_write(&[IoSlice::new(&line)])?;
                transport.close();
                connection::drop_input(&transport).await;
                io::Result::Ok(())
            };
            let _ = timeout(REFUSAL, told).await;
        });
    }
}
