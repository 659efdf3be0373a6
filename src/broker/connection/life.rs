//! The life of one connection, as a task.
//!
//! While idle it is a small one: the future is written by hand, without room for what happens rarely, which is boxed when it
//! does.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tracing::{debug, error};

use crate::broker::actor::Command;
use crate::broker::outbox::{AwaitsPermit, Outbox, Sink, Standing, Written};
use crate::wire::ids::ConnectionId;
use crate::wire::refusal::AUTH_REQUIRED;
use crate::wire::units::Span;
use crate::wire::{Codec, ErrorCode};

use super::context::ConnectionContext;
use super::guard::{Guarded, LastChance};
use super::mistake_log::Told;
use super::read::{After, Read};
use super::reader::Reader;
use super::timers::{Timer, Timers, within};
use super::transport::Transport;

/// What the last bytes of a peer that was told of the end may take to come: they are read and dropped, since closing a
/// socket with unread bytes could destroy what was sent. One who has not said who it is has this time only until somebody needs its place:
/// else strangers who come, are sent away and do not leave would take all connections that there may be.
const LINGER: Duration = Duration::from_secs(1);

/// While the broker drains, a connection takes in what it has received: more than so much was sent after it was told to stop.
const LAST_READS: u8 = 128;

/// How many batches of one connection may be on their way to the actor: it decodes one while the other is applied.
const BATCHES: u32 = 2;

/// The task of one connection.
pub(super) struct Connection<T: Transport, C: Codec> {
    id: ConnectionId,
    outbox: Arc<Outbox<T>>,
    reader: Reader<C>,
    context: Arc<ConnectionContext>,
    timers: Timers,
    /// The wait for the peer's end.
    lingers: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// The actor is gone, and with it the broker.
    is_orphan: bool,
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
    WriteOnly,
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
    /// The client has not said who it is in time.
    Unknown,
    /// It has not said who it is, and others are to have its place.
    Evicted,
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
                this.context.stats.panics.add(1);
                this.lingers = None;
                this.phase = Phase::Ending;
                this.poll_life(cx)
            }
        }
    }
}

impl<T: Transport, C: Codec> Connection<T, C> {
    pub(super) fn new(id: ConnectionId, transport: T, codec: C, guard: Guarded, context: Arc<ConnectionContext>) -> Self {
        Self {
            id,
            outbox: Arc::new(Outbox::new(transport, Arc::clone(&context.outbox))),
            reader: Reader::new(codec, guard),
            context,
            timers: Timers::default(),
            lingers: None,
            is_orphan: false,
            phase: Phase::Start,
            last_reads: LAST_READS,
        }
    }

    /// Goes from phase to phase until there is something to wait for.
    fn poll_life(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if let Some(lingers) = &mut self.lingers {
                if lingers.as_mut().poll(cx).is_pending() {
                    std::task::ready!(self.reader.poll_evicted(cx));
                }
                self.lingers = None;
            }
            if self.is_orphan {
                self.outbox.kill();
                return Poll::Ready(());
            }
            match self.phase {
                Phase::Start => {
                    debug!(connection = self.id.0, peer = self.outbox.peer(), "connected");
                    self.phase = Phase::Open;
                    let outbox: Arc<Outbox<dyn Sink>> = Arc::clone(&self.outbox) as Arc<Outbox<dyn Sink>>;
                    self.tell(Command::Connected(self.id, outbox));
                    self.reader.recognise(self.outbox.sink());
                }
                Phase::Open | Phase::WriteOnly => {
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
                    if !self.outbox.wind_up() {
                        // The rest after the others' turn.
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                    debug!(connection = self.id.0, "disconnected");
                    self.phase = Phase::Gone;
                    self.reader.drop_carry(&self.context.reader);
                    self.reader.leave();
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
            Wake::Readable => return matches!(self.read(), After::More { full: true } | After::Backlog),
            Wake::Quiesce => return self.last_read(),
            Wake::TooSlow => {
                let reason = format!("the first line took longer than {} (limits.first_line_time)", Span(self.context.times.first_line));
                self.turn_away(ErrorCode::Limit, &reason);
            }
            Wake::Unknown => {
                self.context.stats.auth_required.add(1);
                let time = Span(self.context.times.auth);
                self.turn_away(ErrorCode::AuthRequired, &format!("nothing came within {time} (auth.time); {AUTH_REQUIRED}"));
            }
            Wake::Evicted => {
                self.context.stats.auth_required.add(1);
                let reason =
                    "others wait to say who they are, and there is no more room for those who do not (auth.waiting); try again later";
                self.turn_away(ErrorCode::Limit, reason);
            }
            Wake::Cut => {
                self.phase = Phase::WriteOnly;
                self.tell(Command::Cut(self.id));
            }
            Wake::Sent => {
                self.phase = Phase::Lingering;
                self.lingers = Some(linger(Arc::clone(&self.outbox)));
            }
            Wake::Dead => self.phase = Phase::Ending,
        }
        false
    }

    /// Ends a connection that took too long.
    fn turn_away(&mut self, code: ErrorCode, reason: &str) {
        let read = self.reader.turn_away(code, reason, &self.context.reader);
        self.phase = Phase::WriteOnly;
        self.forward(read);
    }

    /// Reads once.
    fn read(&mut self) -> After {
        let read = self.reader.read(self.outbox.sink(), &self.context.reader);
        let next = read.next;
        self.forward(read);
        match next {
            After::More { .. } | After::Backlog | After::Nothing => {}
            After::Left => self.phase = Phase::WriteOnly,
            After::Gone => self.phase = Phase::Ending,
        }
        next
    }

    /// Takes in what has been received before the broker stops, and tells when that is done.
    fn last_read(&mut self) -> bool {
        if self.phase == Phase::Open && self.last_reads > 0 {
            // What was read already is no further read.
            self.last_reads -= u8::from(!self.reader.has_backlog());
            if let After::More { .. } | After::Backlog = self.read() {
                return true;
            }
        }
        if self.phase == Phase::Open {
            self.phase = Phase::WriteOnly;
        }
        self.outbox.quiesced();
        self.tell(Command::Quiesced(self.id));
        true
    }

    /// What there is to do; writes what waits on the way.
    fn poll_wake(&mut self, cx: &mut Context<'_>) -> Poll<Wake> {
        let mut standing = self.outbox.standing(cx);
        if standing.doomed && self.outbox.drop_some() {
            // The rest after the others' turn.
            cx.waker().wake_by_ref();
        }
        while standing.blocked && !standing.dead {
            match self.outbox.sink().poll_writable(cx) {
                Poll::Pending => {
                    self.outbox.pass_permit();
                    break;
                }
                Poll::Ready(Err(_)) => return Poll::Ready(Wake::Dead),
                Poll::Ready(Ok(())) => {}
            }
            if !self.outbox.may_write(|| Arc::clone(&self.outbox) as Arc<dyn AwaitsPermit>) {
                break;
            }
            let written = self.outbox.write_some();
            if matches!(written, Written::All | Written::More | Written::Blocked { progress: true }) {
                // The clocks begin again.
                self.timers.clear(Timer::Write);
                self.timers.clear(Timer::Drain);
            }
            match written {
                Written::All | Written::Blocked { .. } => {}
                Written::More => {
                    // The rest after the others' turn.
                    cx.waker().wake_by_ref();
                    break;
                }
                Written::Gone => return Poll::Ready(Wake::Dead),
            }
            let now = self.outbox.standing(cx);
            standing = Standing { has_room: standing.has_room || now.has_room, ..now };
        }
        if standing.dead {
            return Poll::Ready(Wake::Dead);
        }
        if standing.has_room {
            self.tell(Command::Room(self.id));
        }
        if standing.finishing && standing.empty {
            return Poll::Ready(Wake::Sent);
        }
        // Only so much of one connection is on its way to the actor.
        let most = if self.context.reader.intake.is_crowded() { 1 } else { BATCHES };
        let may_read = |outbox: &Outbox<T>| standing.unapplied < most || !outbox.awaits_applied(most);
        if standing.quiesce {
            if standing.finishing {
                // It has been told the end already: nothing more is taken from it.
                self.phase = Phase::WriteOnly;
            }
            if self.phase != Phase::Open || may_read(&self.outbox) {
                return Poll::Ready(Wake::Quiesce);
            }
        }
        if self.phase == Phase::Open && self.reader.poll_evicted(cx).is_ready() {
            return self.poll_last_chance(cx);
        }
        if let Some(wake) = self.poll_timers(cx, standing) {
            return Poll::Ready(wake);
        }
        if self.phase == Phase::Open && !standing.finishing && !standing.held && !standing.quiesce {
            let ready = match self.reader.has_backlog() {
                true => Poll::Ready(Ok(())),
                false => self.outbox.sink().poll_readable(cx),
            };
            match ready {
                Poll::Ready(Ok(())) if may_read(&self.outbox) => return Poll::Ready(Wake::Readable),
                Poll::Ready(Err(_)) => return Poll::Ready(Wake::Dead),
                Poll::Ready(Ok(())) | Poll::Pending => {}
            }
        }
        Poll::Pending
    }

    /// Who is to make room may have said already who it is: what has come is read once before it is told to go.
    fn poll_last_chance(&mut self, cx: &mut Context<'_>) -> Poll<Wake> {
        match self.outbox.sink().poll_readable(cx) {
            Poll::Ready(Ok(())) if self.reader.takes_chance(LastChance::Read) => Poll::Ready(Wake::Readable),
            Poll::Ready(Err(_)) => Poll::Ready(Wake::Dead),
            Poll::Pending if self.reader.takes_chance(LastChance::Turn) => {
                // It is not known what has come to a new socket before the runtime has asked the system, which it does after this turn.
                let _ = std::pin::pin!(tokio::task::yield_now()).poll(cx);
                Poll::Pending
            }
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Wake::Evicted),
        }
    }

    /// Sets the clocks that the standing asks for, and tells which has run out.
    fn poll_timers(&mut self, cx: &mut Context<'_>, standing: Standing) -> Option<Wake> {
        let times = &self.context.times;
        self.timers.keep(Timer::FirstUnit, self.reader.awaits_first_unit(), times.first_line);
        self.timers.keep(Timer::Token, self.phase == Phase::Open && self.reader.awaits_token(), times.auth);
        self.timers.keep(Timer::Write, standing.blocked && !standing.finishing, times.write);
        self.timers.keep(Timer::Drain, standing.finishing, times.drain);
        self.timers.keep(Timer::LongestDrain, standing.finishing, times.longest_drain);
        self.timers.keep_since(Timer::Throttle, standing.holding_since, times.throttle);
        match self.timers.poll_expired(cx)? {
            // What has come is read before the peer is believed to be silent.
            timer @ (Timer::FirstUnit | Timer::Token) => match self.outbox.sink().poll_readable(cx) {
                Poll::Ready(Ok(())) => Some(Wake::Readable),
                Poll::Ready(Err(_)) => Some(Wake::Dead),
                Poll::Pending => {
                    self.timers.clear(timer);
                    Some(if timer == Timer::Token { Wake::Unknown } else { Wake::TooSlow })
                }
            },
            Timer::Write => {
                self.timers.clear(Timer::Write);
                self.context.cut_silent(self.id, &self.outbox);
                Some(Wake::Cut)
            }
            Timer::Throttle => {
                self.timers.clear(Timer::Throttle);
                self.context.cut_holding(self.id, &self.outbox);
                Some(Wake::Cut)
            }
            Timer::Drain | Timer::LongestDrain => Some(Wake::Dead),
        }
    }

    /// Hands what was read to the actor.
    fn forward(&mut self, read: Read) {
        if read.mistakes > 0 {
            self.context.stats.mistakes.add(read.mistakes);
            self.context.mistake_log.made(self.id, || self.outbox.peer(), read.mistakes, read.first_mistake.as_deref());
        }
        if let Some(told) = &read.first_mistake {
            self.count_told(told);
        }
        if !read.inputs.is_empty() {
            self.outbox.begin_batch(u32::MAX);
            let claim = self.context.reader.intake.claim(read.memory);
            self.tell(Command::Batch { from: self.id, inputs: read.inputs, order: self.id, claim });
        }
    }

    /// Counts what the client is told of its mistakes, and remembers that it is turned away.
    #[cold]
    fn count_told(&self, told: &Told) {
        for (code, count) in ErrorCode::ALL.into_iter().zip(told.codes).filter(|(_, count)| *count > 0) {
            self.context.stats.tell_often(code, count.into());
        }
        if let Some((code, reason)) = &told.away {
            self.context.cut_log.note(Some(self.id), || self.outbox.peer(), code.as_str(), || reason.clone(), self.outbox.bytes());
        }
    }

    /// Tells the actor.
    fn tell(&mut self, command: Command) {
        self.is_orphan |= !self.context.mailbox.send(command);
    }
}

/// Says that no more comes, and drops what still arrives until the peer has ended too.
fn linger<T: Transport>(outbox: Arc<Outbox<T>>) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    outbox.sink().close();
    Box::pin(async move {
        let said = async {
            while !outbox.sink().is_closed() {
                poll_fn(|cx| outbox.sink().poll_writable(cx)).await?;
                outbox.sink().close();
            }
            std::io::Result::Ok(())
        };
        // A peer that does not end in time is left to itself.
        within(LINGER, async {
            let (_, ()) = tokio::join!(said, drop_input(outbox.sink()));
        })
        .await;
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
