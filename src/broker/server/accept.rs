//! The accept loop: it goes on after every error, and pauses where it would spin.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use tokio::task::yield_now;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use crate::broker::connection::Transport;
#[cfg(feature = "tls")]
use crate::broker::connection::tls::{Handshakes, Refused, TlsTransport};
#[cfg(feature = "tls")]
use crate::broker::connection::{ConnectionContext, within};
#[cfg(feature = "tls")]
use crate::wire::ErrorCode;
#[cfg(feature = "tls")]
use crate::wire::units::Span;

#[cfg(feature = "tls")]
use super::certificates::Certificates;
use super::control::Newcomers;
use super::listening_socket::{Accepted, ListeningSocket};
#[cfg(feature = "tls")]
use super::refusal::{REFUSAL, tell};
use super::refusal::{note, turn_away};
use super::spoken::{Admitted, Counted, Spoken};

/// The first and the longest pause after an accept that failed for lack of descriptors or memory.
const PAUSES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// So many connections are accepted before they get a turn: else all of a crowd that has come at once would wait to be let in, and the
/// first would have to make room before what they have sent was read.
const AT_ONCE: usize = 16;

/// Where accepted connections go.
#[derive(Clone)]
pub(super) struct Admission {
    pub(super) newcomers: Arc<Newcomers>,
    pub(super) tasks: TaskTracker,
    pub(super) open: Arc<AtomicUsize>,
    /// The most connections that may be turned away at once: each holds a descriptor of the reserve.
    pub(super) most_refusals: usize,
    pub(super) refusals: Arc<AtomicUsize>,
    /// For `tls://` addresses.
    #[cfg(feature = "tls")]
    pub(super) tls: Option<Tls>,
    /// The broker stops: no more connections are made.
    pub(super) stop: CancellationToken,
}

/// What encrypted connections share.
#[cfg(feature = "tls")]
#[derive(Clone)]
pub(super) struct Tls {
    pub(super) certificates: Certificates,
    pub(super) handshakes: Arc<Handshakes>,
}

/// Accepts connections at one address until told to stop.
pub(super) async fn accept<S: Spoken>(socket: ListeningSocket, spoken: S, admission: Admission, stop: CancellationToken) {
    let mut pause = PAUSES.0;
    for count in 1_usize.. {
        if count.is_multiple_of(AT_ONCE) {
            yield_now().await;
        }
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            accepted = socket.accept() => accepted,
        };
        match accepted {
            Ok(accepted) => {
                pause = PAUSES.0;
                match accepted {
                    Accepted::Tcp(socket) => admission.admit(socket, &spoken),
                    #[cfg(feature = "tls")]
                    Accepted::Tls(socket) => admission.admit_encrypted(socket, &spoken),
                    Accepted::Unix(socket) => admission.admit(socket, &spoken),
                }
            }
            Err(error) if is_peers_doing(&error) => debug!(%error, "a connection ended before it was accepted"),
            Err(error) => {
                spoken.context(&admission.newcomers).stats.accept_failed.add(1);
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

impl Admission {
    fn admit<T: Transport>(&self, transport: T, spoken: &impl Spoken) {
        let Some(counted) = Counted::new(&self.open, self.newcomers.most()) else {
            let (context, most) = (spoken.context(&self.newcomers), self.newcomers.most());
            // Each that is told holds a descriptor of the reserve.
            let Some(counted) = Counted::new(&self.refusals, self.most_refusals) else {
                return note(&context, || transport.peer(), most);
            };
            self.tasks.spawn(turn_away(transport, spoken.clone(), context, most, counted));
            return;
        };
        self.tasks.spawn(spoken.serve(transport, Admitted { context: spoken.context(&self.newcomers), place: None, counted }));
    }

    /// The same once it is encrypted. A handshake that fails is of no interest to anybody but its own client.
    #[cfg(feature = "tls")]
    fn admit_encrypted<T: Transport>(&self, socket: T, spoken: &impl Spoken) {
        let Some(Tls { certificates, handshakes }) = self.tls.clone() else { return };
        let counted = Counted::new(&self.open, self.newcomers.most());
        let (context, stop, most) = (spoken.context(&self.newcomers), self.stop.clone(), self.newcomers.most());
        let refused = if counted.is_none() { Counted::new(&self.refusals, self.most_refusals) } else { None };
        if counted.is_none() && refused.is_none() {
            return note(&context, || socket.peer(), most);
        }
        let spoken = spoken.clone();
        // Who it is can be said behind the handshake: that takes part of the time, and of the places, which there are for that.
        // Who is only told that there is no room takes none from others.
        let access = context.access.as_ref().filter(|_| refused.is_none());
        let place = access.map(|access| access.enter(socket.origin()));
        self.tasks.spawn(async move {
            let (counted, refused) = (counted, refused);
            let peer = socket.peer();
            let time = if refused.is_some() { REFUSAL } else { context.times.first_line };
            let encrypted = encrypt(socket, (&certificates, &handshakes), &context, &spoken, time);
            // Boxed, since it is over soon and the connection may last for days.
            let over = place.as_ref().map(|place| place.over().clone()).unwrap_or_default();
            let in_time = stop.run_until_cancelled(over.run_until_cancelled(encrypted));
            let transport = match Box::pin(in_time).await {
                Some(Some(Some(transport))) => transport,
                Some(None) => {
                    context.stats.handshakes_failed.add(1);
                    return debug!(peer, reason = "others needed its place (auth.waiting)", "no encrypted connection");
                }
                Some(Some(None)) | None => {
                    if refused.is_some() {
                        note(&context, || peer.clone(), most);
                    }
                    return;
                }
            };
            drop((certificates, handshakes, stop, over));
            if let Some(refused) = refused {
                return Box::pin(turn_away(transport, spoken, context, most, refused)).await;
            }
            let Some(counted) = counted else { return };
            spoken.serve(transport, Admitted { context, place, counted }).await;
        });
    }
}

/// Makes an encrypted connection in the time that there is for it, if the client is able to.
#[cfg(feature = "tls")]
async fn encrypt<T: Transport>(
    socket: T,
    (certificates, handshakes): (&Certificates, &Handshakes),
    context: &ConnectionContext,
    spoken: &impl Spoken,
    time: Duration,
) -> Option<TlsTransport<T>> {
    let peer = socket.peer();
    let reason = match within(time, handshakes.accept(socket, certificates.config())).await {
        Some(Ok(transport)) => return Some(transport),
        Some(Err(Refused::NotTls(socket))) => {
            context.stats.tell(ErrorCode::NotJson);
            tell(socket, &spoken.close(ErrorCode::NotJson, spoken.without_tls())).await;
            "the client does not speak TLS".to_owned()
        }
        Some(Err(error)) => error.to_string(),
        None => format!("the handshake took longer than {} (limits.first_line_time)", Span(time)),
    };
    context.stats.handshakes_failed.add(1);
    debug!(peer, reason, "no encrypted connection");
    None
}
