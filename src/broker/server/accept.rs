//! The accept loop: it goes on after every error, and pauses where it would spin.

use std::io;
use std::io::IoSlice;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::task::yield_now;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use crate::broker::access::Place;
#[cfg(feature = "tls")]
use crate::broker::connection::tls::{Handshakes, Refused, TlsTransport};
#[cfg(feature = "tls")]
use crate::broker::connection::within;
use crate::broker::connection::{self, ConnectionContext, Transport};
#[cfg(feature = "tls")]
use crate::wire::units::Span;
use crate::wire::{Codec, Encoding, ErrorCode, Event};

#[cfg(feature = "tls")]
use super::certificates::Certificates;
use super::control::Newcomers;
use super::listening_socket::{Accepted, ListeningSocket};

/// The first and the longest pause after an accept that failed for lack of descriptors or memory.
const PAUSES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// So many connections are accepted before they get a turn: else all of a crowd that has come at once would wait to be let in, and the
/// first would have to make room before what they have sent was read.
const AT_ONCE: usize = 16;

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

/// What is spoken at an address.
pub(super) trait Spoken: Clone + Send + Sync + 'static {
    /// What its connections share.
    fn context(&self, newcomers: &Newcomers) -> Arc<ConnectionContext>;

    /// The last word to a connection that there will not be.
    fn close(&self, code: ErrorCode, reason: &str) -> Vec<u8>;

    /// What is to be done at an address where TLS is spoken, by a client that does not.
    #[cfg(feature = "tls")]
    fn without_tls(&self) -> &'static str;

    /// Serves a connection, which counts as one until it ends.
    fn serve<T: Transport>(&self, transport: T, admitted: Admitted) -> impl Future<Output = ()> + Send + 'static;
}

/// What a connection has that may be served.
pub(super) struct Admitted {
    pub(super) context: Arc<ConnectionContext>,
    /// Its place among those that have yet to say who they are, if it has one already.
    pub(super) place: Option<Place>,
    pub(super) counted: Counted,
}

/// The protocol, in one encoding.
pub(super) struct Encoded<C>(pub(super) Encoding, PhantomData<fn() -> C>);

impl<C> Encoded<C> {
    pub(super) fn new(encoding: Encoding) -> Self {
        Self(encoding, PhantomData)
    }
}

impl<C> Clone for Encoded<C> {
    fn clone(&self) -> Self {
        Self(self.0, PhantomData)
    }
}

impl<C: Codec + Default> Spoken for Encoded<C> {
    fn context(&self, newcomers: &Newcomers) -> Arc<ConnectionContext> {
        newcomers.context(self.0)
    }

    fn close(&self, code: ErrorCode, reason: &str) -> Vec<u8> {
        let mut line = Vec::new();
        C::default().encoder().encode(&Event::CloseConnection { why: Some((code, reason)) }, &mut line);
        line
    }

    #[cfg(feature = "tls")]
    fn without_tls(&self) -> &'static str {
        "this address speaks TLS; connect to it with tls:// before the host, or to one without TLS"
    }

    fn serve<T: Transport>(&self, transport: T, admitted: Admitted) -> impl Future<Output = ()> + Send + 'static {
        let Admitted { context, place, counted } = admitted;
        let connection = connection::serve_placed(transport, C::default(), context, place);
        async move {
            let _counted = counted;
            connection.await;
        }
    }
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

/// Counts one up for as long as it lives.
pub(super) struct Counted(Arc<AtomicUsize>);

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
    fn admit<T: Transport>(&self, transport: T, spoken: &impl Spoken) {
        let Some(counted) = Counted::new(&self.open, self.newcomers.most()) else {
            return self.refuse(transport, spoken, &full(self.newcomers.most()));
        };
        self.tasks.spawn(spoken.serve(transport, Admitted { context: spoken.context(&self.newcomers), place: None, counted }));
    }

    /// The same once it is encrypted. A handshake that fails is of no interest to anybody but its own client.
    #[cfg(feature = "tls")]
    fn admit_encrypted<T: Transport>(&self, socket: T, spoken: &impl Spoken) {
        let Some(Tls { certificates, handshakes }) = self.tls.clone() else { return };
        let counted = Counted::new(&self.open, self.newcomers.most());
        let refused = if counted.is_none() { self.count_refusal(&socket, &full(self.newcomers.most())) } else { None };
        if counted.is_none() && refused.is_none() {
            return;
        }
        let (context, stop, most) = (spoken.context(&self.newcomers), self.stop.clone(), self.newcomers.most());
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
                Some(Some(None)) | None => return,
            };
            drop((certificates, handshakes, stop, over));
            let Some(counted) = counted else {
                Box::pin(tell(transport, &spoken.close(ErrorCode::Limit, &full(most)))).await;
                return drop(refused);
            };
            spoken.serve(transport, Admitted { context, place, counted }).await;
        });
    }

    /// Tells a connection that there are too many, and ends it.
    fn refuse<T: Transport>(&self, transport: T, spoken: &impl Spoken, reason: &str) {
        let Some(counted) = self.count_refusal(&transport, reason) else { return };
        let line = spoken.close(ErrorCode::Limit, reason);
        self.tasks.spawn(async move {
            let _counted = counted;
            tell(transport, &line).await;
        });
    }

    /// Counts a connection that there is no room for. None if there is none to tell it, either.
    fn count_refusal(&self, transport: &impl Transport, reason: &str) -> Option<Counted> {
        let context = self.newcomers.context(Encoding::JsonLines);
        context.stats.connections_refused.add(1);
        context.cut_log.note(None, || transport.peer(), ErrorCode::Limit.as_str(), || reason.to_owned(), 0);
        debug!(peer = transport.peer(), reason, "connection refused");
        let counted = Counted::new(&self.refusals, self.most_refusals)?;
        context.stats.tell(ErrorCode::Limit);
        Some(counted)
    }
}

/// Why there is no room for a connection.
fn full(most: usize) -> String {
    format!("there are {most} connections, the most allowed (limits.connections); try again later")
}

/// Tells a connection its last word, and ends it.
async fn tell<T: Transport>(transport: T, line: &[u8]) {
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
