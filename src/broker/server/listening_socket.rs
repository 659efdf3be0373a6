//! Listening sockets: how they are bound and set up, and how connections are accepted.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net;
use std::path::PathBuf;
use std::time::Duration;

use rustix::net::{SocketFlags, accept_with};
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::{UnixListener, UnixStream};

use crate::broker::connection::{TcpTransport, register};

use crate::broker::settings::{TcpSettings, UnixSettings};
use crate::wire::Address;

use super::unix_socket::{self, SocketFile};

/// An address that could not be listened on.
///
/// ```
/// use msgstream::broker::{Server, Settings};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let first = Server::bind(&["127.0.0.1:0".parse()?], &Settings::default())?;
/// let taken = first.addresses()[0].clone();
/// let error = Server::bind(&[taken.clone().into()], &Settings::default()).err().ok_or("two brokers on one port")?;
/// assert_eq!(error.address, taken);
/// assert_eq!(error.error.kind(), std::io::ErrorKind::AddrInUse);
/// # Ok(()) }
/// ```
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {error}{cure}")]
pub struct BindError {
    /// The address.
    pub address: Address,
    /// What the system said; or, of kind [`io::ErrorKind::InvalidInput`], what is wrong with the files of `[tls]`.
    pub error: io::Error,
    cure: &'static str,
}

impl BindError {
    pub(super) fn new(address: Address, error: io::Error) -> Self {
        // What the broker refuses itself says what would be right.
        Self { address, cure: if error.raw_os_error().is_some() { cure(&error) } else { "" }, error }
    }
}

/// A socket that connections come from.
pub(super) enum ListeningSocket {
    Tcp(AsyncFd<TcpListener>, TcpSettings),
    #[cfg(feature = "tls")]
    Tls(AsyncFd<TcpListener>, TcpSettings),
    Unix {
        listener: UnixListener,
        path: PathBuf,
        /// Ours, and removed with the listener, unless the socket was handed in.
        _file: Option<SocketFile>,
    },
}

/// A connection that was accepted.
pub(super) enum Accepted {
    Tcp(TcpTransport),
    /// Before its handshake.
    #[cfg(feature = "tls")]
    Tls(TcpTransport),
    Unix(UnixStream),
}

impl ListeningSocket {
    /// Listens on one address of `all`.
    pub(super) fn bind(address: &Address, all: &[Address], tcp: &TcpSettings, unix: &UnixSettings) -> Result<Self, BindError> {
        let bound = match address {
            Address::Tcp(socket) => bind_tcp(*socket, all, tcp).map(|listener| Self::Tcp(listener, tcp.clone())),
            #[cfg(feature = "tls")]
            Address::Tls(socket) => bind_tcp(*socket, all, tcp).map(|listener| Self::Tls(listener, tcp.clone())),
            #[cfg(not(feature = "tls"))]
            Address::Tls(_) => Err(without_tls()),
            Address::Unix(path) => {
                let bound = unix_socket::bind(path, unix, tcp.backlog);
                bound.map(|(listener, file)| Self::Unix { listener, path: path.clone(), _file: Some(file) })
            }
        };
        bound.map_err(|error| BindError { address: address.clone(), cure: cure(&error), error })
    }

    /// Takes a socket that listens on this address already.
    pub(super) fn adopt(address: &Address, socket: OwnedFd, tcp: &TcpSettings) -> Result<Self, BindError> {
        let adopted = match address {
            Address::Tcp(_) => adopt_tcp(socket.into(), tcp).map(|listener| Self::Tcp(listener, tcp.clone())),
            #[cfg(feature = "tls")]
            Address::Tls(_) => adopt_tcp(socket.into(), tcp).map(|listener| Self::Tls(listener, tcp.clone())),
            #[cfg(not(feature = "tls"))]
            Address::Tls(_) => Err(without_tls()),
            Address::Unix(path) => adopt_unix(socket.into()).map(|listener| Self::Unix { listener, path: path.clone(), _file: None }),
        };
        adopted.map_err(|error| BindError { address: address.clone(), cure: "", error })
    }

    /// The address in use: with the port that the system chose, if it was to choose.
    pub(super) fn address(&self) -> io::Result<Address> {
        match self {
            Self::Tcp(listener, _) => listener.get_ref().local_addr().map(Address::Tcp),
            #[cfg(feature = "tls")]
            Self::Tls(listener, _) => listener.get_ref().local_addr().map(Address::Tls),
            Self::Unix { path, .. } => Ok(Address::Unix(path.clone())),
        }
    }

    /// Waits for a connection. One that cannot be set up is an error like any other, and is dropped.
    pub(super) async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Self::Tcp(listener, settings) => accept_tcp(listener, settings).await.map(Accepted::Tcp),
            #[cfg(feature = "tls")]
            Self::Tls(listener, settings) => accept_tcp(listener, settings).await.map(Accepted::Tls),
            Self::Unix { listener, .. } => {
                let (socket, _) = listener.accept().await?;
                // As over TCP, a byte that was sent as urgent is part of the stream.
                SockRef::from(&socket).set_out_of_band_inline(true)?;
                Ok(Accepted::Unix(socket))
            }
        }
    }
}

#[cfg(not(feature = "tls"))]
fn without_tls() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "this program was built without TLS (the feature \"tls\")")
}

fn bind_tcp(address: SocketAddr, all: &[Address], settings: &TcpSettings) -> io::Result<AsyncFd<TcpListener>> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // `[::]` takes IPv4 too, unless an IPv4 address with the same port was asked for.
    let beside_ipv4 = |other: &Address| other.socket().is_some_and(|other| other.is_ipv4() && other.port() == address.port());
    if address.is_ipv6() && address.port() != 0 && all.iter().any(beside_ipv4) {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    set_up_listening(SockRef::from(&socket), settings)?;
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(settings.backlog).unwrap_or(i32::MAX))?;
    register(socket.into(), Interest::READABLE)
}

fn adopt_tcp(listener: TcpListener, settings: &TcpSettings) -> io::Result<AsyncFd<TcpListener>> {
    set_up_listening(SockRef::from(&listener), settings)?;
    register(listener, Interest::READABLE)
}

fn adopt_unix(listener: net::UnixListener) -> io::Result<UnixListener> {
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener)
}

fn set_up_listening(socket: SockRef<'_>, settings: &TcpSettings) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    // Both are inherited by what is accepted. A byte that was sent as urgent is part of the stream, where the sender put it; the
    // kernel would take it out.
    socket.set_out_of_band_inline(true)?;
    // It must stand before the handshake to count for the window.
    if settings.send_buffer.0 > 0 {
        socket.set_send_buffer_size(settings.send_buffer.0)?;
    }
    Ok(())
}

async fn accept_tcp(listener: &AsyncFd<TcpListener>, settings: &TcpSettings) -> io::Result<TcpTransport> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = listener.async_io(Interest::READABLE, |listener| Ok(accept_with(listener, flags)?)).await?;
    let socket = TcpStream::from(socket);
    set_up(&socket, settings)?;
    TcpTransport::new(socket)
}

fn set_up(socket: &TcpStream, settings: &TcpSettings) -> io::Result<()> {
    let socket = SockRef::from(socket);
    socket.set_tcp_nodelay(settings.no_delay)?;
    let keepalive = TcpKeepalive::new()
        .with_time(settings.keepalive_time.0)
        .with_interval(settings.keepalive_interval.0)
        .with_retries(settings.keepalive_retries);
    socket.set_tcp_keepalive(&keepalive)?;
    // The system takes milliseconds in a C int, 24 days at most, which is as good as no limit.
    socket.set_tcp_user_timeout(Some(settings.user_timeout.0.min(Duration::from_millis(i32::MAX as u64))))
}

fn cure(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "; stop the process that has it, or choose another with --listen",
        io::ErrorKind::AddrNotAvailable => "; this machine has no such address, try 0.0.0.0 or [::] for all that it has",
        io::ErrorKind::PermissionDenied => "; choose a port from 1024 or a folder that this user may write to",
        io::ErrorKind::NotFound => "; make the folder first",
        _ => "",
    }
}
