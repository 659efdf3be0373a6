//! TCP connections, and urgent data in them.

use std::io::{self, IoSlice};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::task::{Context, Poll};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::broker::access::Origin;
use crate::broker::outbox::{Sink, TransportKind};

use super::Transport;
use super::transport::{read, write};

/// For a peer who wants what is new, a socket takes no more as long as it holds this many bytes that it has not sent: any at all. What is
/// on its way does not count, so that distance makes nothing slower. A slow peer may need seconds for a kilobyte.
const UNSENT: u32 = 1;

/// A TCP connection. It differs from the runtime's own type in that it learns of urgent data.
#[derive(Debug)]
pub(crate) struct TcpTransport(AsyncFd<TcpStream>);

impl TcpTransport {
    /// Of a socket that does not block. Needs a tokio runtime.
    pub(crate) fn new(socket: TcpStream) -> io::Result<Self> {
        register(socket, Interest::READABLE | Interest::WRITABLE | Interest::PRIORITY).map(Self)
    }

    /// Whether the peer has ever sent urgent data. A read ends at the mark, so from then on only one that finds nothing has emptied
    /// the socket. (True as well behind the end of the file, where reads never wait.)
    ///
    /// The kernel tells of the mark in the same event as of the bytes. So it is known here to whoever was woken for them, and costs
    /// no system call.
    fn marked(&self) -> bool {
        self.0.try_io(Interest::PRIORITY, |_| Ok(())).is_ok()
    }
}

/// Lets the runtime watch a socket, for what its own types do not offer.
// What replaces the deprecated function is `unsafe`, since a type might hand out a descriptor that it does not own. A socket that
// can be turned into an `OwnedFd` owns its descriptor and keeps it.
#[allow(deprecated)]
pub(crate) fn register<S: AsRawFd + Into<OwnedFd>>(socket: S, interest: Interest) -> io::Result<AsyncFd<S>> {
    AsyncFd::with_interest(socket, interest)
}

impl Sink for TcpTransport {
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        write(&self.0, slices, |attempt| self.0.try_io(Interest::WRITABLE, |_| attempt()))
    }

    fn hold_little(&self) {
        // A socket that does not know the option holds as much as ever.
        let _ = socket2::SockRef::from(self.0.get_ref()).set_tcp_notsent_lowat(UNSENT);
    }

    fn kind(&self) -> TransportKind {
        TransportKind::Tcp
    }

    fn peer(&self) -> String {
        self.0.get_ref().peer_addr().map_or_else(|_| "gone".to_owned(), |address| address.to_string())
    }
}

impl Transport for TcpTransport {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_read_ready(cx).map_ok(drop)
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_write_ready(cx).map_ok(drop)
    }

    fn try_read(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        read(&self.0, buffer, || !self.marked(), |attempt| self.0.try_io(Interest::READABLE, |_| attempt()))
    }

    fn close(&self) {
        // A peer that is gone already is no matter.
        let _ = self.0.get_ref().shutdown(Shutdown::Write);
    }

    fn origin(&self) -> Origin {
        self.0.get_ref().peer_addr().map_or(Origin::Unknown, |address| address.ip().into())
    }
}
