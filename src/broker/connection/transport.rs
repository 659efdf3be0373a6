//! Sockets, as a connection uses them: readiness first, then reads and writes that never wait.

use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustix::net::{SendAncillaryBuffer, SendFlags, sendmsg};
use tokio::io::Interest;
use tokio::net::UnixStream;

use crate::broker::access::Origin;
use crate::broker::outbox::{Sink, TransportKind};

/// A connected byte stream, shared by the task that reads it and the actor that writes to it.
///
/// Reads and writes take `&self` and never wait; the two `poll` functions say when to try again. TCP and Unix sockets are
/// of this kind; so is an encrypted session over any of them, and an in-memory pipe.
pub trait Transport: Sink + Unpin + 'static {
    /// Ready when a read may succeed.
    ///
    /// # Errors
    /// If the transport can no longer be waited for.
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Ready when a write may succeed.
    ///
    /// # Errors
    /// If the transport can no longer be waited for.
    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Appends what has come to `buffer`, no more than its spare room. 0 is the end.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if nothing has come; any other error means that the peer is gone.
    fn try_read(&self, buffer: &mut Vec<u8>) -> io::Result<usize>;

    /// Says that nothing more will be written, as far as that can be said now.
    fn close(&self);

    /// Whether that is said. If not, it is to be [closed](Self::close) again once it is writable.
    fn is_closed(&self) -> bool {
        true
    }

    /// Where it comes from.
    fn origin(&self) -> Origin {
        Origin::Unknown
    }

    /// The name in the certificate that the peer has proven to have, if it has one.
    fn certificate(&self) -> Option<Arc<str>> {
        None
    }
}

impl<T: Transport> Transport for Arc<T> {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        (**self).poll_readable(cx)
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        (**self).poll_writable(cx)
    }

    fn try_read(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        (**self).try_read(buffer)
    }

    fn close(&self) {
        (**self).close();
    }

    fn is_closed(&self) -> bool {
        (**self).is_closed()
    }

    fn origin(&self) -> Origin {
        (**self).origin()
    }

    fn certificate(&self) -> Option<Arc<str>> {
        (**self).certificate()
    }
}

/// Reads into the spare room of `buffer`. A read that did not fill it has emptied the socket, if `emptied` agrees: saying so to
/// the runtime (as `WouldBlock`) spares the system call that would find it out.
///
/// The kernel also ends a read early where the sender has put a mark into the stream. If what stands behind the mark came at the
/// same time, nothing will wake the connection for it, so then the socket must stay ready.
pub(super) fn read(
    fd: impl AsFd,
    buffer: &mut Vec<u8>,
    emptied: impl Fn() -> bool,
    try_io: impl FnOnce(&mut dyn FnMut() -> io::Result<usize>) -> io::Result<usize>,
) -> io::Result<usize> {
    let room = buffer.capacity() - buffer.len();
    let mut got = None;
    let done = try_io(&mut || {
        let count = rustix::io::read(fd.as_fd(), rustix::buffer::spare_capacity(buffer))?;
        got = Some(count);
        if count == 0 || count == room || !emptied() { Ok(count) } else { Err(io::ErrorKind::WouldBlock.into()) }
    });
    got.map_or(done, Ok)
}

/// Writes without raising SIGPIPE. A short write has filled the socket, and the runtime is told as above.
pub(super) fn write(
    fd: impl AsFd,
    slices: &[IoSlice<'_>],
    try_io: impl FnOnce(&mut dyn FnMut() -> io::Result<usize>) -> io::Result<usize>,
) -> io::Result<usize> {
    let asked: usize = slices.iter().map(|slice| slice.len()).sum();
    let mut put = None;
    let done = try_io(&mut || {
        let count = match slices {
            [one] => rustix::net::send(fd.as_fd(), one, SendFlags::NOSIGNAL)?,
            many => sendmsg(fd.as_fd(), many, &mut SendAncillaryBuffer::default(), SendFlags::NOSIGNAL)?,
        };
        put = Some(count);
        if count == asked { Ok(count) } else { Err(io::ErrorKind::WouldBlock.into()) }
    });
    put.map_or(done, Ok)
}

/// The room for what a peer has not read who wants what is new, in bytes. The kernel doubles it, and counts a kilobyte for the smallest
/// write. With less, a long message would go in too many pieces.
const LITTLE: usize = 4 << 10;

impl Sink for UnixStream {
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        write(self, slices, |attempt| self.try_io(Interest::WRITABLE, attempt))
    }

    fn hold_little(&self) {
        // What is written to a socket of this kind stands in the sender's room until the peer reads it. If it cannot be made smaller,
        // what comes is only older.
        let _ = socket2::SockRef::from(self).set_send_buffer_size(LITTLE);
    }

    fn kind(&self) -> TransportKind {
        TransportKind::Unix
    }

    fn peer(&self) -> String {
        self.peer_cred().ok().and_then(|peer| peer.pid()).map_or_else(|| "unix".to_owned(), |pid| format!("unix pid {pid}"))
    }
}

impl Transport for UnixStream {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_read_ready(cx)
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_write_ready(cx)
    }

    fn try_read(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        // A read ends behind bytes that came with descriptors or credentials, and there is no sign of them, so the kernel is asked.
        // The descriptors themselves are closed by a read that does not ask for them.
        let emptied = || rustix::io::ioctl_fionread(self).is_ok_and(|left| left == 0);
        read(self, buffer, emptied, |attempt| self.try_io(Interest::READABLE, attempt))
    }

    fn close(&self) {
        // A peer that is gone already is no matter.
        let _ = socket2::SockRef::from(self).shutdown(Shutdown::Write);
    }

    fn origin(&self) -> Origin {
        self.peer_cred().map_or(Origin::Unknown, |peer| Origin::User(peer.uid()))
    }
}
