//! Listening sockets: bound with care, accepted from for ever.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use crate::broker::settings::{TcpSettings, UnixSettings};
use crate::wire::Address;

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
    /// What the system said.
    pub error: io::Error,
    cure: &'static str,
}

/// A socket that connections come from.
pub(super) enum Listener {
    Tcp(TcpListener, TcpSettings),
    Unix(UnixListener, SocketFile),
}

/// A connection that was accepted.
pub(super) enum Accepted {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// The file of a Unix socket; removed with the listener, if it is still the one that was made.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    inode: u64,
}

impl Listener {
    /// Listens on one address of `all`.
    pub(super) fn bind(address: &Address, all: &[Address], tcp: &TcpSettings, unix: &UnixSettings) -> Result<Self, BindError> {
        let bound = match address {
            Address::Tcp(socket) => bind_tcp(*socket, all, tcp).map(|listener| Self::Tcp(listener, tcp.clone())),
            Address::Unix(path) => bind_unix(path, unix, tcp.backlog).map(|(listener, file)| Self::Unix(listener, file)),
        };
        bound.map_err(|error| BindError { address: address.clone(), cure: cure(&error), error })
    }

    /// The address in use: with the port that the system chose, if it was to choose.
    pub(super) fn address(&self) -> io::Result<Address> {
        match self {
            Self::Tcp(listener, _) => listener.local_addr().map(Address::Tcp),
            Self::Unix(_, file) => Ok(Address::Unix(file.path.clone())),
        }
    }

    /// Waits for a connection. One that cannot be set up is an error like any other, and is dropped.
    pub(super) async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Self::Tcp(listener, settings) => {
                let (socket, _) = listener.accept().await?;
                set_up(&socket, settings)?;
                Ok(Accepted::Tcp(socket))
            }
            Self::Unix(listener, _) => Ok(Accepted::Unix(listener.accept().await?.0)),
        }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Another broker may have put its own there since.
        if fs::symlink_metadata(&self.path).is_ok_and(|file| file.ino() == self.inode) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn bind_tcp(address: SocketAddr, all: &[Address], settings: &TcpSettings) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // `[::]` takes IPv4 too, unless somebody asked for that by itself.
    let beside_ipv4 = |other: &Address| matches!(other, Address::Tcp(other) if other.is_ipv4() && other.port() == address.port());
    if address.is_ipv6() && address.port() != 0 && all.iter().any(beside_ipv4) {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    // Inherited by what is accepted; it must stand before the handshake to count for the window.
    if settings.send_buffer.0 > 0 {
        socket.set_send_buffer_size(settings.send_buffer.0)?;
    }
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(settings.backlog).unwrap_or(i32::MAX))?;
    TcpListener::from_std(socket.into())
}

fn set_up(socket: &TcpStream, settings: &TcpSettings) -> io::Result<()> {
    let socket = SockRef::from(socket);
    socket.set_tcp_nodelay(settings.no_delay)?;
    let keepalive = TcpKeepalive::new()
        .with_time(settings.keepalive_time.0)
        .with_interval(settings.keepalive_interval.0)
        .with_retries(settings.keepalive_retries);
    socket.set_tcp_keepalive(&keepalive)?;
    // The system takes milliseconds in a C int: 24 days are as good as for ever.
    socket.set_tcp_user_timeout(Some(settings.user_timeout.0.min(Duration::from_millis(i32::MAX as u64))))
}

/// Binds beside the path and moves the finished socket there: so nobody can connect before its mode is set, and a file
/// left behind by a broker that was killed is replaced in one step.
fn bind_unix(path: &Path, settings: &UnixSettings, backlog: u32) -> io::Result<(UnixListener, SocketFile)> {
    make_way(path)?;
    // As short as can be, since a socket's path is limited.
    let beside = path.with_file_name(format!(".{}", std::process::id()));
    let _ = fs::remove_file(&beside);
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::unix(&beside)?)?;
    let placed = fs::set_permissions(&beside, fs::Permissions::from_mode(settings.mode))
        .and_then(|()| socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX)))
        .and_then(|()| fs::rename(&beside, path));
    if let Err(error) = placed {
        let _ = fs::remove_file(&beside);
        return Err(error);
    }
    let file = SocketFile { path: path.to_owned(), inode: fs::symlink_metadata(path)?.ino() };
    Ok((UnixListener::from_std(socket.into())?, file))
}

/// A socket file that nobody listens on may be replaced; a living one and any other file may not.
fn make_way(path: &Path) -> io::Result<()> {
    let Ok(there) = fs::symlink_metadata(path) else { return Ok(()) };
    if !there.file_type().is_socket() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is a file of that name which is not a socket"));
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => Err(io::Error::new(io::ErrorKind::AddrInUse, "another process listens there")),
        Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound) => Ok(()),
        // Not known to be dead, such as a datagram socket: it is somebody's.
        Err(error) => Err(error),
    }
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
