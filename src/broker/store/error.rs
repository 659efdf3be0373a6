//! What may be wrong with a store, and what helps.

use std::fmt::Display;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use redb::{CommitError, CompactionError, DatabaseError, StorageError, TableError, TransactionError};

use crate::wire::showable;

/// The store cannot be used. Each text says what helps.
///
/// ```
/// use msgstream::broker::{Server, Settings, StoreError, StoreSettings};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let server = Server::bind(&["127.0.0.1:0".parse()?], &Settings::default())?;
/// let refused = server.with_store(&StoreSettings::at("/there/is/no/such/directory/store.redb")).err().ok_or("it is there")?;
/// assert!(matches!(refused, StoreError::NoDirectory(_)) && refused.to_string().contains("mkdir"));
/// # Ok(()) }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another process has it.
    #[error("another process uses the store {}; two brokers cannot share one: give each a path of its own, or stop the other", shown(.0))]
    Held(PathBuf),
    /// There is no directory for it.
    #[error("there is no directory for the store {}; make it with mkdir, or choose another path", shown(.0))]
    NoDirectory(PathBuf),
    /// It is not there, and is not to be made.
    #[error("there is no store {}; if the path is right, no broker has run with it yet", shown(.0))]
    Missing(PathBuf),
    /// The file that was in use has gone, or another is in its place.
    #[error("the store {} has been moved or replaced while the broker ran; put it back, or restart the broker", shown(.0))]
    Replaced(PathBuf),
    /// The file or its directory belongs to somebody else.
    #[error("the store {} cannot be opened: {}; its user must be able to read and write the file and its directory", shown(.0), .1)]
    NotPermitted(PathBuf, io::Error),
    /// Nothing can be written there.
    #[error("the store {} is on a file system that cannot be written to; mount it writable, or choose another path", shown(.0))]
    ReadOnly(PathBuf),
    /// There is no room.
    #[error("there is no room for the store {}: {}; make room on that disk, and the store goes on by itself", shown(.0), .1)]
    Full(PathBuf, io::Error),
    /// The file is something else.
    #[error("{} is no store of msgstream; choose another path, the file is left as it is", shown(.0))]
    NotAStore(PathBuf),
    /// A later version has written it.
    #[error("the store {} was written by a newer msgstream; upgrade, or move the file away to begin anew", shown(.0))]
    Newer(PathBuf),
    /// It does not hold what was written.
    #[error(
        "the store {path} is damaged: {what}; check it with \"msgstream store check {path}\"; move the file away to begin anew; a copy \
         of it helps the developers",
        path = shown(path)
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Which table and stream, and what is wrong there.
        what: String,
    },
    /// The broker was running before.
    #[error("the store {} cannot be given to a broker that was running before: make the server by Server::bind", shown(.0))]
    Running(PathBuf),
    /// The system or the database failed in another way.
    #[error("the store {} failed: {}; it is tried again", shown(.0), .1)]
    Io(PathBuf, io::Error),
}

/// A path as a text may show it.
fn shown(path: &Path) -> String {
    showable(&path.display().to_string()).to_owned()
}

impl StoreError {
    /// What the system said of the file.
    pub(super) fn of_system(path: &Path, error: io::Error) -> Self {
        let path = path.to_owned();
        match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Self::Full(path, error),
            ErrorKind::PermissionDenied => Self::NotPermitted(path, error),
            ErrorKind::ReadOnlyFilesystem => Self::ReadOnly(path),
            ErrorKind::NotFound if path.parent().is_none_or(|parent| parent == Path::new("") || parent.is_dir()) => Self::Missing(path),
            ErrorKind::NotFound | ErrorKind::NotADirectory => Self::NoDirectory(path),
            // So the database says that a file is not its own.
            ErrorKind::InvalidData | ErrorKind::IsADirectory => Self::NotAStore(path),
            ErrorKind::UnexpectedEof => Self::damaged(&path, "the file ends too soon"),
            _ => Self::Io(path, error),
        }
    }

    /// What is wrong with the file itself.
    pub(super) fn damaged(path: &Path, what: impl Display) -> Self {
        Self::Damaged { path: path.to_owned(), what: what.to_string() }
    }

    /// What the database says when it is opened or checked.
    pub(super) fn of_opening(path: &Path, error: DatabaseError) -> Self {
        match error {
            DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => Self::Held(path.to_owned()),
            DatabaseError::UpgradeRequired(_) => Self::Newer(path.to_owned()),
            DatabaseError::Storage(error) => Self::of_storage(path, error),
            other => Self::other(path, other),
        }
    }

    /// What the database says of its pages.
    pub(super) fn of_storage(path: &Path, error: StorageError) -> Self {
        match error {
            StorageError::Io(error) => Self::of_system(path, error),
            StorageError::Corrupted(what) => Self::damaged(path, what),
            other => Self::other(path, other),
        }
    }

    /// What the database says of a table.
    pub(super) fn of_table(path: &Path, error: TableError) -> Self {
        match error {
            TableError::Storage(error) => Self::of_storage(path, error),
            other => Self::damaged(path, other),
        }
    }

    /// What the database says of a transaction.
    pub(super) fn of_transaction(path: &Path, error: TransactionError) -> Self {
        match error {
            TransactionError::Storage(error) => Self::of_storage(path, error),
            other => Self::other(path, other),
        }
    }

    /// What the database says of a commit.
    pub(super) fn of_commit(path: &Path, error: CommitError) -> Self {
        match error {
            CommitError::Storage(error) => Self::of_storage(path, error),
            other => Self::other(path, other),
        }
    }

    /// What the database says while it makes the file smaller.
    pub(super) fn of_compaction(path: &Path, error: CompactionError) -> Self {
        match error {
            CompactionError::Storage(error) => Self::of_storage(path, error),
            other => Self::other(path, other),
        }
    }

    fn other(path: &Path, error: impl Display) -> Self {
        Self::Io(path.to_owned(), io::Error::other(error.to_string()))
    }
}
