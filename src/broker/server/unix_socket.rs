//! A Unix socket's path: one broker at a time has it. It may take over the socket of a dead broker, never that of a live one.
//!
//! A lock file beside the socket decides who has the path. The socket alone cannot: of two brokers that start over a dead socket,
//! both see that it is dead.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::UnixListener;

use super::lock_file::LockFile;
use crate::broker::settings::UnixSettings;

/// The file of a Unix socket; removed with the listener, if it is still the one that was made.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    inode: u64,
    /// Given back when the socket's file has been removed.
    _lock: LockFile,
}

/// Makes the socket and listens on it. Never blocks.
///
/// Nobody can connect before the socket listens, so its mode is set in time.
pub(super) fn bind(path: &Path, settings: &UnixSettings, backlog: u32) -> io::Result<(UnixListener, SocketFile)> {
    // First, since it fails if the path is too long for a socket.
    let address = SockAddr::unix(path)?;
    let lock = LockFile::acquire(path)?;
    make_way(path, &address)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address)?;
    // Removes the socket if what follows fails.
    let file = SocketFile { path: path.to_owned(), inode: fs::symlink_metadata(path)?.ino(), _lock: lock };
    fs::set_permissions(path, fs::Permissions::from_mode(settings.mode))?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    Ok((UnixListener::from_std(socket.into())?, file))
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // A process that knows nothing of the lock may have put its own there since.
        if fs::symlink_metadata(&self.path).is_ok_and(|file| file.ino() == self.inode) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Removes a socket that nobody listens on. A live socket and any other file stay: the process that made it may not know of the
/// lock.
fn make_way(path: &Path, address: &SockAddr) -> io::Result<()> {
    let Ok(there) = fs::symlink_metadata(path) else { return Ok(()) };
    if !there.file_type().is_socket() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is a file of that name which is not a socket"));
    }
    let probe = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // A socket whose backlog is full would block this connection for ever.
    probe.set_nonblocking(true)?;
    match probe.connect(address) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
        // It has taken the connection, or would as soon as it has room.
        Ok(()) | Err(_) => Err(io::Error::new(io::ErrorKind::AddrInUse, "another process listens there")),
    }
}
