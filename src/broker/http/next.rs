//! What a connection goes on as after its last answer by HTTP: a WebSocket, or the events of a stream.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use crate::broker::access::Place;
use crate::broker::connection::{ConnectionContext, Transport, serve_placed};
use crate::wire::ids::StreamName;
use crate::wire::json_lines::JsonLines;

use super::events::Events;
use super::framed::{Framed, Framing};
use super::websocket::TextMessages;

/// How often those who only listen are shown that the connection is alive: proxies end one that is silent for a minute.
const BEAT: Duration = Duration::from_secs(20);

/// What a connection is after its last answer.
pub(super) enum Next {
    /// A WebSocket.
    WebSocket,
    /// Events of a stream; the lines that its client would say first.
    Events {
        /// The stream.
        stream: StreamName,
        /// By HTTP/1.1.
        chunked: bool,
        /// What is said, with the ends of the lines.
        first: String,
    },
}

/// A connection after its last answer.
pub(super) fn go_on<T: Transport>(
    next: Next,
    transport: T,
    early: Vec<u8>,
    context: Arc<ConnectionContext>,
    place: Option<Place>,
) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    match next {
        Next::WebSocket => Box::pin(serve_framed(Framed::new(transport, TextMessages::default(), Vec::new(), early), context, place)),
        Next::Events { stream, chunked, first } => {
            Box::pin(serve_framed(Framed::new(transport, Events::new(&stream, chunked), first.into_bytes(), early), context, place))
        }
    }
}

async fn serve_framed<T: Transport, F: Framing>(framed: Framed<T, F>, context: Arc<ConnectionContext>, place: Option<Place>) {
    let framed = Arc::new(framed);
    let beaten = Arc::downgrade(&framed);
    let beats = async {
        let mut ticks = interval(BEAT);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first is at once.
        ticks.tick().await;
        loop {
            ticks.tick().await;
            if beaten.upgrade().is_none_or(|framed| !framed.beat()) {
                return std::future::pending::<()>().await;
            }
        }
    };
    tokio::select! {
        () = serve_placed(framed, JsonLines::default(), context, place) => {}
        () = beats => {}
    }
}
