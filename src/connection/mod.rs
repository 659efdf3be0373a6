//! The life of one connection: it reads and decodes, hands what it decoded to the actor, and writes what the actor could
//! not write at once. Generic over the transport and the codec.
//!
//! One task each, and while idle a small one: the future is written by hand, without room for what happens rarely, which
//! is boxed when it does.

mod batch;
mod reader;
mod tcp;
mod timers;
mod transport;

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tracing::{debug, error, warn};

use crate::actor::{Command, Ids, Mailbox, Stats};
use crate::ids::ConnectionId;
use crate::outbox::{Outbox, OutboxLimits, Sink, Standing, Written};
use crate::protocol::{Codec, Encode};
use crate::units::Span;

use reader::{Outcome, Reader, Turn};
use timers::{Timer, Timers};

pub use reader::ReaderLimits;
pub(crate) use tcp::{TcpTransport, register};
pub use transport::Transport;

/// What the last bytes of a peer that was told of the end may take to come: they are read and dropped, since closing a
/// socket with unread bytes could destroy what was sent.
const LINGER: Duration = Duration::from_secs(1);

/// While the broker drains, a connection takes in what it has received: more than so much was sent after it was told to stop.
const LAST_READS: u8 = 128;

/// What all connections of a broker share that speak one encoding.
///
/// ```
/// use msgstream::connection::Shared;
/// use msgstream::protocol::message_pack;
/// use msgstream::server::{Settings, assemble};
///
/// let (_actor, shared) = assemble(&Settings::default());
/// assert_eq!(shared.outbox.encoder.name(), "JSON lines");
/// // Another encoding, the same broker.
/// let packed = Shared::speaking(&shared, &message_pack::ENCODER);
/// assert_eq!(packed.outbox.encoder.name(), "MessagePack");
/// assert_eq!(packed.outbox.limit, shared.outbox.limit);
/// ```
#[derive(Clone)]
pub struct Shared {
    /// Reaches the actor.
    pub mailbox: Mailbox,
    /// What readers are held to.
    pub reader: ReaderLimits,
    /// What outboxes are held to.
    pub outbox: Arc<OutboxLimits>,
    /// How long things may take.
    pub times: Times,
    /// Connection ids.
    pub ids: Arc<Ids>,
    /// What is counted.
    pub stats: Arc<Stats>,
}

impl Shared {
    /// The same for connections that speak another encoding. They meet the others in the same streams, within the same limits.
    pub fn speaking(&self, encoder: &'static dyn Encode) -> Arc<Self> {
        Arc::new(Self { outbox: Arc::new(OutboxLimits { encoder, ..(*self.outbox).clone() }), ..self.clone() })
    }
}

/// How long things may take.
///
/// ```
/// # use msgstream::server::{Settings, assemble};
/// # use std::time::Duration;
/// // They follow from the settings.
/// let (_actor, shared) = assemble(&Settings::default());
/// assert_eq!(shared.times.drain, Duration::from_secs(5));
/// ```
#[derive(Debug, Clone)]
pub struct Times {
    /// From the first byte to the end of the first unit.
    pub first_line: Duration,
    /// Without any progress while something waits.
    pub write: Duration,
    /// Holding publishers back.
    pub throttle: Duration,
    /// Sending what is queued when the connection ends.
    pub drain: Duration,
}

/// Serves one connection until it ends; to be spawned as a task.
///
/// A panic in here ends this connection and no other.
///
/// ```
/// use msgstream::connection::serve;
/// use msgstream::protocol::message_pack::{self, MessagePack};
/// use msgstream::server::{Settings, assemble};
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
/// use tokio::net::UnixStream;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (actor, shared) = assemble(&Settings::default());
/// tokio::spawn(actor.run());
/// let (mut client, server) = UnixStream::pair()?;
/// tokio::spawn(serve(server, MessagePack::default(), shared.speaking(&message_pack::ENCODER)));
///
/// client.write_all(b"\x00\x00\x00\x0d\x81\xa6action\xa4ping").await?;
/// let mut answer = [0; 17];
/// client.read_exact(&mut answer).await?;
/// assert_eq!(&answer, b"\x00\x00\x00\x0d\x81\xa6action\xa4pong");
/// # Ok(()) }
/// ```
pub fn serve<T: Transport, C: Codec>(transport: T, codec: C, shared: Arc<Shared>) -> impl Future<Output = ()> + Send + 'static {
    debug_assert!(std::ptr::addr_eq(codec.encoder(), shared.outbox.encoder), "it would be answered in another encoding");
    Connection {
        id: shared.ids.take(),
        outbox: Arc::new(Outbox::new(transport, Arc::clone(&shared.outbox))),
        reader: Reader::new(codec),
        shared,
        timers: Timers::default(),
        busy: None,
        phase: Phase::Start,
        last_reads: LAST_READS,
    }
}

/// The task of one connection.
struct Connection<T: Transport, C: Codec> {
    id: ConnectionId,
    outbox: Arc<Outbox<T>>,
    reader: Reader<C>,
    shared: Arc<Shared>,
    timers: Timers,
    /// What must be over before anything else: room in the mailbox, the peer's end. True if the broker is still there.
    busy: Option<Pin<Box<dyn Future<Output = bool> + Send>>>,
    phase: Phase,
    /// Reads that are left when the broker drains.
    last_reads: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The actor does not know it yet.
    Start,
    /// It reads and writes.
    Open,
    /// It reads no more, and still writes.
    Deaf,
    /// All is sent; it waits for the peer's end.
    Lingering,
    /// The actor is to be told that it is gone.
    Ending,
    /// The actor has been told.
    Gone,
}

/// What a connection is woken for.
enum Wake {
    /// Bytes have come, or the end of them.
    Readable,
    /// It is to take in what has been received.
    Quiesce,
    /// The first unit took too long.
    TooSlow,
    /// It has been cut off by its own clock.
    Cut,
    /// All is sent.
    Sent,
    /// The peer is gone, or its time is up.
    Dead,
}

impl<T: Transport, C: Codec> Future for Connection<T, C> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        match catch_unwind(AssertUnwindSafe(|| this.poll_life(cx))) {
            Ok(poll) => poll,
            Err(_) => {
                error!(connection = this.id.0, "a connection ended by a panic; the broker goes on");
                this.shared.stats.panics.add(1);
                this.busy = None;
                this.phase = Phase::Ending;
                this.poll_life(cx)
            }
        }
    }
}

impl<T: Transport, C: Codec> Connection<T, C> {
    /// Goes from phase to phase until there is something to wait for.
    fn poll_life(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if let Some(busy) = &mut self.busy {
                let broker_is_there = std::task::ready!(busy.as_mut().poll(cx));
                self.busy = None;
                if !broker_is_there {
                    self.outbox.kill();
                    return Poll::Ready(());
                }
            }
            match self.phase {
                Phase::Start => {
                    debug!(connection = self.id.0, peer = self.outbox.peer(), "connected");
                    self.phase = Phase::Open;
                    let outbox: Arc<Outbox<dyn Sink>> = Arc::clone(&self.outbox) as Arc<Outbox<dyn Sink>>;
                    self.tell(Command::Connected(self.id, outbox));
                }
                Phase::Open | Phase::Deaf => {
                    let wake = std::task::ready!(self.poll_wake(cx));
                    if self.answer(wake) {
                        // Others get their turn before this connection reads again.
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                }
                // What it waited for is over.
                Phase::Lingering => self.phase = Phase::Ending,
                Phase::Ending => {
                    debug!(connection = self.id.0, "disconnected");
                    self.phase = Phase::Gone;
                    self.reader.drop_carry(&self.shared.reader);
                    self.outbox.kill();
                    self.tell(Command::Gone(self.id));
                }
                Phase::Gone => return Poll::Ready(()),
            }
        }
    }

    /// Does what it was woken for. True if others are to have a turn now.
    fn answer(&mut self, wake: Wake) -> bool {
        match wake {
            // A read that did not fill its room has emptied the socket.
            Wake::Readable => return self.read() == Outcome::More { full: true },
            Wake::Quiesce => return self.last_read(),
            Wake::TooSlow => {
                let reason = format!("the first line took longer than {} (limits.first_line_time)", Span(self.shared.times.first_line));
                let turn = self.reader.too_slow(&reason, &self.shared.reader);
                self.phase = Phase::Deaf;
                self.forward(turn);
            }
            Wake::Cut => {
                self.phase = Phase::Deaf;
                self.tell(Command::Cut(self.id));
            }
            Wake::Sent => {
                self.phase = Phase::Lingering;
                self.busy = Some(linger(Arc::clone(&self.outbox)));
            }
            Wake::Dead => self.phase = Phase::Ending,
        }
        false
    }

    /// Reads once.
    fn read(&mut self) -> Outcome {
        let turn = self.reader.turn(self.outbox.sink(), &self.shared.reader);
        let outcome = turn.outcome;
        self.forward(turn);
        match outcome {
            Outcome::More { .. } | Outcome::Nothing => {}
            Outcome::Left => self.phase = Phase::Deaf,
            Outcome::Gone => self.phase = Phase::Ending,
        }
        outcome
    }

    /// Takes in what has been received before the broker stops, and tells when that is done.
    fn last_read(&mut self) -> bool {
        if self.phase == Phase::Open && self.last_reads > 0 {
            self.last_reads -= 1;
            if let Outcome::More { .. } = self.read() {
                return true;
            }
        }
        if self.phase == Phase::Open {
            self.phase = Phase::Deaf;
        }
        self.outbox.quiesced();
        self.tell(Command::Quiesced(self.id));
        true
    }

    /// What there is to do; writes what waits on the way.
    fn poll_wake(&mut self, cx: &mut Context<'_>) -> Poll<Wake> {
        let mut standing = self.outbox.standing(cx);
        while standing.blocked && !standing.dead {
            match self.outbox.sink().poll_writable(cx) {
                Poll::Pending => break,
                Poll::Ready(Err(_)) => return Poll::Ready(Wake::Dead),
                Poll::Ready(Ok(())) => {}
            }
            match self.outbox.write_turn() {
                Written::All => {}
                Written::More => {
                    // The rest after the others' turn.
                    self.timers.clear(Timer::Write);
                    cx.waker().wake_by_ref();
                    break;
                }
                Written::Blocked { progress } => {
                    if progress {
                        self.timers.clear(Timer::Write);
                    }
                }
                Written::Gone => return Poll::Ready(Wake::Dead),
            }
            standing = self.outbox.standing(cx);
        }
        if standing.dead {
            return Poll::Ready(Wake::Dead);
        }
        if standing.finishing && standing.empty {
            return Poll::Ready(Wake::Sent);
        }
        if standing.quiesce {
            if standing.finishing {
                // It has been told the end already: nothing more is taken from it.
                self.phase = Phase::Deaf;
            }
            return Poll::Ready(Wake::Quiesce);
        }
        if let Some(wake) = self.poll_timers(cx, standing) {
            return Poll::Ready(wake);
        }
        if self.phase == Phase::Open && !standing.finishing && !standing.held {
            match self.outbox.sink().poll_readable(cx) {
                Poll::Ready(Ok(())) => return Poll::Ready(Wake::Readable),
                Poll::Ready(Err(_)) => return Poll::Ready(Wake::Dead),
                Poll::Pending => {}
            }
        }
        Poll::Pending
    }

    /// Sets the clocks that the standing asks for, and tells which has run out.
    fn poll_timers(&mut self, cx: &mut Context<'_>, standing: Standing) -> Option<Wake> {
        let times = &self.shared.times;
        self.timers.keep(Timer::FirstUnit, self.reader.awaits_first_unit(), times.first_line);
        self.timers.keep(Timer::Write, standing.blocked && !standing.finishing, times.write);
        self.timers.keep(Timer::Drain, standing.finishing, times.drain);
        match standing.holding_since {
            Some(since) => self.timers.set(Timer::Throttle, since + times.throttle),
            None => self.timers.clear(Timer::Throttle),
        }
        match self.timers.poll_expired(cx)? {
            Timer::FirstUnit => {
                self.timers.clear(Timer::FirstUnit);
                Some(Wake::TooSlow)
            }
            timer @ Timer::Write => self.cut(timer, &format!("this listener took nothing for {} (outbox.write_time)", Span(times.write))),
            timer @ Timer::Throttle => {
                self.cut(timer, &format!("this listener held its publishers back for {} (outbox.throttle_time)", Span(times.throttle)))
            }
            Timer::Drain => {
                self.outbox.kill();
                Some(Wake::Dead)
            }
        }
    }

    fn cut(&mut self, timer: Timer, reason: &str) -> Option<Wake> {
        self.timers.clear(timer);
        if self.outbox.cut(reason) {
            self.shared.stats.cut_time.add(1);
            warn!(connection = self.id.0, peer = self.outbox.peer(), reason, bytes = self.outbox.bytes(), "listener cut off");
        }
        Some(Wake::Cut)
    }

    /// Hands a turn to the actor.
    fn forward(&mut self, turn: Turn) {
        if turn.mistakes > 0 {
            self.shared.stats.mistakes.add(turn.mistakes);
        }
        if !turn.inputs.is_empty() {
            self.tell(Command::Batch { from: self.id, inputs: turn.inputs });
        }
    }

    /// Tells the actor, at once if there is room; otherwise that is what the connection is busy with.
    fn tell(&mut self, command: Command) {
        debug_assert!(self.busy.is_none(), "the commands of one connection would change places");
        self.busy = self.shared.mailbox.tell(command);
    }
}

/// Says that no more comes, and drops what still arrives until the peer has ended too.
fn linger<T: Transport>(outbox: Arc<Outbox<T>>) -> Pin<Box<dyn Future<Output = bool> + Send>> {
    outbox.sink().close();
    Box::pin(async move {
        // A peer that does not end in time is left to itself.
        let _ = tokio::time::timeout(LINGER, drop_input(outbox.sink())).await;
        true
    })
}

/// Reads and drops whatever arrives, until the peer has ended.
pub(crate) async fn drop_input(transport: &impl Transport) {
    loop {
        match drop_some(transport) {
            Ok(0) => return,
            Ok(_) => tokio::task::yield_now().await,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                if poll_fn(|cx| transport.poll_readable(cx)).await.is_err() {
                    return;
                }
            }
            Err(_) => return,
        }
    }
}

/// A function of its own, so that nobody who waits holds the buffer.
fn drop_some(transport: &impl Transport) -> std::io::Result<usize> {
    transport.try_read(&mut Vec::with_capacity(16 << 10))
}
