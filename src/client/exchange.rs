//! One connection: writes what is queued, reads what comes, and notices when the broker does not answer any more.

use std::future::{Future, ready};
use std::io;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::time::{Instant, sleep, sleep_until};

use crate::wire::subscriber::{self, Reason, Reply};
use crate::wire::units::ByteSize;

use super::address::ByteStream;
use super::connection::Connection;
use super::options::Options;
use super::shared::Shared;
use super::state::{Chunk, farewell};

/// What one read takes.
const READ: usize = 64 << 10;

/// What waits at the beginning of a connection and is longer does not begin it.
const LONG: usize = 64 << 10;

/// What the broker may take to end a connection that this side has ended.
const LINGER: Duration = Duration::from_secs(5);

/// How a connection ended.
pub(super) enum End {
    /// This side wanted it so, and all was sent.
    Left,
    /// The broker said why.
    Told(Reason),
    /// It failed.
    Failed(String),
}

/// One connection.
pub(super) struct Exchange<'s> {
    shared: &'s Shared,
    read: ReadHalf<Box<dyn ByteStream>>,
    write: WriteHalf<Box<dyn ByteStream>>,
    received: BytesMut,
    /// How much of `received` is known to hold no line end.
    searched: usize,
    /// What is being written, and how much of it has been.
    writing: Option<(Chunk, usize)>,
    /// The client has said who it is, if it has a token.
    has_introduced: bool,
    /// The first line has been begun.
    has_begun: bool,
    /// Something was written since it was looked last whether there is something to read.
    has_written: bool,
    /// When the broker took something last.
    took: Instant,
    /// When the broker was heard last.
    heard: Instant,
    /// When it was asked for a word since.
    asked: Option<Instant>,
    /// The broker has said something other than an end.
    pub(super) was_answered: bool,
    began: Instant,
}

impl<'s> Exchange<'s> {
    pub(super) fn new(shared: &'s Shared, transport: Box<dyn ByteStream>) -> Self {
        let (read, write) = tokio::io::split(transport);
        Self {
            shared,
            read,
            write,
            received: BytesMut::new(),
            searched: 0,
            writing: None,
            has_introduced: false,
            has_begun: false,
            has_written: false,
            took: Instant::now(),
            heard: Instant::now(),
            asked: None,
            was_answered: false,
            began: Instant::now(),
        }
    }

    pub(super) async fn run(&mut self) -> End {
        self.greet();
        loop {
            if self.writing.is_none() && self.begin_to_write() {
                return self.leave().await;
            }
            let Options { idle_time, answer_time, .. } = self.shared.options;
            // From when it was asked: a program that was suspended asks late. Or from when it took something: the question may
            // wait behind a long line on a slow network.
            let due = self.asked.map_or_else(|| self.heard + idle_time, |asked| asked.max(self.took) + answer_time);
            self.received.reserve(READ);
            let is_writing = self.writing.is_some();
            // In an order that is always the same, so that a simulation can repeat it; but reading and writing in turns if both can be
            // done, so that neither waits for the other.
            let outcome = tokio::select! {
                biased;
                written = write_on(&mut self.write, &self.writing), if is_writing && !self.has_written => {
                    self.has_written = true;
                    self.written(written)
                }
                read = self.read.read_buf(&mut self.received) => {
                    self.has_written = false;
                    self.take(read)
                }
                () = ready(()), if is_writing && self.has_written => {
                    self.has_written = false;
                    Ok(())
                }
                () = self.shared.work.notified(), if self.writing.is_none() => Ok(()),
                () = sleep_until(due) => self.too_quiet(),
            };
            if let Err(end) = outcome {
                return end;
            }
        }
    }

    /// How long the connection has lasted.
    pub(super) fn lasted(&self) -> Duration {
        self.began.elapsed()
    }

    /// Sees to it that the broker says something soon, where it matters whether this is one.
    fn greet(&mut self) {
        if self.shared.options.reconnect.is_none() {
            return self.shared.stands(Connection::Connected);
        }
        self.shared.lock().ping_if_idle();
    }

    /// Takes what is to be written next. True if there is nothing, and never will be.
    fn begin_to_write(&mut self) -> bool {
        let mut state = self.shared.lock();
        if !std::mem::replace(&mut self.has_introduced, true)
            && let Some(token) = &self.shared.options.token
        {
            self.writing = Some((state.introduction(token), 0));
            return false;
        }
        let greeting = if self.has_begun { None } else { state.greeting(LONG) };
        self.writing = greeting.or_else(|| state.next_chunk()).map(|chunk| (chunk, 0));
        self.has_begun |= self.writing.is_some();
        self.writing.is_none() && state.leaving && state.is_confirmed()
    }

    /// Takes what was read.
    fn take(&mut self, read: io::Result<usize>) -> Result<(), End> {
        match read {
            Ok(0) => return Err(End::Failed("the broker ended the connection without a word".to_owned())),
            Ok(_) => {}
            Err(error) => return Err(End::Failed(error.to_string())),
        }
        (self.heard, self.asked) = (Instant::now(), None);
        let mut state = self.shared.lock();
        let (mut room, most) = (false, self.shared.options.longest_line);
        while let Some(at) = memchr::memchr(b'\n', self.received.get(self.searched..).unwrap_or_default()) {
            let line = self.received.split_to(self.searched + at + 1);
            self.searched = 0;
            if line.len() > most.0 {
                state.choked();
                return Err(too_long(most));
            }
            match subscriber::read(&line) {
                Ok(Reply::CloseConnection(Some(reason))) => {
                    state.told(&reason);
                    return Err(End::Told(reason));
                }
                // It was not asked to.
                Ok(Reply::CloseConnection(None)) => {
                    return Err(End::Failed("the broker ended the connection without a reason".to_owned()));
                }
                Ok(reply) => {
                    if !self.was_answered {
                        self.was_answered = true;
                        self.shared.stands(Connection::Connected);
                    }
                    room |= state.take(reply);
                }
                Err(error) => {
                    state.choked();
                    let start = String::from_utf8_lossy(line.get(..80).unwrap_or(&line)).trim_end().to_owned();
                    return Err(End::Failed(format!("{} is not a msgstream broker; it sent {start:?}: {error}", self.shared.address)));
                }
            }
        }
        self.searched = self.received.len();
        if self.received.len() > most.0 {
            state.choked();
            return Err(too_long(most));
        }
        state.all_taken();
        drop(state);
        if room {
            self.shared.room.notify_waiters();
        }
        Ok(())
    }

    /// Takes note of what was written; nothing means that all of the chunk is on its way.
    fn written(&mut self, written: io::Result<Option<usize>>) -> Result<(), End> {
        match written {
            Ok(Some(0)) => return Err(End::Failed("the connection takes no more".to_owned())),
            Ok(Some(count)) => {
                self.took = Instant::now();
                if let Some((_, at)) = &mut self.writing {
                    *at += count;
                }
            }
            Ok(None) => {
                if let Some((chunk, _)) = self.writing.take()
                    && self.shared.lock().written(&chunk)
                {
                    self.shared.room.notify_waiters();
                }
            }
            // The broker may have said why before it closed, which says more than the failure of a write.
            Err(error) => return Err(self.last_words().unwrap_or_else(|| End::Failed(error.to_string()))),
        }
        Ok(())
    }

    /// Reads what has come already, for the reason that a broker gives before it closes.
    fn last_words(&mut self) -> Option<End> {
        let mut cx = Context::from_waker(Waker::noop());
        loop {
            self.received.reserve(READ);
            let read = pin!(self.read.read_buf(&mut self.received)).poll(&mut cx);
            match read {
                Poll::Ready(Ok(count)) if count > 0 => match self.take(Ok(count)) {
                    Ok(()) => {}
                    Err(end) => return Some(end),
                },
                Poll::Ready(_) | Poll::Pending => return None,
            }
        }
    }

    /// The broker has not been heard for long.
    fn too_quiet(&mut self) -> Result<(), End> {
        if self.asked.is_some() {
            // The answer may have come while this program was suspended.
            if let Some(end) = self.last_words() {
                return Err(end);
            }
            if self.asked.is_none() {
                return Ok(());
            }
            return Err(End::Failed(format!("the broker has been silent for {:?}", self.heard.elapsed())));
        }
        self.asked = Some(Instant::now());
        self.shared.lock().ping();
        Ok(())
    }

    /// Ends the connection in order: the broker is told, so that this client does not count as lost. What the broker still sends is read,
    /// since closing a socket with unread bytes could destroy what was sent.
    async fn leave(&mut self) -> End {
        let orderly = async {
            self.write.write_all(&farewell()).await?;
            self.write.shutdown().await?;
            loop {
                self.received.clear();
                self.received.reserve(READ);
                if self.read.read_buf(&mut self.received).await? == 0 {
                    return io::Result::Ok(());
                }
            }
        };
        tokio::select! {
            biased;
            _ = orderly => {}
            () = sleep(LINGER) => {}
        }
        End::Left
    }
}

fn too_long(most: ByteSize) -> End {
    End::Failed(format!("the broker sent a line of more than {most} (Options::longest_line)"))
}

/// Writes some more of a chunk; at its end makes sure that all is on its way. Dropped before it is done, it has done nothing.
async fn write_on(write: &mut (impl AsyncWrite + Unpin), writing: &Option<(Chunk, usize)>) -> io::Result<Option<usize>> {
    match writing {
        Some((chunk, at)) if *at < chunk.bytes.len() => write.write(chunk.bytes.get(*at..).unwrap_or_default()).await.map(Some),
        Some(_) | None => write.flush().await.map(|()| None),
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::pin::Pin;
    use std::sync::{Arc, Mutex};
    use std::task::{Context, Poll};
    use std::time::Duration;

    use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, ReadBuf, duplex, split};
    use tokio::time::sleep;

    use crate::client::address::Way;
    use crate::client::link::Link;
    use crate::client::options::Options;
    use crate::client::shared::Shared;
    use crate::wire::Verb;

    /// A broker that always has something to say, up to a thousand times, and takes ten bytes at a time; and what was done when.
    struct Talkative(Arc<Mutex<Vec<&'static str>>>);

    impl AsyncRead for Talkative {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            let mut done = self.0.lock().unwrap();
            if done.len() >= 1000 {
                return Poll::Pending;
            }
            done.push("read");
            buffer.put_slice(b"{\"action\":\"pong\"}\n");
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncWrite for Talkative {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            self.0.lock().unwrap().push("write");
            Poll::Ready(Ok(bytes.len().min(10)))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn neither_reading_nor_writing_waits_for_the_other() {
        let done = Arc::new(Mutex::new(Vec::new()));
        let shared = Shared::new(Way::new("localhost".parse().unwrap(), &Options::default()), Options::default());
        let link = Link::start(Arc::clone(&shared), Some(Box::new(Talkative(Arc::clone(&done)))));
        link.queue(Verb::Put, "job", Some(&"x".repeat(1000)), None::<&()>).await.unwrap();
        // The clock jumps once nobody has anything to do.
        sleep(Duration::from_millis(1)).await;
        let done = done.lock().unwrap();
        assert_eq!(done[..200], ["write", "read"].repeat(100));
    }

    /// A network that takes a line for minutes: as long as it takes some of it, the broker is not dead. The clock is tokio's.
    #[tokio::test(start_paused = true)]
    async fn a_slow_network_that_takes_something_is_no_lost_connection() {
        let (ours, theirs) = duplex(4 << 10);
        let link =
            Link::start(Shared::new(Way::new("localhost".parse().unwrap(), &Options::default()), Options::default()), Some(Box::new(ours)));
        let broker = tokio::spawn(async move {
            let (read, mut write) = split(theirs);
            let mut read = BufReader::with_capacity(4 << 10, read);
            let mut first = String::new();
            read.read_line(&mut first).await.unwrap();
            let (mut taken, mut block) = (0, [0; 4 << 10]);
            while taken < 100 << 10 {
                sleep(Duration::from_secs(10)).await;
                let count = read.read(&mut block).await.unwrap();
                assert_ne!(count, 0, "the client has given up");
                taken += count;
            }
            write.write_all(b"{\"action\":\"pong\"}\n").await.unwrap();
            // The connection stays as it is.
            (first, read, write)
        });
        let long = "x".repeat(100 << 10);
        link.queue(Verb::Put, "job", Some(&long), None::<&()>).await.unwrap();
        // What is long is never a connection's first line, for which a broker gives little time.
        let (first, _read, _write) = broker.await.unwrap();
        assert_eq!(first, "{\"action\":\"ping\"}\n");
        assert!(link.shared.lock().failure().is_none());
    }
}
