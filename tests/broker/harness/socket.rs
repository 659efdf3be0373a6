//! A client's end of a connection, TCP or Unix.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use socket2::{Domain, SockRef, Type};

/// How a client reaches the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    Tcp,
    Unix,
}

/// A connected socket.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    pub(crate) fn tcp(addr: SocketAddr) -> Self {
        let socket = TcpStream::connect(addr).expect("the broker accepts");
        // Each write must leave at once, or the tests of split lines would test the kernel's patience.
        socket.set_nodelay(true).unwrap();
        Self::Tcp(socket)
    }

    /// A connection for which the kernel holds little, so that it is soon noticed when its client does not read.
    pub(crate) fn tcp_with_little_room(addr: SocketAddr) -> Self {
        let socket = socket2::Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(16 << 10).unwrap();
        // Loopback has segments of 64 KiB. In a buffer that cannot hold even one, the kernel waits 200 ms for each.
        socket.set_tcp_mss(1400).unwrap();
        socket.connect(&addr.into()).expect("the broker accepts");
        socket.set_tcp_nodelay(true).unwrap();
        Self::Tcp(socket.into())
    }

    pub(crate) fn unix(path: &PathBuf) -> Self {
        Self::Unix(UnixStream::connect(path).expect("the broker accepts"))
    }

    /// How long reads and writes may block.
    pub(crate) fn set_patience(&self, patience: Duration) {
        self.options().set_read_timeout(Some(patience)).unwrap();
        self.options().set_write_timeout(Some(patience)).unwrap();
    }

    /// Says that nothing more will be sent.
    pub(crate) fn finish(&self) {
        match self {
            Self::Tcp(socket) => socket.shutdown(Shutdown::Write).unwrap(),
            Self::Unix(socket) => socket.shutdown(Shutdown::Write).unwrap(),
        }
    }

    /// Breaks the connection off as a killed machine would: with a reset, not with an end of file.
    pub(crate) fn reset(self) {
        self.options().set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// The options of the socket, whatever its kind.
    pub(crate) fn options(&self) -> SockRef<'_> {
        match self {
            Self::Tcp(socket) => SockRef::from(socket),
            Self::Unix(socket) => SockRef::from(socket),
        }
    }

    pub(crate) fn try_clone(&self) -> Self {
        match self {
            Self::Tcp(socket) => Self::Tcp(socket.try_clone().unwrap()),
            Self::Unix(socket) => Self::Unix(socket.try_clone().unwrap()),
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(socket) => socket.as_fd(),
            Self::Unix(socket) => socket.as_fd(),
        }
    }
}

impl Read for Socket {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.read(into),
            Self::Unix(socket) => socket.read(into),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.write(bytes),
            Self::Unix(socket) => socket.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
