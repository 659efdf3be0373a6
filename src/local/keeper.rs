//! Does for a local outbox what a connection's task does for a connection: ends it, and answers when the broker drains.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::warn;

use crate::broker::actor::{Claim, Command};
use crate::broker::connection::{ConnectionContext, Holding};
use crate::broker::core::Input;
use crate::broker::outbox::{Outbox, Sink, Written};
use crate::wire::ids::{ConnectionId, StreamName};
use crate::wire::{ReceiptId, Start};

use super::error::LocalError;
use super::listener::Listener;
use super::listening::Listening;
use super::pipe::Pipe;
use super::reading::Reading;
use super::sink::{LISTEN, ListenerSink, ListenerState};

/// Begins to listen. If it is dropped before it is done, nothing has begun.
pub(super) fn listen(
    context: &Arc<ConnectionContext>,
    runtime: &Handle,
    order: ConnectionId,
    stream: StreamName,
    start: Start,
    listener: Box<dyn Listener>,
) -> Result<Listening, LocalError> {
    let (wanted, ended, place) = (CancellationToken::new(), CancellationToken::new(), Arc::default());
    let outbox = Arc::new(Outbox::new(ListenerSink::new(listener, start, Arc::clone(&place)), Arc::clone(&context.outbox)));
    let listening = Listening { wanted: wanted.clone(), ended: ended.clone(), place };
    let start = (start != Start::default()).then(|| Box::new(start));
    let listen = Input::Listen { stream, start, receipt: Some(ReceiptId::new(&LISTEN.to_string())) };
    let id = begin(context, order, &outbox, listen)?;
    runtime.spawn(keep_listener(Arc::clone(context), id, outbox, wanted, ended.drop_guard()));
    Ok(listening)
}

/// Begins to listen for a program that asks for its events.
pub(super) fn read(
    context: &Arc<ConnectionContext>,
    runtime: &Handle,
    order: ConnectionId,
    listen: impl FnOnce(Option<ReceiptId>) -> Input,
) -> Result<Reading, LocalError> {
    let outbox = Arc::new(Outbox::new(Pipe::default(), Arc::clone(&context.outbox)));
    let id = begin(context, order, &outbox, listen(Some(ReceiptId::new(&LISTEN.to_string()))))?;
    runtime.spawn(keep_reader(Arc::clone(context), id, PipeGuard(Arc::clone(&outbox))));
    Ok(Reading::new(Arc::clone(context), id, outbox))
}

/// Makes a listener known to the actor, and has it listen in its place in another's order.
fn begin<S: Sink + 'static>(
    context: &ConnectionContext,
    order: ConnectionId,
    outbox: &Arc<Outbox<S>>,
    listen: Input,
) -> Result<ConnectionId, LocalError> {
    let id = context.ids.take();
    outbox.begin_batch(u32::MAX);
    let begin = Command::Batch { from: id, inputs: vec![listen], order, claim: Claim::default() };
    if !context.mailbox.send(connected(id, outbox)) || !context.mailbox.send(begin) {
        return Err(LocalError::Ended);
    }
    Ok(id)
}

/// How many actions of one publisher may be on their way to the actor.
pub(super) const BATCHES: u32 = 16;

/// Makes an outbox known to the actor.
pub(super) fn connected<S: Sink + 'static>(id: ConnectionId, outbox: &Arc<Outbox<S>>) -> Command {
    Command::Connected(id, Arc::clone(outbox) as Arc<Outbox<dyn Sink>>)
}

/// `ended` is told when this ends, also if it is dropped with its runtime.
async fn keep_listener(
    context: Arc<ConnectionContext>,
    id: ConnectionId,
    outbox: Arc<Outbox<ListenerSink>>,
    wanted: CancellationToken,
    ended: DropGuard,
) {
    tokio::select! {
        biased;
        () = wanted.cancelled() => outbox.kill(),
        () = keep(&context, id, &outbox, None, |_| {}) => {}
    }
    match outbox.sink().state() {
        ListenerState::Full => {
            warn!(connection = id.0, reason = "channel_full", "local listener cut off");
            context.stats.cut_limit.add(1);
            outbox.sink().cut("the channel of this listener was full; receive faster, or give it more room");
        }
        ListenerState::Open if !wanted.is_cancelled() => outbox.sink().lose(),
        ListenerState::Open | ListenerState::Done => {}
    }
    listened(&context, &outbox).await;
    context.mailbox.send(Command::Gone(id));
    drop(ended);
}

/// Ends a pipe, also if its task is dropped with its runtime.
struct PipeGuard(Arc<Outbox<Pipe>>);

impl Drop for PipeGuard {
    fn drop(&mut self) {
        self.0.kill();
        self.0.sink().end();
    }
}

async fn keep_reader(context: Arc<ConnectionContext>, id: ConnectionId, guard: PipeGuard) {
    let outbox = Arc::clone(&guard.0);
    // When no more comes, all that is left is there to be read, however long the program takes for it.
    keep(&context, id, &outbox, None, Pipe::take_all).await;
    drop(guard);
    while !outbox.wind_up() {
        tokio::task::yield_now().await;
    }
    // If there are streams that it has yet to join, they wait for nothing any more.
    context.mailbox.send(Command::Cut(id));
    listened(&context, &outbox).await;
    context.mailbox.send(Command::Gone(id));
}

/// Waits until the actor has applied the listen, which has its place in another connection's order: the id may not be given to
/// another before.
async fn listened<S: Sink>(context: &ConnectionContext, outbox: &Outbox<S>) {
    let applied = poll_fn(|cx| match outbox.standing(cx).unapplied > 0 && outbox.awaits_applied(1) {
        true => Poll::Pending,
        false => Poll::Ready(()),
    });
    tokio::select! {
        () = applied => {}
        () = context.mailbox.closed() => {}
    }
}

/// Waits until a local outbox has ended: everything was taken and no more will come, or nobody takes it. Meanwhile tells
/// those who publish by it when they are held back no longer. `at_end` is told when no more will come.
pub(super) async fn keep<S: Sink>(
    context: &ConnectionContext,
    id: ConnectionId,
    outbox: &Outbox<S>,
    released: Option<&Notify>,
    at_end: fn(&S),
) {
    let mut holding = Holding::default();
    loop {
        let quiesce = poll_fn(|cx| {
            let standing = outbox.standing(cx);
            if standing.doomed && outbox.drop_some() {
                cx.waker().wake_by_ref();
            }
            // Asked again under the outbox's lock, so that one who waited for another reason is not forgotten.
            let may_send = || !standing.held && (standing.unapplied < BATCHES || !outbox.awaits_applied(BATCHES));
            if let Some(released) = released.filter(|_| may_send()) {
                released.notify_waiters();
            }
            if standing.has_room {
                context.mailbox.send(Command::Room(id));
            }
            if holding.is_over(standing.holding_since, context.times.throttle, cx) {
                context.cut_holding(id, outbox);
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if standing.finishing {
                at_end(outbox.sink());
            }
            if standing.blocked && !standing.dead && outbox.sink().is_ready() {
                // After a long turn, or a cut, the rest is taken at once.
                match outbox.write_some() {
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
            () = context.mailbox.closed() => false,
        };
        if !goes_on {
            return;
        }
        outbox.quiesced();
        context.mailbox.send(Command::Quiesced(id));
    }
}
