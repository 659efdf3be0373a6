//! The addresses where HTTP is spoken.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::broker::connection::{ConnectionContext, Transport};
use crate::broker::http::{Front, last_word, router, visit, visit_without_room};
use crate::broker::metrics::Metrics;
use crate::broker::settings::{HttpSettings, Settings};
use crate::wire::{Address, Encoding, ErrorCode};

use super::accept::{Admission, accept};
use super::control::Newcomers;
use super::handed_in::HandedIn;
use super::listening_socket::{BindError, ListeningSocket};
use super::spoken::{Admitted, Spoken};

/// How long the last answers may take once the broker has stopped.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// The sockets where HTTP is spoken.
pub(super) struct Http {
    sockets: Vec<ListeningSocket>,
    /// Where each was asked to listen.
    listen: Vec<Address>,
    settings: HttpSettings,
}

impl Http {
    /// Listens on these addresses, the last of which are those of sockets that listen already. `others` are those where the protocol is
    /// spoken.
    pub(super) fn bind(listen: &[Address], handed_in: Vec<HandedIn>, settings: &Settings, others: &[Address]) -> Result<Self, BindError> {
        let all: Vec<_> = others.iter().chain(listen).cloned().collect();
        let to_bind = listen.iter().take(listen.len() - handed_in.len());
        let bound = to_bind.map(|address| ListeningSocket::bind(address, &all, &settings.tcp, &settings.unix));
        let adopted = handed_in.into_iter().map(HandedIn::into_parts);
        let adopted = adopted.map(|(listen, socket)| ListeningSocket::adopt(&listen.address, socket, &settings.tcp));
        let sockets = bound.chain(adopted).collect::<Result<_, _>>()?;
        Ok(Self { sockets, listen: listen.to_vec(), settings: settings.http.clone() })
    }

    /// The addresses in use, with the ports that the system chose.
    pub(super) fn addresses(&self) -> Vec<Address> {
        let in_use = self.sockets.iter().zip(&self.listen);
        in_use.map(|(socket, asked)| socket.address().unwrap_or_else(|_| asked.clone())).collect()
    }

    /// Answers until the serving is ended, which is after the broker's connections have ended: so it can be asked how it stops.
    pub(super) fn serve(self, admission: &Admission, metrics: &Metrics) -> Serving {
        let serving = Serving { accepting: TaskTracker::new(), answering: TaskTracker::new(), end: CancellationToken::new() };
        let newcomers = Arc::clone(&admission.newcomers);
        let contexts = move || newcomers.context(Encoding::JsonLines);
        let times = (admission.stop.clone(), serving.end.clone());
        let front = Front::new(&self.settings, metrics.clone(), contexts, admission.tasks.clone(), times);
        // No more than half of those who may be told at once: so however many ask slowly, there is one for whoever is only told.
        let probes = Arc::new(Semaphore::new((admission.most_refusals / 2).max(1)));
        let web = Web { router: router(&front), front, probes, end: serving.end.clone() };
        let admission = Admission { tasks: serving.answering.clone(), stop: serving.end.clone(), ..admission.clone() };
        if !self.sockets.is_empty() {
            serving.answering.spawn(serving.end.clone().run_until_cancelled_owned(metrics.clone().watch()));
        }
        for socket in self.sockets {
            serving.accepting.spawn(accept(socket, web.clone(), admission.clone(), serving.end.clone()));
        }
        serving
    }
}

/// What answers.
pub(super) struct Serving {
    accepting: TaskTracker,
    answering: TaskTracker,
    end: CancellationToken,
}

impl Serving {
    /// Gives the last answers.
    pub(super) async fn end(self) {
        self.end.cancel();
        self.accepting.close();
        self.accepting.wait().await;
        self.answering.close();
        // All are cut off by then.
        let _ = timeout(LAST_ANSWERS * 2, self.answering.wait()).await;
    }
}

/// HTTP, as it is spoken at an address.
#[derive(Clone)]
struct Web {
    front: Arc<Front>,
    router: Router,
    /// Places for those without room who may ask whether the broker is well.
    probes: Arc<Semaphore>,
    end: CancellationToken,
}

impl Web {
    /// Does this, but no longer than the last answers may take: the actor ends, and keeps what there is, once no connection holds it.
    fn in_time<F: Future>(&self, done: F) -> impl Future<Output = Option<F::Output>> + use<F> {
        let end = self.end.clone();
        async move {
            let late = async {
                end.cancelled().await;
                sleep(LAST_ANSWERS).await;
            };
            tokio::select! {
                biased;
                done = done => Some(done),
                () = late => None,
            }
        }
    }
}

impl Spoken for Web {
    fn context(&self, newcomers: &Newcomers) -> Arc<ConnectionContext> {
        newcomers.context(Encoding::JsonLines)
    }

    fn close(&self, code: ErrorCode, reason: &str) -> Vec<u8> {
        last_word(code, reason)
    }

    #[cfg(feature = "tls")]
    fn without_tls(&self) -> &'static str {
        "this address speaks TLS; ask it with https:// before the host"
    }

    fn serve<T: Transport>(&self, transport: T, admitted: Admitted) -> impl Future<Output = ()> + Send + 'static {
        let Admitted { context, place, counted } = admitted;
        let visit = visit(transport, (Arc::clone(&self.front), self.router.clone()), (context, place), counted);
        let visit = self.in_time(visit);
        async move { visit.await.unwrap_or_default() }
    }
    fn serve_without_room<T: Transport>(
        &self,
        transport: T,
        context: Arc<ConnectionContext>,
    ) -> impl Future<Output = Option<T>> + Send + 'static {
        let place = Arc::clone(&self.probes).try_acquire_owned();
        let shared = (Arc::clone(&self.front), self.router.clone());
        let visit = self.in_time(async move {
            match place {
                Ok(place) => visit_without_room(transport, shared, context, place).await,
                Err(_) => Some(transport),
            }
        });
        async move { visit.await.flatten() }
    }
}
