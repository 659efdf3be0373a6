//! A client's end of a connection: TCP, TLS, Unix, or a WebSocket.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use socket2::{Domain, SockRef, Type};

use super::WebSocket;

/// How a client reaches the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    Tcp,
    Tls,
    Unix,
    /// Of the HTTP address.
    WebSocket,
}

/// A connected socket.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpStream),
    Tls(Mutex<Box<Encrypted>>),
    Unix(UnixStream),
    Web(Box<WebSocket>),
}

type Encrypted = StreamOwned<ClientConnection, TcpStream>;

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

    /// An encrypted connection. Its handshake is made as it is first written to.
    pub(crate) fn tls(addr: SocketAddr, config: Arc<ClientConfig>) -> Self {
        Self::tcp(addr).encrypted(config)
    }

    /// The same connection, encrypted.
    pub(crate) fn encrypted(self, config: Arc<ClientConfig>) -> Self {
        let Self::Tcp(socket) = self else { panic!("only a TCP connection is encrypted") };
        let tls = ClientConnection::new(config, ServerName::try_from("localhost").unwrap()).unwrap();
        Self::Tls(Mutex::new(Box::new(StreamOwned::new(tls, socket))))
    }

    /// A WebSocket at an address where HTTP is spoken.
    pub(crate) fn websocket(addr: SocketAddr) -> Self {
        let Self::Tcp(socket) = Self::tcp(addr) else { unreachable!() };
        Self::Web(Box::new(WebSocket::open(socket, addr)))
    }

    pub(crate) fn unix(path: &PathBuf) -> Self {
        Self::Unix(UnixStream::connect(path).expect("the broker accepts"))
    }

    /// How long reads and writes may block.
    pub(crate) fn set_patience(&self, patience: Duration) {
        self.with_options(|options| {
            options.set_read_timeout(Some(patience)).unwrap();
            options.set_write_timeout(Some(patience)).unwrap();
        });
    }

    /// Says that nothing more will be sent.
    pub(crate) fn finish(&self) {
        match self {
            Self::Tcp(socket) => socket.shutdown(Shutdown::Write).unwrap(),
            Self::Tls(stream) => {
                let mut stream = stream.lock().unwrap();
                // One that has said nothing is there, too.
                while stream.conn.is_handshaking() {
                    let stream = &mut **stream;
                    stream.conn.complete_io(&mut stream.sock).unwrap();
                }
                stream.conn.send_close_notify();
                stream.flush().unwrap();
                stream.sock.shutdown(Shutdown::Write).unwrap();
            }
            Self::Unix(socket) => socket.shutdown(Shutdown::Write).unwrap(),
            Self::Web(socket) => socket.finish(),
        }
    }

    /// Breaks the connection off as a killed machine would: with a reset, not with an end of file.
    pub(crate) fn reset(self) {
        self.with_options(|options| options.set_linger(Some(Duration::ZERO)).unwrap());
    }

    /// The options of the socket, whatever its kind.
    pub(crate) fn with_options<T>(&self, act: impl FnOnce(SockRef<'_>) -> T) -> T {
        match self {
            Self::Tcp(socket) => act(SockRef::from(socket)),
            Self::Tls(stream) => act(SockRef::from(&stream.lock().unwrap().sock)),
            Self::Unix(socket) => act(SockRef::from(socket)),
            Self::Web(socket) => act(SockRef::from(&socket.socket)),
        }
    }

    pub(crate) fn try_clone(&self) -> Self {
        match self {
            Self::Tcp(socket) => Self::Tcp(socket.try_clone().unwrap()),
            Self::Tls(_) | Self::Web(_) => panic!("such a connection has one state"),
            Self::Unix(socket) => Self::Unix(socket.try_clone().unwrap()),
        }
    }
}

/// A connection from this address of the machine's.
pub(crate) fn tcp_from(own: Ipv4Addr, addr: SocketAddr) -> TcpStream {
    let socket = socket2::Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((own, 0)).into()).unwrap();
    socket.connect(&addr.into()).expect("the broker accepts");
    socket.into()
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(socket) => socket.as_fd(),
            Self::Tls(_) | Self::Web(_) => panic!("what is sent is to be encrypted, or framed"),
            Self::Unix(socket) => socket.as_fd(),
        }
    }
}

impl Read for Socket {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.read(into),
            Self::Tls(stream) => stream.get_mut().unwrap().read(into),
            Self::Unix(socket) => socket.read(into),
            Self::Web(socket) => socket.read(into),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.write(bytes),
            Self::Tls(stream) => stream.get_mut().unwrap().write(bytes),
            Self::Unix(socket) => socket.write(bytes),
            Self::Web(socket) => socket.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Tls(stream) => stream.get_mut().unwrap().flush(),
            Self::Web(socket) => socket.flush(),
            Self::Tcp(_) | Self::Unix(_) => Ok(()),
        }
    }
}
