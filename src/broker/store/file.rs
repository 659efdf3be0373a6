//! The store of a broker that runs.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use redb::{Database, StorageBackend};

use crate::broker::core::Restored;

use super::error::StoreError;
use super::meter::Meter;
use super::opening::{Source, meta};
use super::reading::{self, Loaded};
use super::tables::word;
use super::writing::Transaction;

/// The file of a broker. Nobody else can open it meanwhile.
///
/// After a failure, such as a full disk, it is opened anew with the next transaction, as often as necessary.
pub struct Store {
    source: Source,
    /// None after a failure.
    database: Option<Database>,
    /// When its clock began: no other store has the same.
    began: Duration,
}

impl Store {
    /// Opens a store, and makes it if there is none: the directory must be there. Then all of it is looked through.
    ///
    /// # Errors
    /// [`StoreError`] says what is wrong, and what helps.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self::of(Source::file(path, now)?, now)
    }

    /// A store that is no file, for tests and simulations. All clones of the backend are the same place. `now` is the time since 1970.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn with_backend(backend: impl StorageBackend + Clone, now: Duration) -> Result<Self, StoreError> {
        Self::of(Source::backend(backend), now)
    }

    fn of(source: Source, now: Duration) -> Result<Self, StoreError> {
        let database = source.open(now)?;
        let began = meta(&source.path, &database, word::BEGAN)?.unwrap_or_default();
        Ok(Self { source, database: Some(database), began: Duration::from_millis(began) })
    }

    /// What is to be known before anything is taken in. `now` is the time since 1970.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    pub fn read_clock(&mut self, now: Duration) -> Result<Loaded, StoreError> {
        let (path, database) = self.opened()?;
        reading::clock(path, database, now)
    }

    /// Hands over everything: the streams, then the wills, then the sessions. The runs of a stream are `Some` if its window was kept,
    /// even if that is empty.
    ///
    /// # Errors
    /// [`StoreError`] if something cannot be read. What was handed over until then is to be thrown away.
    pub fn load(&mut self, each: &mut dyn FnMut(Restored)) -> Result<(), StoreError> {
        let (path, database) = self.opened()?;
        reading::load(path, database, each)
    }

    /// A broker begins to run with it: windows and sessions go, and the life that stopped is forgotten. Until this one stops in good order,
    /// nothing can be vouched for. Once this returns, a crash does not undo it.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be written. Then a broker must not run with it.
    pub fn begin_life(&mut self) -> Result<(), StoreError> {
        let mut work = self.begin()?;
        work.begin_life()?;
        work.commit()
    }

    /// Begins a transaction. If the last one has failed, the file is opened anew first.
    ///
    /// # Errors
    /// [`StoreError`] if that is not possible yet.
    pub fn begin(&mut self) -> Result<Transaction<'_>, StoreError> {
        self.opened()?;
        Transaction::new(&self.source.path, &mut self.database)
    }

    /// What it takes and costs.
    pub fn meter(&self) -> Arc<Meter> {
        Arc::clone(&self.source.meter)
    }

    /// Closes the file. Nothing is lost if it is not closed.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be marked as closed.
    pub fn close(mut self) -> Result<(), StoreError> {
        let closed = self.database.take().map(Database::close).transpose();
        closed.map(|_| ()).map_err(|error| StoreError::of_opening(&self.source.path, error))
    }

    fn opened(&mut self) -> Result<(&Path, &Database), StoreError> {
        let database = match self.database.take() {
            Some(database) => database,
            None => self.source.reopen(self.began)?,
        };
        Ok((&self.source.path, self.database.insert(database)))
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("path", &self.source.path).finish_non_exhaustive()
    }
}
