//! One transaction: everything in it is kept, or nothing.

use std::path::Path;
use std::time::Duration;

use redb::{Database, WriteTransaction};

use crate::broker::core::{Change, SavedWindow};
use crate::broker::rows;
use crate::wire::{Epoch, SessionName};

use super::changing::Tables;
use super::error::StoreError;

use super::tables::{META, Rows, SESSIONS, WINDOWS, word};

/// Changes that are kept once they are committed. What is dropped before that, or has failed, leaves the store as it was.
pub struct Transaction<'s> {
    path: &'s Path,
    /// Gone after a failure: it is good for nothing any more.
    database: &'s mut Option<Database>,
    /// Before the database is.
    work: Option<WriteTransaction>,
    /// For the row being written.
    row: Vec<u8>,
}

impl<'s> Transaction<'s> {
    pub(super) fn new(path: &'s Path, database: &'s mut Option<Database>) -> Result<Self, StoreError> {
        let begun = database.as_ref().map(Database::begin_write).transpose();
        match begun {
            Ok(work) => Ok(Self { path, database, work, row: Vec::new() }),
            Err(error) => {
                *database = None;
                Err(StoreError::of_transaction(path, error))
            }
        }
    }

    /// Keeps what has become of streams and their wills. Everything is copied.
    ///
    /// # Errors
    /// As for all changes: then the transaction is over, and nothing of it is kept.
    pub fn changes(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        self.with_tables(|tables| changes.iter().try_for_each(|change| tables.change(change)))
    }

    /// Keeps the messages that are kept of streams.
    ///
    /// # Errors
    /// As for all changes.
    pub fn windows(&mut self, windows: &[SavedWindow]) -> Result<(), StoreError> {
        self.with_tables(|tables| windows.iter().try_for_each(|window| tables.window(window)))
    }

    /// Keeps how many lines of a session were taken.
    ///
    /// # Errors
    /// As for all changes.
    pub fn session(&mut self, name: &SessionName, taken: u64) -> Result<(), StoreError> {
        self.put(SESSIONS, name.as_str().as_bytes(), &taken.to_le_bytes())
    }

    /// Keeps the time on the core's clock.
    ///
    /// # Errors
    /// As for all changes.
    pub fn clock(&mut self, clock: Duration) -> Result<(), StoreError> {
        self.put(META, word::CLOCK, &rows::milliseconds(clock).to_le_bytes())
    }

    /// Keeps the life of a broker that stops in good order: everything that it had is in the store. For the last transaction.
    ///
    /// # Errors
    /// As for all changes.
    pub fn life(&mut self, life: Epoch) -> Result<(), StoreError> {
        self.put(META, word::LIFE, &life.number().to_le_bytes())
    }

    /// Makes it last: once this returns, a crash of the program or of the machine takes nothing of it away.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be written. Most likely nothing of it is kept then; if the failure came at the very end, all of it.
    pub fn commit(mut self) -> Result<(), StoreError> {
        let Some(work) = self.work.take() else { return Err(over(self.path)) };
        work.commit().map_err(|error| {
            *self.database = None;
            StoreError::of_commit(self.path, error)
        })
    }

    /// From here on nothing can be vouched for.
    pub(super) fn begin_life(&mut self) -> Result<(), StoreError> {
        for table in [WINDOWS, SESSIONS] {
            let emptied = self.work().and_then(|(path, work)| {
                let failed = |error| StoreError::of_table(path, error);
                work.delete_table(table).map_err(failed)?;
                work.open_table(table).map(|_| ()).map_err(failed)
            });
            self.ending(emptied)?;
        }
        self.take_away(META, word::LIFE)
    }

    /// Opens the tables of streams once for many changes.
    fn with_tables(&mut self, work: impl FnOnce(&mut Tables<'_>) -> Result<(), StoreError>) -> Result<(), StoreError> {
        let mut row = std::mem::take(&mut self.row);
        let outcome = self.work().and_then(|(path, transaction)| work(&mut Tables::open(path, transaction, &mut row)?));
        self.row = row;
        self.ending(outcome)
    }

    fn put(&mut self, table: Rows, key: &[u8], row: &[u8]) -> Result<(), StoreError> {
        let outcome = self.work().and_then(|(path, work)| {
            let mut table = work.open_table(table).map_err(|error| StoreError::of_table(path, error))?;
            table.insert(key, row).map(|_| ()).map_err(|error| StoreError::of_storage(path, error))
        });
        self.ending(outcome)
    }

    fn take_away(&mut self, table: Rows, key: &[u8]) -> Result<(), StoreError> {
        let outcome = self.work().and_then(|(path, work)| {
            let mut table = work.open_table(table).map_err(|error| StoreError::of_table(path, error))?;
            table.remove(key).map(|_| ()).map_err(|error| StoreError::of_storage(path, error))
        });
        self.ending(outcome)
    }

    fn work(&self) -> Result<(&Path, &WriteTransaction), StoreError> {
        self.work.as_ref().map(|work| (self.path, work)).ok_or_else(|| over(self.path))
    }

    /// After a failure the database refuses everything, until it is opened anew.
    fn ending(&mut self, outcome: Result<(), StoreError>) -> Result<(), StoreError> {
        if outcome.is_err() {
            self.work = None;
            *self.database = None;
        }
        outcome
    }
}

impl std::fmt::Debug for Transaction<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transaction").field("path", &self.path).finish_non_exhaustive()
    }
}

fn over(path: &Path) -> StoreError {
    StoreError::of_system(path, std::io::Error::other("the transaction has failed before"))
}
