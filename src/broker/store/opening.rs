//! How a file is made, opened, and opened anew.
//!
//! Each time, the whole file is looked through before anything in it is believed: its checksums tell whether it holds what was written.
//! All of it is read at that time anyway.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use redb::backends::FileBackend;
use redb::{Builder, Database, ReadableDatabase, StorageBackend, TableHandle};
use rustix::fs::{CWD, OFlags, RenameFlags, renameat_with};
use rustix::io::Errno;

use crate::broker::rows;

use super::error::StoreError;
use super::meter::{Meter, Metered};

use super::tables::{ALL, FORMAT, META, word};

/// Memory for pages, in bytes: what is written is seldom read again, so that there is little use in more.
const CACHE: usize = 16 << 20;

/// Where the database comes from each time that it is opened.
pub(super) struct Source {
    /// For errors.
    pub(super) path: PathBuf,
    pub(super) meter: Arc<Meter>,
    again: Box<dyn Fn() -> Result<Box<dyn StorageBackend>, StoreError> + Send + Sync>,
}

impl Source {
    /// A file. It is made if it is not there.
    pub(super) fn file(path: &Path, now: Duration) -> Result<Self, StoreError> {
        match fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => make(path, now)?,
            Err(error) => return Err(StoreError::of_system(path, error)),
            Ok(_) => {}
        }
        Ok(Self::existing(path))
    }

    /// A file that is there.
    pub(super) fn existing(path: &Path) -> Self {
        let place = path.to_owned();
        let again = move || open(&place, OpenOptions::new().read(true).write(true)).map(|file| Box::new(file) as Box<dyn StorageBackend>);
        Self { path: path.to_owned(), meter: Arc::default(), again: Box::new(again) }
    }

    /// Any other place.
    pub(super) fn backend(backend: impl StorageBackend + Clone) -> Self {
        let again = move || Ok(Box::new(backend.clone()) as Box<dyn StorageBackend>);
        Self { path: PathBuf::from("(a store without a path)"), meter: Arc::default(), again: Box::new(again) }
    }

    /// Opens it. An empty one is made a store whose clock begins now.
    pub(super) fn open(&self, now: Duration) -> Result<Database, StoreError> {
        let backend = Metered::new((self.again)()?, Arc::clone(&self.meter));
        let database = database(&self.path, backend)?;
        if !is_ours(&self.path, &database)? {
            begin(&self.path, &database, now)?;
        }
        Ok(database)
    }

    /// Opens it again, after a failure. What was there then must be there now.
    pub(super) fn reopen(&self, began: Duration) -> Result<Database, StoreError> {
        let replaced = || StoreError::Replaced(self.path.clone());
        let backend = (self.again)().map_err(|error| if matches!(error, StoreError::Missing(_)) { replaced() } else { error })?;
        if backend.len().map_err(|error| StoreError::of_system(&self.path, error))? == 0 {
            return Err(replaced());
        }
        let database = database(&self.path, Metered::new(backend, Arc::clone(&self.meter)))?;
        let is_same = is_ours(&self.path, &database)? && meta(&self.path, &database, word::BEGAN)? == Some(rows::milliseconds(began));
        if is_same { Ok(database) } else { Err(replaced()) }
    }
}

/// Opens a database and looks through all of it.
pub(super) fn database(path: &Path, backend: impl StorageBackend) -> Result<Database, StoreError> {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE).set_check_integrity_on_open(true);
    builder.create_with_backend(backend).map_err(|error| StoreError::of_opening(path, error))
}

/// Opens a file that is there. Never waits, whatever it is.
pub(super) fn open(path: &Path, how: &mut OpenOptions) -> Result<FileBackend, StoreError> {
    // To open a pipe could block for ever.
    let file = how.custom_flags(OFlags::NONBLOCK.bits() as i32).open(path).map_err(|error| StoreError::of_system(path, error))?;
    if !file.metadata().map_err(|error| StoreError::of_system(path, error))?.is_file() {
        return Err(StoreError::NotAStore(path.to_owned()));
    }
    FileBackend::new(file).map_err(|error| StoreError::of_opening(path, error))
}

/// Whether there are tables of ours, in the format that is read here; false if there are no tables at all.
pub(super) fn is_ours(path: &Path, database: &Database) -> Result<bool, StoreError> {
    let reading = database.begin_read().map_err(|error| StoreError::of_transaction(path, error))?;
    let tables: Vec<_> = reading.list_tables().map_err(|error| StoreError::of_storage(path, error))?.collect();
    if tables.is_empty() {
        return Ok(false);
    }
    if !tables.iter().any(|table| table.name() == META.name()) {
        return Err(StoreError::NotAStore(path.to_owned()));
    }
    match meta(path, database, word::FORMAT)? {
        Some(FORMAT) => Ok(true),
        Some(newer) if newer > FORMAT => Err(StoreError::Newer(path.to_owned())),
        Some(_) | None => Err(StoreError::NotAStore(path.to_owned())),
    }
}

/// A row of the table `meta`.
pub(super) fn meta(path: &Path, database: &Database, word: &[u8]) -> Result<Option<u64>, StoreError> {
    let reading = database.begin_read().map_err(|error| StoreError::of_transaction(path, error))?;
    let table = reading.open_table(META).map_err(|error| StoreError::of_table(path, error))?;
    let row = table.get(word).map_err(|error| StoreError::of_storage(path, error))?;
    let number = row.map(|row| rows::number(row.value())).transpose();
    number.map_err(|fault| StoreError::damaged(path, format_args!("table meta, {:?}: {fault}", String::from_utf8_lossy(word))))
}

/// Makes the tables.
fn begin(path: &Path, database: &Database, now: Duration) -> Result<(), StoreError> {
    let writing = database.begin_write().map_err(|error| StoreError::of_transaction(path, error))?;
    for table in ALL {
        let mut table = writing.open_table(table).map_err(|error| StoreError::of_table(path, error))?;
        if table.name() == META.name() {
            for (word, number) in [(word::FORMAT, FORMAT), (word::BEGAN, rows::milliseconds(now)), (word::CLOCK, 0)] {
                table.insert(word, &number.to_le_bytes()[..]).map_err(|error| StoreError::of_storage(path, error))?;
            }
        }
    }
    writing.commit().map_err(|error| StoreError::of_commit(path, error))
}

/// Makes a new file beside its place, and moves it there once it is whole: a crash leaves no half of one.
fn make(path: &Path, now: Duration) -> Result<(), StoreError> {
    let failed = |error| StoreError::of_system(path, error);
    let mut name = OsString::from(path);
    name.push(format!(".{}.new", std::process::id()));
    let beside = PathBuf::from(name);
    // An earlier process of this number may have left it.
    let _ = fs::remove_file(&beside);
    // What goes wrong is said of the store: nobody has chosen the name beside it.
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&beside).map_err(failed);
    let made = file.and_then(|file| {
        let file = FileBackend::new(file).map_err(|error| StoreError::of_opening(path, error))?;
        let database = database(path, file)?;
        begin(path, &database, now)?;
        database.close().map_err(|error| StoreError::of_opening(path, error))?;
        move_to(&beside, path).map_err(failed)
    });
    if made.is_err() {
        let _ = fs::remove_file(&beside);
    }
    made.map_err(|error| if matches!(error, StoreError::Missing(_)) { StoreError::NoDirectory(path.to_owned()) } else { error })?;
    let folder = path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}

/// Another process may have made one meanwhile: that one stays.
fn move_to(beside: &Path, path: &Path) -> io::Result<()> {
    match renameat_with(CWD, beside, CWD, path, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(()),
        Err(Errno::EXIST) => fs::remove_file(beside),
        // Some file systems know nothing of that.
        Err(Errno::INVAL | Errno::NOSYS) => fs::rename(beside, path),
        Err(error) => Err(error.into()),
    }
}
