//! A file that one process at a time may hold.
//!
//! The lock is the kernel's, on the open file, so it ends with the process that holds it, however that dies. An empty file that
//! nobody holds is left behind, which the next process takes.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, OFlags, flock, open};
use rustix::io::Errno;

/// The right to the path beside the file, for as long as this value lives.
#[derive(Debug)]
pub(super) struct LockFile {
    path: PathBuf,
    file: File,
}

impl LockFile {
    /// Takes the lock `PATH.lock` for `path`, or says that another has it. Never waits.
    pub(super) fn acquire(path: &Path) -> io::Result<Self> {
        let mut name = OsString::from(path);
        name.push(".lock");
        let path = PathBuf::from(name);
        loop {
            let file = open_file(&path)?;
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(Errno::WOULDBLOCK) => return Err(held(&path)),
                Err(error) => return Err(with_path(error, "cannot lock", &path)),
            }
            // Its last holder may have removed it after it was opened here. Then this is the lock of a file that nobody else
            // will find.
            if stands_at(&file, &path) {
                return Ok(Self { path, file });
            }
        }
    }
}

impl Drop for LockFile {
    fn drop(&mut self) {
        // While it is still held: another process that has it open checks again once it has the lock.
        if stands_at(&self.file, &self.path) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Opens the file, and creates it if it is missing. Only its owner may open it, or every user could keep the broker from starting.
fn open_file(path: &Path) -> io::Result<File> {
    // In a folder that others can write to, a link could lead anywhere, and opening a pipe could block for ever.
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = open(path, flags, Mode::RUSR | Mode::WUSR).map(File::from);
    let file = file.map_err(|error| match error {
        Errno::LOOP | Errno::ISDIR | Errno::NXIO => not_a_lock(path),
        Errno::ACCESS if fs::symlink_metadata(path).is_ok() => another_users(path),
        error => with_path(error, "cannot open the lock file", path),
    })?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(not_a_lock(path)) }
}

fn stands_at(file: &File, path: &Path) -> bool {
    let (Ok(held), Ok(there)) = (file.metadata(), fs::symlink_metadata(path)) else { return false };
    (held.dev(), held.ino()) == (there.dev(), there.ino())
}

fn held(path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::AddrInUse, format!("another broker listens there and holds {}", path.display()))
}

fn not_a_lock(path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::AlreadyExists, format!("{} is not a lock file; remove it or choose another path", path.display()))
}

/// Not `PermissionDenied`: for that the caller would suggest another folder.
fn another_users(path: &Path) -> io::Error {
    let reason = format!("the lock file {} belongs to another user; remove it if no broker of theirs listens there", path.display());
    io::Error::new(io::ErrorKind::AlreadyExists, reason)
}

/// The same kind of error, which is what the cure follows from.
fn with_path(error: Errno, what: &str, path: &Path) -> io::Error {
    let error = io::Error::from(error);
    io::Error::new(error.kind(), format!("{what} {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::sync::Barrier;
    use std::thread;

    use rustix::fs::{CWD, FileType, mknodat};

    use super::*;

    /// A folder of the test's own, gone with it.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("msgstream-lock-{name}-{}", std::process::id()));
            fs::create_dir(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn one_holds_it_and_leaves_nothing_behind() {
        let folder = Folder::new("one");
        let (path, file) = (folder.0.join("socket"), folder.0.join("socket.lock"));
        let lock = LockFile::acquire(&path).unwrap();
        let error = LockFile::acquire(&path).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        assert!(file.exists(), "who was refused must not take it away");
        drop(lock);
        assert!(!file.exists());
        // What a process that was killed leaves behind.
        fs::write(&file, "").unwrap();
        LockFile::acquire(&path).unwrap();
    }

    // Seen to fail: without the second look at the path.
    #[test]
    fn it_has_one_holder_even_while_it_is_given_up() {
        const ROUNDS: usize = 2_000;
        let folder = Folder::new("race");
        let (path, marker) = (folder.0.join("socket"), folder.0.join("held"));
        let start = Barrier::new(4);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    start.wait();
                    for _ in 0..ROUNDS {
                        let Ok(lock) = LockFile::acquire(&path) else { continue };
                        File::create_new(&marker).expect("nobody else holds it");
                        fs::remove_file(&marker).unwrap();
                        drop(lock);
                    }
                });
            }
        });
    }

    // Seen to fail: the link followed; the pipe taken for a lock.
    #[test]
    fn what_is_not_a_file_is_refused_and_stays() {
        let folder = Folder::new("other");
        let (path, file) = (folder.0.join("socket"), folder.0.join("socket.lock"));
        let refused = || {
            assert_eq!(LockFile::acquire(&path).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
            fs::symlink_metadata(&file).expect("it is still there");
        };
        symlink(folder.0.join("elsewhere"), &file).unwrap();
        refused();
        assert!(!folder.0.join("elsewhere").exists());
        fs::remove_file(&file).unwrap();
        mknodat(CWD, &file, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        refused();
        fs::remove_file(&file).unwrap();
        fs::create_dir(&file).unwrap();
        refused();
    }
}
