//! One transaction: everything in it is kept, or nothing.

use std::path::Path;
use std::time::Duration;

use redb::{Database, WriteTransaction};

use crate::broker::core::{Change, SavedStream, SavedWill, SavedWindow, StreamChange};
use crate::wire::ids::StreamName;
use crate::wire::{Epoch, SessionName};

use super::error::StoreError;
use super::rows;
use super::tables::{META, POSITIONS, Rows, SESSIONS, STREAMS, WILLS, WINDOWS, word};

/// The longest row, in bytes. The database has its own limit not far above; limits of the broker are far below.
const LONGEST: usize = 1 << 30;

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

    /// Keeps what has become of a stream and its will. Everything is copied.
    ///
    /// # Errors
    /// As for all changes: then the transaction is over, and nothing of it is kept.
    pub fn change(&mut self, change: &Change) -> Result<(), StoreError> {
        let Change { name, stream, will } = change;
        match stream {
            StreamChange::Forgotten => self.forget(name)?,
            StreamChange::Moved { position, bytes } => self.put(POSITIONS, key(name), &rows::position(*position, *bytes))?,
            StreamChange::Stands(stream) => self.stream(name, stream)?,
        }
        match will {
            Some(will) => self.will(name, will),
            None => self.take_away(WILLS, key(name)),
        }
    }

    /// Keeps the messages that are kept of a stream.
    ///
    /// # Errors
    /// As for all changes.
    pub fn window(&mut self, window: &SavedWindow) -> Result<(), StoreError> {
        let SavedWindow { name, stream, runs } = window;
        if let Some(stream) = stream {
            self.stream(name, stream)?;
        }
        self.row.clear();
        let fits = runs.iter().all(|run| rows::write_run(run, &mut self.row) && self.row.len() <= LONGEST);
        // Without the row, nobody will say that nothing is missing.
        if fits { self.put_row(WINDOWS, key(name)) } else { self.take_away(WINDOWS, key(name)) }
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

    fn stream(&mut self, name: &StreamName, stream: &SavedStream) -> Result<(), StoreError> {
        self.row.clear();
        if !rows::write_stream(stream, &mut self.row) || self.row.len() > LONGEST {
            tracing::warn!(stream = %name, "its header and last message are too long to be kept");
            return self.forget(name);
        }
        self.put_row(STREAMS, key(name))?;
        self.put(POSITIONS, key(name), &rows::position(stream.position, stream.bytes))
    }

    fn will(&mut self, name: &StreamName, will: &SavedWill) -> Result<(), StoreError> {
        self.row.clear();
        if rows::write_will(will, &mut self.row) && self.row.len() <= LONGEST {
            return self.put_row(WILLS, key(name));
        }
        tracing::warn!(stream = %name, "its will is too long to be kept");
        self.take_away(WILLS, key(name))
    }

    fn forget(&mut self, name: &StreamName) -> Result<(), StoreError> {
        [STREAMS, POSITIONS, WINDOWS].into_iter().try_for_each(|table| self.take_away(table, key(name)))
    }

    fn put_row(&mut self, table: Rows, key: &[u8]) -> Result<(), StoreError> {
        let row = std::mem::take(&mut self.row);
        let outcome = self.put(table, key, &row);
        self.row = row;
        outcome
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

fn key(name: &StreamName) -> &[u8] {
    name.as_str().as_bytes()
}

fn over(path: &Path) -> StoreError {
    StoreError::of_system(path, std::io::Error::other("the transaction has failed before"))
}
