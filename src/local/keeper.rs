//! What a connection's task is for a connection: ends what has ended, and answers when the broker drains.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::actor::Command;
use crate::broker::Input;
use crate::connection::Shared;
use crate::ids::{ConnectionId, StreamName};
use crate::outbox::{Outbox, Sink, Written};
use crate::protocol::Receipt;

use super::listener::Listener;
use super::sink::{LISTEN, ListenerSink, Standing};
use super::{Listening, LocalError};

/// Begins to listen.
pub(super) async fn listen(shared: &Arc<Shared>, stream: StreamName, listener: Box<dyn Listener>) -> Result<Listening, LocalError> {
    let outbox = Arc::new(Outbox::new(ListenerSink::new(listener), Arc::clone(&shared.outbox)));
    let id = begin(shared, &outbox).await?;
    let listening = Listening { wanted: CancellationToken::new(), ended: CancellationToken::new() };
    tokio::spawn(keep_listener(Arc::clone(shared), id, outbox, listening.clone()));
    let listen = Input::Listen { stream, receipt: Some(Receipt(LISTEN.to_string().into())) };
    let told = shared.mailbox.send(Command::Batch { from: id, inputs: vec![listen] }).await;
    if told { Ok(listening) } else { Err(LocalError::Ended) }
}

/// Makes an outbox known to the actor.
pub(super) async fn begin<S: Sink + 'static>(shared: &Shared, outbox: &Arc<Outbox<S>>) -> Result<ConnectionId, LocalError> {
    let id = shared.ids.take();
    let sink: Arc<Outbox<dyn Sink>> = Arc::clone(outbox) as Arc<Outbox<dyn Sink>>;
    if shared.mailbox.send(Command::Connected(id, sink)).await { Ok(id) } else { Err(LocalError::Ended) }
}

async fn keep_listener(shared: Arc<Shared>, id: ConnectionId, outbox: Arc<Outbox<ListenerSink>>, listening: Listening) {
    tokio::select! {
        biased;
        () = listening.wanted.cancelled() => outbox.kill(),
        () = keep(&shared, id, &outbox) => {}
    }
    match outbox.sink().standing() {
        Standing::Full => {
            warn!(connection = id.0, reason = "channel_full", "local listener cut off");
            shared.stats.cut_limit.add(1);
            outbox.sink().cut("the channel of this listener was full; receive faster, or give it more room");
        }
        Standing::Open if !listening.wanted.is_cancelled() => outbox.sink().lose(),
        Standing::Open | Standing::Done => {}
    }
    shared.mailbox.send(Command::Gone(id)).await;
    listening.ended.cancel();
}

/// Waits until a local outbox has ended: everything was taken and no more will come, or nobody takes it.
pub(super) async fn keep<S: Sink>(shared: &Shared, id: ConnectionId, outbox: &Outbox<S>) {
    loop {
        let quiesce = poll_fn(|cx| {
            let standing = outbox.standing(cx);
            if standing.blocked && !standing.dead {
                // Nothing here blocks: after a long turn, or a cut, the rest is taken at once.
                match outbox.write_turn() {
                    Written::Gone => return Poll::Ready(false),
                    Written::All | Written::More | Written::Blocked { .. } => cx.waker().wake_by_ref(),
                }
                return Poll::Pending;
            }
            if standing.dead || (standing.finishing && standing.empty) {
                return Poll::Ready(false);
            }
            if standing.quiesce { Poll::Ready(true) } else { Poll::Pending }
        });
        let goes_on = tokio::select! {
            quiesce = quiesce => quiesce,
            () = shared.mailbox.closed() => false,
        };
        if !goes_on {
            return;
        }
        outbox.quiesced();
        shared.mailbox.send(Command::Quiesced(id)).await;
    }
}
