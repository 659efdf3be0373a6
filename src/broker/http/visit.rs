//! One connection that speaks HTTP: requests and answers by hyper, until it ends or goes on as a WebSocket or as events.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::http::{Request, Response};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::TokioTimer;
use hyper_util::service::TowerToHyperService;
use tokio::task::yield_now;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::broker::access::Place;
use crate::broker::connection::{ConnectionContext, Transport, drop_input, within};

use super::bytes_io::BytesIo;
use super::front::Front;
use super::next::{Next, go_on};
use super::pipe::Peer;

/// The most of a request's head, in bytes: a token and a long name fit several times.
const LONGEST_HEAD: usize = 32 << 10;

/// The most headers of a request. Browsers send some twenty.
const MOST_HEADERS: usize = 64;

/// What the last bytes of a peer may take to come, once it has its last answer.
pub(super) const LINGER: Duration = Duration::from_secs(1);

/// What a request knows of the connection that it came on.
#[derive(Clone)]
pub(super) struct Visit {
    pub(super) peer: Peer,
    /// The place among those that have yet to say who they are.
    place: Arc<Mutex<Option<Place>>>,
    turn: Arc<Turn>,
}

/// What becomes of the connection.
#[derive(Default)]
struct Turn {
    /// A request has come.
    has_asked: AtomicBool,
    /// A request has come, and its answer is being made.
    is_asked: AtomicBool,
    next: Mutex<Option<Next>>,
    /// The head of the last answer has been given to the connection.
    is_answered: AtomicBool,
}

impl Visit {
    pub(super) fn new(transport: &impl Transport, place: Option<Place>) -> Self {
        Self { peer: Peer::of(transport), place: Arc::new(Mutex::new(place)), turn: Arc::default() }
    }

    /// Somebody who may be here has asked: the connection need not make room for others any more.
    pub(super) fn admit(&self) {
        let place = lock(&self.place).take();
        drop(place);
    }

    fn is_admitted(&self) -> bool {
        lock(&self.place).is_none()
    }

    /// Has the connection go on as something else, once the answer with this body has been sent.
    pub(super) fn turn_into(&self, next: Next) -> Body {
        *lock(&self.turn.next) = Some(next);
        Body::new(Awaited(Arc::clone(&self.turn)))
    }

    /// What stands for the body of an answer to HEAD that would have no end to GET.
    pub(super) fn endless(&self) -> Body {
        Body::new(Awaited(Arc::default()))
    }
}

/// The body of an answer behind which the connection is something else.
struct Awaited(Arc<Turn>);

impl HttpBody for Awaited {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        // Nobody is woken: whoever polls the connection looks at this directly afterwards.
        self.0.is_answered.store(true, Ordering::Relaxed);
        Poll::Pending
    }
}

/// Serves one connection. `held` lives as long as it does.
pub(crate) async fn visit<T: Transport>(
    transport: T,
    (front, router): (Arc<Front>, Router),
    (context, place): (Arc<ConnectionContext>, Option<Place>),
    held: impl Send + 'static,
) {
    let access = context.access.as_ref();
    let place = place.or_else(|| access.map(|access| access.enter(transport.origin())));
    let over = place.as_ref().map(|place| place.over().clone()).unwrap_or_default();
    let visit = Visit::new(&transport, place);
    // Boxed, since what comes after it may last for days and needs no room for it.
    let talked = Box::pin(talk(transport, (&front, router), &context, (&visit, &over))).await;
    let Some((transport, early)) = talked else { return };
    let Some(next) = lock(&visit.turn.next).take() else { return };
    let place = lock(&visit.place).take();
    drop((visit, over));
    let served = go_on(next, transport, early, context, place);
    // Its end is waited for like that of every connection when the broker stops.
    front.tasks.spawn(async move {
        served.await;
        drop(held);
    });
}

/// Answers requests. None once the connection has ended; else it is something else from now on, and some of that may have come already.
async fn talk<T: Transport>(
    transport: T,
    (front, router): (&Front, Router),
    context: &ConnectionContext,
    (visit, over): (&Visit, &CancellationToken),
) -> Option<(T, Vec<u8>)> {
    let stuck = Arc::new(AtomicBool::new(false));
    let io = BytesIo::new(transport, context.times.write, Arc::clone(&stuck));
    let service = Visited::new(router, visit.clone());
    let mut connection = builder(context.times.first_line).serve_connection(io, service);
    let ended = {
        let mut answers = pin!(answer(&mut connection, &stuck, &front.end, visit));
        match over.run_until_cancelled(answers.as_mut()).await {
            Some(ended) => Some(ended),
            None => last_chance(answers, visit).await,
        }
    };
    if let Some(Err(error)) = &ended {
        debug!(peer = &*visit.peer.name, %error, "a connection by HTTP ended");
    }
    let parts = connection.into_parts();
    let transport = parts.io.into_inner();
    if let Some(Ok(())) = ended
        && lock(&visit.turn.next).is_some()
    {
        return Some((transport, parts.read_buf.to_vec()));
    }
    // TLS says so itself: to its peer, an end of the socket alone would be an error.
    transport.close();
    // Who makes room for others does so at once.
    if ended.is_some() {
        within(LINGER, drop_input(&transport)).await;
    }
    None
}

/// Answers requests until no more is to be answered on this connection.
async fn answer<T: Transport>(
    connection: &mut http1::Connection<BytesIo<T>, Visited>,
    stuck: &AtomicBool,
    end: &CancellationToken,
    visit: &Visit,
) -> hyper::Result<()> {
    let mut stopping = pin!(end.cancelled());
    let mut is_ending = false;
    poll_fn(|cx| {
        if !is_ending && stopping.as_mut().poll(cx).is_ready() {
            is_ending = true;
            Pin::new(&mut *connection).graceful_shutdown();
        }
        match connection.poll_without_shutdown(cx) {
            Poll::Ready(ended) => Poll::Ready(ended),
            Poll::Pending if visit.turn.is_answered.load(Ordering::Relaxed) && !stuck.load(Ordering::Relaxed) => Poll::Ready(Ok(())),
            // Half a head, the rest of which is not waited for any more.
            Poll::Pending if is_ending && !visit.turn.has_asked.load(Ordering::Relaxed) => Poll::Ready(Ok(())),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Who is to make room may have asked already, and shown who it is: what has come is read once, and answered soon, before it has to go.
async fn last_chance<T>(mut answers: Pin<&mut impl Future<Output = T>>, visit: &Visit) -> Option<T> {
    // It is not known what has come before the runtime has asked the system, which it does after this turn.
    yield_now().await;
    if let Poll::Ready(ended) = poll_fn(|cx| Poll::Ready(answers.as_mut().poll(cx))).await {
        return Some(ended);
    }
    let is_asked = visit.turn.is_asked.load(Ordering::Relaxed);
    if is_asked && let Some(ended) = within(LINGER, answers.as_mut()).await {
        return Some(ended);
    }
    if visit.is_admitted() { Some(answers.await) } else { None }
}

/// How requests are read, each head of which has this time to come.
pub(super) fn builder(head: Duration) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(head).max_headers(MOST_HEADERS).max_buf_size(LONGEST_HEAD);
    builder
}

/// Answers the requests of one connection.
pub(super) struct Visited {
    router: TowerToHyperService<Router>,
    visit: Visit,
}

impl Visited {
    pub(super) fn new(router: Router, visit: Visit) -> Self {
        Self { router: TowerToHyperService::new(router), visit }
    }
}

impl Service<Request<Incoming>> for Visited {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        request.extensions_mut().insert(self.visit.clone());
        let turn = Arc::clone(&self.visit.turn);
        turn.has_asked.store(true, Ordering::Relaxed);
        turn.is_asked.store(true, Ordering::Relaxed);
        let answer = self.router.call(request);
        Box::pin(async move {
            let answer = answer.await;
            turn.is_asked.store(false, Ordering::Relaxed);
            answer
        })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
