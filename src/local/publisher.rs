//! The publishing side: content becomes frames, and receipts find the calls that wait for them.

use std::collections::HashMap;
use std::io::{self, IoSlice};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;

use crate::broker::actor::{Claim, Command};
use crate::broker::connection::ConnectionContext;
use crate::broker::core::Input;
use crate::broker::outbox::{Outbox, Sink};
use crate::job::content::{NonFinite, encode_line};
use crate::wire::ids::{ConnectionId, EmptyName, StreamName};
use crate::wire::json_lines::ENCODER;
use crate::wire::subscriber::{Reason, Receipt, Reply, read};
use crate::wire::{Encode, ErrorCode, Event, Frame, Mistake, ReceiptId, Verb, refusal};

use super::error::LocalError;
use super::keeper;

/// Publishes for all handles of one broker.
pub(super) struct Publisher {
    way: Arc<Way>,
    non_finite: NonFinite,
}

/// The way to the broker and back, made with the first action.
struct Way {
    context: Arc<ConnectionContext>,
    /// The broker's own runtime: the first call may come from one that ends sooner.
    runtime: Handle,
    id: Mutex<Option<ConnectionId>>,
    outbox: Arc<Outbox<Calls>>,
    latest: AtomicU64,
    /// No full listener holds this publisher back any more.
    released: Arc<Notify>,
    /// The broker has stopped: the id may belong to another connection.
    ended: CancellationToken,
}

/// The calls that wait for receipts.
#[derive(Default)]
struct Calls(Mutex<HashMap<u64, oneshot::Sender<Result<Receipt, LocalError>>>>);

impl Publisher {
    pub(super) fn start(context: &Arc<ConnectionContext>, runtime: &Handle) -> Arc<Self> {
        let way = Arc::new(Way::new(Arc::clone(context), runtime.clone()));
        Arc::new(Self { way, non_finite: NonFinite::default() })
    }

    /// The connection whose order has a place for all that goes through this publisher and for those who listen.
    pub(super) fn order(&self) -> Result<ConnectionId, LocalError> {
        if self.way.ended.is_cancelled() {
            return Err(LocalError::Ended);
        }
        self.way.id()
    }

    /// A way of its own, with the same rule for numbers.
    pub(super) fn independent_publisher(&self) -> Arc<Self> {
        let way = Arc::new(Way::new(Arc::clone(&self.way.context), self.way.runtime.clone()));
        Arc::new(Self { way, non_finite: self.non_finite })
    }

    /// The same way, with another rule for numbers.
    pub(super) fn with(&self, non_finite: NonFinite) -> Arc<Self> {
        Arc::new(Self { way: Arc::clone(&self.way), non_finite })
    }

    /// The name of a stream that may be written to.
    pub(super) fn name(&self, verb: Verb, stream: &str) -> Result<StreamName, LocalError> {
        let name = StreamName::new(stream).map_err(empty_name)?;
        let most = self.way.context.reader.decode.name;
        if stream.len() > most {
            return Err(refused(Mistake::new(ErrorCode::BadStream, refusal::long_name(stream.as_bytes(), most))));
        }
        if verb.rule().writes && name.is_reserved() {
            return Err(refused(refusal::reserved(verb, stream)));
        }
        Ok(name)
    }

    /// A message, as its listeners get it.
    pub(super) fn message<M: Serialize + ?Sized>(&self, stream: &str, message: &M) -> Result<(StreamName, Frame), LocalError> {
        let name = self.name(Verb::Put, stream)?;
        let content = self.content(message)?;
        let bytes = self.within_line(bytes_of(&Event::Put { stream: &name, message: &content }))?;
        Ok((name, Frame::new(bytes, 1, &ENCODER)))
    }

    /// A header, as those who join get it.
    pub(super) fn header<H: Serialize + ?Sized>(&self, stream: &StreamName, header: &H) -> Result<Frame, LocalError> {
        let content = self.content(header)?;
        let (length, most) = (content.len(), self.way.context.reader.header);
        if length > most {
            return Err(refused(refusal::long_header(length, most)));
        }
        Ok(Frame::lasting(bytes_of(&Event::Put { stream, message: &content }), &ENCODER))
    }

    /// The end of a stream, as its listeners get it.
    pub(super) fn last<M: Serialize + ?Sized>(
        &self,
        verb: Verb,
        stream: &str,
        message: Option<&M>,
    ) -> Result<(StreamName, Frame), LocalError> {
        let name = self.name(verb, stream)?;
        let content = message.map(|message| self.content(message)).transpose()?;
        let bytes = self.within_line(bytes_of(&Event::Close { stream: &name, message: content.as_deref() }))?;
        let (length, most) = (content.map_or(0, |content| content.len()), self.way.context.reader.header);
        if length > most {
            return Err(refused(refusal::long_last_message(length, most)));
        }
        Ok((name, Frame::lasting(bytes, &ENCODER)))
    }

    /// Sends an action that has no answer, once no full listener holds this publisher back. Dropped before it is done, it
    /// has sent nothing.
    pub(super) async fn tell(&self, input: Input) -> Result<(), LocalError> {
        self.way.send(input, Way::is_free).await
    }

    /// Sends an action, as [`tell`](Self::tell), and waits until it has taken effect.
    pub(super) async fn ask(&self, input: impl FnOnce(Option<ReceiptId>) -> Input) -> Result<Receipt, LocalError> {
        self.way.ask(input, Way::is_free).await
    }

    /// The same for an action that gives no listener anything: it need not wait for those that are full.
    pub(super) async fn ask_at_once(&self, input: impl FnOnce(Option<ReceiptId>) -> Input) -> Result<Receipt, LocalError> {
        self.way.ask(input, |_| true).await
    }

    /// Ends this publisher in order, behind all that it has sent.
    pub(super) async fn leave(&self) -> Result<(), LocalError> {
        self.ask_at_once(|receipt| Input::Leave { orderly: true, last: None, receipt }).await?;
        // Behind this nothing is sent.
        self.way.ended.cancelled().await;
        Ok(())
    }

    /// Refuses what would be too long for a client's line: listeners are not prepared for longer ones.
    fn within_line(&self, bytes: Box<[u8]>) -> Result<Box<[u8]>, LocalError> {
        // Without its line end, as there.
        let (length, most) = (bytes.len().saturating_sub(1), self.way.context.reader.decode.line);
        if length > most {
            return Err(refused(refusal::long_line(most)));
        }
        Ok(bytes)
    }

    fn content<M: Serialize + ?Sized>(&self, message: &M) -> Result<Vec<u8>, LocalError> {
        let mut content = Vec::with_capacity(128);
        encode_line(message, self.non_finite, &mut content)?;
        Ok(content)
    }
}

fn bytes_of(event: &Event<'_>) -> Box<[u8]> {
    let mut bytes = Vec::with_capacity(128);
    ENCODER.encode(event, &mut bytes);
    bytes.into_boxed_slice()
}

impl Way {
    fn new(context: Arc<ConnectionContext>, runtime: Handle) -> Self {
        let outbox = Arc::new(Outbox::new(Calls::default(), Arc::clone(&context.outbox)));
        let (latest, released, ended) = (AtomicU64::new(0), Arc::default(), CancellationToken::new());
        Self { context, runtime, id: Mutex::default(), outbox, latest, released, ended }
    }

    /// Sends once it may.
    async fn send(&self, input: Input, may: fn(&Self) -> bool) -> Result<(), LocalError> {
        let from = self.id()?;
        loop {
            // Created before the check, so that a release in between is not missed.
            let mut released = pin!(self.released.notified());
            released.as_mut().enable();
            if self.ended.is_cancelled() {
                return Err(LocalError::Ended);
            }
            if may(self) && self.outbox.begin_batch(keeper::BATCHES) {
                let sent = self.context.mailbox.send(Command::Batch { from, inputs: vec![input], order: from, claim: Claim::default() });
                return if sent { Ok(()) } else { Err(LocalError::Ended) };
            }
            tokio::select! {
                () = released => {}
                () = self.ended.cancelled() => {}
            }
        }
    }

    /// Sends once it may, and waits for the answer.
    async fn ask(&self, input: impl FnOnce(Option<ReceiptId>) -> Input, may: fn(&Self) -> bool) -> Result<Receipt, LocalError> {
        let receipt = self.latest.fetch_add(1, Ordering::Relaxed);
        let (answer, answered) = oneshot::channel();
        self.outbox.sink().lock().insert(receipt, answer);
        let _forgotten = Forget { calls: self.outbox.sink(), receipt };
        self.send(input(Some(ReceiptId::new(&receipt.to_string()))), may).await?;
        answered.await.unwrap_or(Err(LocalError::Ended))
    }

    /// Whether no full listener holds this publisher back.
    fn is_free(&self) -> bool {
        !self.outbox.is_held()
    }

    fn id(&self) -> Result<ConnectionId, LocalError> {
        let mut id = self.id.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(id) = *id {
            return Ok(id);
        }
        let new = self.context.ids.take();
        if !self.context.mailbox.send(keeper::connected(new, &self.outbox)) {
            return Err(LocalError::Ended);
        }
        let guard = EndGuard { outbox: Arc::clone(&self.outbox), ended: self.ended.clone() };
        self.runtime.spawn(keep(Arc::clone(&self.context), new, guard, Arc::clone(&self.released)));
        Ok(*id.insert(new))
    }
}

/// The last handle is gone: so is the publisher.
impl Drop for Way {
    fn drop(&mut self) {
        self.outbox.kill();
    }
}

/// Forgets a call that was dropped while it waited.
struct Forget<'a> {
    calls: &'a Calls,
    receipt: u64,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.calls.lock().remove(&self.receipt);
    }
}

/// What the publisher's task owns. When it is dropped, at the task's end or with its runtime, all waiting calls end too.
struct EndGuard {
    outbox: Arc<Outbox<Calls>>,
    ended: CancellationToken,
}

impl Drop for EndGuard {
    fn drop(&mut self) {
        self.ended.cancel();
        // No more answers will come for the calls that still wait.
        let waiting = std::mem::take(&mut *self.outbox.sink().lock());
        drop(waiting);
        self.outbox.kill();
    }
}

async fn keep(context: Arc<ConnectionContext>, id: ConnectionId, guard: EndGuard, released: Arc<Notify>) {
    keeper::keep(&context, id, &guard.outbox, Some(&released), |_| {}).await;
    drop(guard);
    context.mailbox.send(Command::Gone(id));
}

/// A stream without a name.
pub(super) fn empty_name(error: EmptyName) -> LocalError {
    refused(Mistake::new(ErrorCode::BadStream, error.to_string()))
}

fn refused(Mistake { code, reason, .. }: Mistake) -> LocalError {
    LocalError::Refused(Reason { code: code.as_str().to_owned(), reason })
}

impl Calls {
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, oneshot::Sender<Result<Receipt, LocalError>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, receipt: u64, answer: Result<Receipt, LocalError>) {
        if let Some(waits) = self.lock().remove(&receipt) {
            // The caller may have stopped waiting.
            let _ = waits.send(answer);
        }
    }
}

impl Sink for Calls {
    fn waits_itself(&self) -> bool {
        true
    }

    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut written = 0;
        for slice in slices {
            for line in slice.split_inclusive(|byte| *byte == b'\n') {
                written += line.len();
                match read(line) {
                    Ok(Reply::Receipt { receipt, answer }) => self.answer(receipt, Ok(answer.receipt())),
                    Ok(Reply::Error { reason, receipt: Some(receipt), .. }) => self.answer(receipt, Err(reason.into())),
                    // It listens to nothing, and is told the end by the outbox.
                    Ok(_) | Err(_) => {}
                }
            }
        }
        Ok(written)
    }

    fn peer(&self) -> String {
        "in this process".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Waker};

    use crate::local::MessageStream;

    /// A job that gives up waiting again and again takes no memory by it.
    #[tokio::test]
    async fn whoever_asked_and_was_dropped_is_forgotten() {
        let broker = MessageStream::new();
        broker.flush().await.unwrap();
        for _ in 0..100 {
            // Soon as many are on their way as may be, so that some of these are never sent.
            assert!(pin!(broker.close("job")).poll(&mut Context::from_waker(Waker::noop())).is_pending());
        }
        assert_eq!(broker.publisher.way.outbox.sink().lock().len(), 0);
        broker.flush().await.unwrap();
    }
}
