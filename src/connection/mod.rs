//! The life of one connection: it reads and decodes, hands what it decoded to the actor, and writes what the actor could
//! not write at once. Generic over the transport and the codec.
//!
//! One task each. While idle it is small: no buffer, no timer, no future but its own.

mod batch;
mod reader;
mod timers;
mod transport;

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tracing::{debug, error, warn};

use crate::actor::{Command, Ids, Mailbox, Stats};
use crate::ids::ConnectionId;
use crate::outbox::{Outbox, OutboxLimits, Sink, Standing, Written};
use crate::protocol::Codec;
use crate::units::Span;

use reader::{Outcome, Reader, Turn};
use timers::{Timer, Timers};

pub use reader::ReaderLimits;
pub use transport::Transport;

/// What the last bytes of a peer that was told of the end may take to come: they are read and dropped, since closing a
/// socket with unread bytes could destroy what was sent.
const LINGER: Duration = Duration::from_secs(1);

/// While the broker drains, a connection takes in what it has received: more than so much was sent after it was told to stop.
const LAST_READS: usize = 128;

/// What all connections of a broker share.
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

/// How long things may take.
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

/// Serves one connection until it ends.
///
/// A panic in here ends this connection and no other.
pub async fn serve<T: Transport, C: Codec>(transport: T, codec: C, shared: Arc<Shared>) {
    let outbox = Arc::new(Outbox::new(transport, codec.encoder(), Arc::clone(&shared.outbox)));
    let id = shared.ids.take();
    {
        let connection = Connection {
            id,
            outbox: Arc::clone(&outbox),
            reader: Reader::new(codec),
            shared: Arc::clone(&shared),
            timers: Timers::default(),
        };
        let mut life = pin!(connection.run());
        poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| life.as_mut().poll(cx))) {
            Ok(poll) => poll,
            Err(_) => {
                error!(connection = id.0, "a connection ended by a panic; the broker goes on");
                shared.stats.panics.add(1);
                Poll::Ready(())
            }
        })
        .await;
    }
    outbox.kill();
    tell(&shared.mailbox, Command::Gone(id)).await;
}

/// Tells the actor. False if it is gone, and with it the broker.
async fn tell(mailbox: &Mailbox, command: Command) -> bool {
    match mailbox.try_send(command) {
        Ok(()) => true,
        // Boxed: waiting for room is rare, and its state would make every idle connection larger.
        Err(command) => Box::pin(mailbox.send(command)).await,
    }
}

struct Connection<T: Transport, C: Codec> {
    id: ConnectionId,
    outbox: Arc<Outbox<T>>,
    reader: Reader<C>,
    shared: Arc<Shared>,
    timers: Timers,
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

impl<T: Transport, C: Codec> Connection<T, C> {
    async fn run(mut self) {
        let outbox: Arc<Outbox<dyn Sink>> = Arc::clone(&self.outbox) as Arc<Outbox<dyn Sink>>;
        if !tell(&self.shared.mailbox, Command::Connected(self.id, outbox)).await {
            return;
        }
        debug!(connection = self.id.0, peer = self.outbox.peer(), "connected");
        let mut reading = true;
        loop {
            match poll_fn(|cx| self.poll_wake(cx, reading)).await {
                Wake::Readable => {
                    let turn = self.reader.turn(self.outbox.sink(), &self.shared.reader);
                    let outcome = turn.outcome;
                    if !self.forward(turn).await {
                        return;
                    }
                    match outcome {
                        Outcome::More => {}
                        Outcome::Nothing => continue,
                        Outcome::Left => reading = false,
                        Outcome::Gone => break,
                    }
                    // Others get their turn before this connection reads again.
                    tokio::task::yield_now().await;
                }
                Wake::Quiesce => {
                    if reading && !self.last_reads(&mut reading).await {
                        return;
                    }
                    self.outbox.quiesced();
                    if !tell(&self.shared.mailbox, Command::Quiesced(self.id)).await {
                        return;
                    }
                }
                Wake::TooSlow => {
                    let reason = format!("the first line took longer than {} (limits.first_line_time)", Span(self.shared.times.first_line));
                    let turn = self.reader.too_slow(&reason, &self.shared.reader);
                    reading = false;
                    if !self.forward(turn).await {
                        return;
                    }
                }
                Wake::Cut => {
                    reading = false;
                    if !tell(&self.shared.mailbox, Command::Cut(self.id)).await {
                        return;
                    }
                }
                Wake::Sent => {
                    self.linger().await;
                    break;
                }
                Wake::Dead => break,
            }
        }
        self.reader.drop_carry(&self.shared.reader);
        debug!(connection = self.id.0, "disconnected");
    }

    /// What there is to do; writes what waits on the way.
    fn poll_wake(&mut self, cx: &mut Context<'_>, reading: bool) -> Poll<Wake> {
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
            return Poll::Ready(Wake::Quiesce);
        }
        if let Some(wake) = self.poll_timers(cx, standing) {
            return Poll::Ready(wake);
        }
        if reading && !standing.finishing && !standing.held {
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
            Timer::Write => self.cut(&format!("this listener took nothing for {} (outbox.write_time)", Span(times.write))),
            Timer::Throttle => {
                self.cut(&format!("this listener held its publishers back for {} (outbox.throttle_time)", Span(times.throttle)))
            }
            Timer::Drain => {
                self.outbox.kill();
                Some(Wake::Dead)
            }
        }
    }

    fn cut(&self, reason: &str) -> Option<Wake> {
        if self.outbox.cut(reason) {
            self.shared.stats.cut_time.add(1);
            warn!(connection = self.id.0, peer = self.outbox.peer(), reason, bytes = self.outbox.bytes(), "listener cut off");
        }
        Some(Wake::Cut)
    }

    /// Hands a turn to the actor.
    async fn forward(&self, turn: Turn) -> bool {
        if turn.mistakes > 0 {
            self.shared.stats.mistakes.add(turn.mistakes);
        }
        if turn.inputs.is_empty() {
            return true;
        }
        tell(&self.shared.mailbox, Command::Batch { from: self.id, inputs: turn.inputs, bytes: turn.bytes }).await
    }

    /// Takes in what has been received, before the broker stops.
    async fn last_reads(&mut self, reading: &mut bool) -> bool {
        for _ in 0..LAST_READS {
            let turn = self.reader.turn(self.outbox.sink(), &self.shared.reader);
            let outcome = turn.outcome;
            if !self.forward(turn).await {
                return false;
            }
            match outcome {
                Outcome::More => tokio::task::yield_now().await,
                Outcome::Nothing => break,
                Outcome::Left | Outcome::Gone => {
                    *reading = false;
                    break;
                }
            }
        }
        *reading = false;
        true
    }

    /// Says that no more comes, and drops what still arrives until the peer has ended too.
    async fn linger(&self) {
        self.outbox.sink().close();
        // Boxed: it happens once, and idle connections need not have room for it.
        let _ = Box::pin(tokio::time::timeout(LINGER, drop_input(self.outbox.sink()))).await;
    }
}

/// Reads and drops whatever arrives, until the peer has ended.
pub(crate) async fn drop_input(transport: &impl Transport) {
    let mut dropped = Vec::with_capacity(4096);
    loop {
        dropped.clear();
        match transport.try_read(&mut dropped) {
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
