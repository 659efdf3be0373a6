//! An encrypted connection as a transport.

use std::cell::RefCell;
use std::fmt;
use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use crate::broker::access::Origin;
use crate::broker::outbox::{Sink, TransportKind, Unsent};

use super::super::Transport;
use super::session::{RECORD, Session};

/// What a record carries for a peer who wants what is new: what has been encrypted cannot be replaced by what is newer.
const LITTLE: usize = 4 << 10;

/// What is read from the socket at once, in bytes. Records may be tiny, and each takes its time, so less is read than without encryption.
const READ: usize = 64 << 10;

thread_local! {
    /// Bytes on their way from the socket, only while they are understood.
    static BLOCK: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    /// Bytes on their way to the socket: what a record carries, and the records of a write. The latter keeps its length.
    static RECORDS: RefCell<(Vec<u8>, Vec<u8>)> = const { RefCell::new((Vec::new(), Vec::new())) };
}

/// An encrypted connection over another transport, after its handshake.
///
/// What it has taken from the outbox and not sent is what one write carries at the most, 83 KB: it takes no more until the socket has taken
/// that. So what waits, waits in the outbox, where it is counted.
pub struct TlsTransport<S> {
    socket: S,
    /// The name in the client's certificate.
    client: Option<Arc<str>>,
    /// The task reads while the actor writes.
    session: Mutex<Box<Session>>,
}

impl<S: Transport> TlsTransport<S> {
    pub(super) fn new(socket: S, session: Box<Session>, client: Option<Arc<str>>) -> Self {
        Self { socket, client, session: Mutex::new(session) }
    }

    fn lock(&self) -> MutexGuard<'_, Box<Session>> {
        // A panic under the lock ends this connection, or the broker.
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads once from the socket and decrypts what came, unless something is left of what came before.
    fn read(&self, session: &mut Session, block: &mut Vec<u8>, buffer: &mut Vec<u8>) -> io::Result<()> {
        let before = buffer.len();
        session.take_plain(buffer);
        let room = buffer.capacity() - buffer.len();
        if buffer.len() > before || room == 0 || session.has_ended {
            return Ok(());
        }
        if session.has_failed {
            return Err(io::ErrorKind::InvalidData.into());
        }
        block.clear();
        block.extend_from_slice(session.incoming());
        block.reserve_exact((READ + RECORD).saturating_sub(block.len()));
        let wanted = Session::wants(block, room);
        let full = block.capacity().min(block.len() + wanted);
        let count = if full == block.capacity() { self.socket.try_read(block)? } else { self.read_part(block, wanted)? };
        // Then more may stand there already. Others get their turn first, since what came may have been no content at all.
        session.pauses = block.len() == full;
        if count == 0 {
            session.has_ended = true;
            return Ok(());
        }
        let advanced = session.advance(block, buffer);
        session.keep(advanced.as_ref().ok().and_then(|used| block.get(*used..)).unwrap_or_default());
        if session.has_unsent() {
            // What the peer is told of a fault, or of its keys. Whoever writes next sends what is left.
            let _ = session.send(&self.socket);
        }
        advanced.map(drop).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }

    /// Reads up to `most` bytes where there would be room for more.
    fn read_part(&self, block: &mut Vec<u8>, most: usize) -> io::Result<usize> {
        let mut part = Vec::with_capacity(most);
        let count = self.socket.try_read(&mut part)?;
        block.append(&mut part);
        Ok(count)
    }
}

impl<S: Transport> Sink for TlsTransport<S> {
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut session = self.lock();
        if session.send(&self.socket)?.left > 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        RECORDS.with_borrow_mut(|(gathered, sealed)| {
            let mut rest = Rest { slices, at: 0 };
            let mut taken = 0;
            while !session.has_unsent() {
                let before = taken;
                let mut end = 0;
                for _ in 0..session.records_a_write() {
                    let plain = rest.next(session.record(), gathered);
                    if plain.is_empty() {
                        break;
                    }
                    end = session.seal(plain, sealed, end)?;
                    taken += plain.len();
                }
                if taken == before {
                    break;
                }
                session.write(sealed.get(..end).unwrap_or_default(), &self.socket)?;
            }
            Ok(taken)
        })
    }

    fn is_ready(&self) -> bool {
        !self.holds()
    }

    fn may_hold(&self) -> bool {
        true
    }

    fn holds(&self) -> bool {
        self.lock().has_unsent()
    }

    fn try_flush(&self) -> io::Result<Unsent> {
        self.lock().send(&self.socket)
    }

    fn hold_little(&self) {
        self.lock().keep_records_to(LITTLE);
        self.socket.hold_little();
    }

    fn kind(&self) -> TransportKind {
        TransportKind::Tls
    }

    fn peer(&self) -> String {
        match &self.client {
            Some(client) => format!("{} ({client})", self.socket.peer()),
            None => self.socket.peer(),
        }
    }
}

impl<S: Transport> Transport for TlsTransport<S> {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut session = self.lock();
        if std::mem::take(&mut session.pauses) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if session.is_readable() { Poll::Ready(Ok(())) } else { self.socket.poll_readable(cx) }
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_writable(cx)
    }

    fn try_read(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        let mut session = self.lock();
        let before = buffer.len();
        let read = BLOCK.with_borrow_mut(|block| self.read(&mut session, block, buffer));
        match (buffer.len() - before, read) {
            (0, Ok(())) if session.has_ended => Ok(0),
            // No record is whole yet, or none had content.
            (0, Ok(())) => Err(io::ErrorKind::WouldBlock.into()),
            (0, Err(error)) => Err(error),
            // An error is met again.
            (count, _) => Ok(count),
        }
    }

    fn close(&self) {
        let mut session = self.lock();
        session.say_end(&self.socket);
        // The end of the socket would overtake what it has not taken.
        if !session.has_unsent() {
            self.socket.close();
        }
    }

    fn is_closed(&self) -> bool {
        !self.lock().has_unsent()
    }

    fn origin(&self) -> Origin {
        self.socket.origin()
    }

    fn certificate(&self) -> Option<Arc<str>> {
        self.client.clone()
    }
}

impl<S> fmt::Debug for TlsTransport<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsTransport").field("client", &self.client).finish_non_exhaustive()
    }
}

/// What is left of several slices.
struct Rest<'s> {
    slices: &'s [IoSlice<'s>],
    /// How much of the first is done.
    at: usize,
}

impl<'s> Rest<'s> {
    /// The next bytes, no more than `most`: from where they stand if one slice has enough, or else gathered.
    fn next<'g>(&mut self, most: usize, gathered: &'g mut Vec<u8>) -> &'g [u8]
    where
        's: 'g,
    {
        gathered.clear();
        while let Some((first, others)) = self.slices.split_first() {
            let rest = first.get(self.at..).unwrap_or_default();
            let part = rest.get(..most - gathered.len()).unwrap_or(rest);
            self.at += part.len();
            if part.len() == rest.len() {
                (self.slices, self.at) = (others, 0);
            }
            if gathered.is_empty() && (part.len() == most || self.slices.is_empty()) {
                return part;
            }
            gathered.extend_from_slice(part);
            if gathered.len() == most {
                break;
            }
        }
        gathered
    }
}
