//! A connection that there is no room for: it may ask once whether the broker is well, and what it counts. Else whoever restarts a broker
//! that does not say so would restart one that is only full.

use std::convert::Infallible;
use std::future::{pending, poll_fn};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::Service;

use crate::broker::connection::{ConnectionContext, Transport, drop_input, within};

use super::bytes_io::BytesIo;
use super::front::Front;
use super::hold::is_open;
use super::visit::{LINGER, Visit, Visited, builder};

/// How long the head of the request may take to come: it holds one of few places.
const HEAD: Duration = Duration::from_secs(1);

/// How long the answer may take to be made and taken. It takes the broker no longer than five seconds to tell whether it is well.
const ANSWER: Duration = Duration::from_secs(6);

/// Answers one request, if it is of those that anybody may ask. Else the connection comes back, and nothing was sent on it. `place` is
/// dropped as soon as another one may ask.
pub(crate) async fn visit_without_room<T: Transport>(
    transport: T,
    (front, router): (Arc<Front>, Router),
    context: Arc<ConnectionContext>,
    place: impl Send,
) -> Option<T> {
    let asked = Arc::new(Asked::default());
    let visited = Visited::new(router, Visit::new(&transport, None));
    let io = BytesIo::new(transport, context.times.write, Arc::default());
    let mut connection = builder(HEAD).keep_alive(false).serve_connection(io, Once { visited, asked: Arc::clone(&asked) });
    let heard = within(
        HEAD,
        poll_fn(|cx| match connection.poll_without_shutdown(cx) {
            Poll::Ready(ended) => Poll::Ready(Some(ended)),
            Poll::Pending if asked.at_all.load(Ordering::Relaxed) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }),
    );
    let ended = front.end.run_until_cancelled(heard).await.flatten().flatten();
    let is_open = asked.what_is_open.load(Ordering::Relaxed);
    if is_open && ended.is_none() {
        let _ = within(ANSWER, poll_fn(|cx| connection.poll_without_shutdown(cx))).await;
    }
    let transport = connection.into_parts().io.into_inner();
    drop(place);
    // What is no request has been answered as such.
    let is_answered = is_open || ended.is_some_and(|ended| ended.is_err_and(|error| error.is_parse()));
    if !is_answered {
        return Some(transport);
    }
    transport.close();
    within(LINGER, drop_input(&transport)).await;
    None
}

/// What has been asked for.
#[derive(Default)]
struct Asked {
    at_all: AtomicBool,
    what_is_open: AtomicBool,
}

/// Answers the first request, if it is one that is answered to anybody.
struct Once {
    visited: Visited,
    asked: Arc<Asked>,
}

impl Service<Request<Incoming>> for Once {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = <Visited as Service<Request<Incoming>>>::Future;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        self.asked.at_all.store(true, Ordering::Relaxed);
        if !is_open(&request) {
            // Whoever polls the connection looks at this directly afterwards, and does not poll it again.
            return Box::pin(pending());
        }
        self.asked.what_is_open.store(true, Ordering::Relaxed);
        self.visited.call(request)
    }
}
