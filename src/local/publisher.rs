//! The publishing side: content becomes frames, and receipts find whoever waits for them.

use std::collections::HashMap;
use std::io::{self, IoSlice};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use tokio::sync::{OnceCell, oneshot};
use tokio_util::sync::CancellationToken;

use crate::actor::Command;
use crate::broker::Input;
use crate::client::{Reason, Receipt as Told, Reply, read};
use crate::connection::Shared;
use crate::content::{NonFinite, encode_line};
use crate::ids::{ConnectionId, EmptyName, StreamName};
use crate::outbox::{Outbox, Sink};
use crate::protocol::json_lines::ENCODER;
use crate::protocol::{Encode, ErrorCode, Event, Frame, Receipt};
use crate::units::ByteSize;

use super::{LocalError, keeper};

/// Publishes for all handles of one broker.
pub(super) struct Publisher {
    way: Arc<Way>,
    non_finite: NonFinite,
}

/// The way to the broker and back, made with the first action.
struct Way {
    shared: Arc<Shared>,
    id: OnceCell<ConnectionId>,
    outbox: Arc<Outbox<Answers>>,
    latest: AtomicU64,
    /// The broker has stopped: the id may be somebody else's.
    ended: CancellationToken,
}

/// Who waits for which receipt.
#[derive(Default)]
struct Answers(Mutex<HashMap<u64, oneshot::Sender<Result<Told, LocalError>>>>);

impl Publisher {
    pub(super) fn start(shared: &Arc<Shared>) -> Arc<Self> {
        let outbox = Arc::new(Outbox::new(Answers::default(), Arc::clone(&shared.outbox)));
        let way =
            Way { shared: Arc::clone(shared), id: OnceCell::new(), outbox, latest: AtomicU64::new(0), ended: CancellationToken::new() };
        Arc::new(Self { way: Arc::new(way), non_finite: NonFinite::default() })
    }

    /// The same way, with another rule for numbers.
    pub(super) fn with(&self, non_finite: NonFinite) -> Arc<Self> {
        Arc::new(Self { way: Arc::clone(&self.way), non_finite })
    }

    /// The name of a stream that may be written to.
    pub(super) fn name(&self, stream: &str) -> Result<StreamName, LocalError> {
        let name = StreamName::new(stream).map_err(empty_name)?;
        let most = self.way.shared.reader.decode.name;
        if stream.len() > most {
            let reason = format!("the stream's name has {} bytes, more than {most}, the most allowed (limits.name)", stream.len());
            return Err(refused(ErrorCode::BadStream, reason));
        }
        if name.is_reserved() {
            return Err(refused(ErrorCode::Denied, format!("{name:?}: names that begin with $ are the broker's own")));
        }
        Ok(name)
    }

    /// A message, as its listeners get it.
    pub(super) fn message<M: Serialize + ?Sized>(&self, stream: &str, message: &M) -> Result<(StreamName, Frame), LocalError> {
        let name = self.name(stream)?;
        let content = self.content(message)?;
        let frame = Frame::new(bytes_of(&Event::Put { stream: &name, message: &content }), 1, &ENCODER);
        Ok((name, frame))
    }

    /// A header, as those who join get it.
    pub(super) fn header<H: Serialize + ?Sized>(&self, stream: &StreamName, header: &H) -> Result<Frame, LocalError> {
        let content = self.content(header)?;
        let (length, most) = (content.len(), self.way.shared.reader.header);
        if length > most {
            let reason = format!("the header has {length} bytes, more than {}, the most allowed (limits.header)", ByteSize(most));
            return Err(refused(ErrorCode::Limit, reason));
        }
        Ok(Frame::lasting(bytes_of(&Event::Put { stream, message: &content }), &ENCODER))
    }

    /// The end of a stream, as its listeners get it.
    pub(super) fn close<M: Serialize + ?Sized>(&self, stream: &str, message: Option<&M>) -> Result<(StreamName, Frame), LocalError> {
        let name = self.name(stream)?;
        let content = message.map(|message| self.content(message)).transpose()?;
        let frame = Frame::lasting(bytes_of(&Event::Close { stream: &name, message: content.as_deref() }), &ENCODER);
        Ok((name, frame))
    }

    /// Sends an action that nobody answers.
    pub(super) async fn tell(&self, input: Input) -> Result<(), LocalError> {
        let from = self.id().await?;
        if self.way.ended.is_cancelled() {
            return Err(LocalError::Ended);
        }
        let told = self.way.shared.mailbox.send(Command::Batch { from, inputs: vec![input] }).await;
        if told { Ok(()) } else { Err(LocalError::Ended) }
    }

    /// Sends an action and waits until it has taken effect.
    pub(super) async fn ask(&self, input: impl FnOnce(Option<Receipt>) -> Input) -> Result<Told, LocalError> {
        let receipt = self.way.latest.fetch_add(1, Ordering::Relaxed);
        let (answer, answered) = oneshot::channel();
        self.way.outbox.sink().lock().insert(receipt, answer);
        let told = self.tell(input(Some(Receipt(receipt.to_string().into())))).await;
        if let Err(error) = told {
            self.way.outbox.sink().lock().remove(&receipt);
            return Err(error);
        }
        answered.await.unwrap_or(Err(LocalError::Ended))
    }

    async fn id(&self) -> Result<ConnectionId, LocalError> {
        let Way { shared, id, outbox, ended, .. } = &*self.way;
        let begin = async {
            let id = keeper::begin(shared, outbox).await?;
            tokio::spawn(keep(Arc::clone(shared), id, Arc::clone(outbox), ended.clone()));
            Ok(id)
        };
        id.get_or_try_init(|| begin).await.copied()
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

/// The last handle is gone: so is the publisher.
impl Drop for Way {
    fn drop(&mut self) {
        self.outbox.kill();
    }
}

async fn keep(shared: Arc<Shared>, id: ConnectionId, outbox: Arc<Outbox<Answers>>, ended: CancellationToken) {
    keeper::keep(&shared, id, &outbox).await;
    ended.cancel();
    // Nobody will answer those who still wait.
    outbox.sink().lock().clear();
    outbox.kill();
    shared.mailbox.send(Command::Gone(id)).await;
}

/// A stream without a name.
pub(super) fn empty_name(error: EmptyName) -> LocalError {
    refused(ErrorCode::BadStream, error.to_string())
}

fn refused(code: ErrorCode, reason: String) -> LocalError {
    LocalError::Refused(Reason { code: code.as_str().to_owned(), reason })
}

impl Answers {
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, oneshot::Sender<Result<Told, LocalError>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, receipt: u64, answer: Result<Told, LocalError>) {
        if let Some(waits) = self.lock().remove(&receipt) {
            // Whoever does not wait any more needs no answer.
            let _ = waits.send(answer);
        }
    }
}

impl Sink for Answers {
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut written = 0;
        for slice in slices {
            for line in slice.split_inclusive(|byte| *byte == b'\n') {
                written += line.len();
                match read(line) {
                    Ok(Reply::Receipt { receipt, listeners, .. }) => self.answer(receipt, Ok(Told { listeners })),
                    Ok(Reply::Error { reason, receipt: Some(receipt) }) => self.answer(receipt, Err(LocalError::Refused(reason))),
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
