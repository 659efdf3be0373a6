//! What serves one connection each: it reads and decodes, hands what it decoded to the actor, and writes what the actor could
//! not write at once. Generic over the transport and the codec.

mod batch;
mod carry;
mod context;
mod decode;
mod guard;
mod life;
mod limits;
mod mistake_log;
mod read;
mod reader;
mod tcp;
mod timers;
#[cfg(feature = "tls")]
pub(crate) mod tls;
mod transport;

use std::future::Future;
use std::sync::Arc;

use crate::broker::access::Place;
use crate::wire::Codec;

use guard::Guard;
use life::Connection;

#[cfg(feature = "http")]
pub(crate) use carry::has_room_for_start;
pub use context::{ConnectionContext, Times};
pub(crate) use life::drop_input;
pub use limits::ReaderLimits;
pub use mistake_log::MistakeLog;
pub(crate) use tcp::{TcpTransport, register};
pub(crate) use timers::{Holding, within};
#[cfg(feature = "tls")]
pub use tls::{Handshakes, Refused, TlsTransport};
pub use transport::Transport;

/// Serves one connection until it ends; to be spawned as a task.
///
/// A panic in here ends this connection and no other.
pub fn serve<T: Transport, C: Codec>(transport: T, codec: C, context: Arc<ConnectionContext>) -> impl Future<Output = ()> + Send + 'static {
    serve_placed(transport, codec, context, None)
}

/// The same for one that has a place among those that have yet to say who they are.
pub fn serve_placed<T: Transport, C: Codec>(
    transport: T,
    codec: C,
    context: Arc<ConnectionContext>,
    place: Option<Place>,
) -> impl Future<Output = ()> + Send + 'static {
    debug_assert!(std::ptr::addr_eq(codec.encoder(), context.outbox.encoder), "it would be answered in another encoding");
    let id = context.ids.take();
    let guard = Guard::of(&transport, id, &context, place);
    Connection::new(id, transport, codec, guard, context)
}
