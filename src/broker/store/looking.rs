//! A store that no broker runs with: what is in it, and how to make it smaller.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::time::Duration;

use redb::Database;

use crate::broker::core::{Restored, SavedStream};

use super::aside::Aside;
use super::error::StoreError;
use super::opening::{Source, database, is_ours, open};
use super::reading::{self, Loaded};

/// A store that is only looked at: its file stays as it is. No broker can begin to run with it meanwhile.
#[derive(Debug)]
pub struct Look {
    path: PathBuf,
    database: Database,
    size: u64,
}

/// What is in a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Census {
    /// Streams with a header.
    pub running: usize,
    /// Streams that have ended.
    pub ended: usize,
    /// Streams without a header, of which messages are kept.
    pub waiting: usize,
    /// Ends that come if a publisher is lost.
    pub wills: usize,
    /// Sessions that may be gone on with.
    pub sessions: usize,
    /// Streams whose last messages are kept.
    pub windows: usize,
    /// How many messages those are.
    pub messages: u64,
}

impl Look {
    /// Opens a store. All of it is looked through.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be used.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let failed = |error| StoreError::of_system(path, error);
        let file = Aside::new(open(path, OpenOptions::new().read(true))?).map_err(failed)?;
        let size = redb::StorageBackend::len(&file).map_err(failed)?;
        // The database would make one of an empty file.
        let database = if size > 0 { database(path, file)? } else { return Err(StoreError::NotAStore(path.to_owned())) };
        match is_ours(path, &database)? {
            true => Ok(Self { path: path.to_owned(), database, size }),
            false => Err(StoreError::NotAStore(path.to_owned())),
        }
    }

    /// How long the file is, in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Its clock. `now` is the time since 1970.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    pub fn read_clock(&self, now: Duration) -> Result<Loaded, StoreError> {
        reading::clock(&self.path, &self.database, now)
    }

    /// Hands over everything, as [`Store::load`](super::Store::load) does.
    ///
    /// # Errors
    /// [`StoreError`] if something cannot be read.
    pub fn load(&self, each: &mut dyn FnMut(Restored)) -> Result<(), StoreError> {
        reading::load(&self.path, &self.database, each)
    }

    /// Reads everything, and counts.
    ///
    /// # Errors
    /// [`StoreError`] if something cannot be read.
    pub fn census(&self) -> Result<Census, StoreError> {
        let mut census = Census::default();
        self.load(&mut |restored| match restored {
            Restored::Session { .. } => census.sessions += 1,
            Restored::Will { .. } => census.wills += 1,
            Restored::Stream { stream, runs, .. } => {
                match stream {
                    SavedStream { ended: Some(_), .. } => census.ended += 1,
                    SavedStream { header: Some(_), .. } => census.running += 1,
                    SavedStream { .. } => census.waiting += 1,
                }
                census.windows += usize::from(runs.is_some());
                census.messages += runs.iter().flatten().map(|(frame, _)| u64::from(frame.messages())).sum::<u64>();
            }
        })?;
        Ok(census)
    }
}

/// Makes a store as small as it can be; its size before and after, in bytes.
///
/// # Errors
/// [`StoreError`] if it cannot be used, or not be written.
pub fn compact(path: &Path) -> Result<(u64, u64), StoreError> {
    let look = Look::open(path)?;
    let before = look.size;
    drop(look);
    let source = Source::existing(path);
    let mut database = source.open(Duration::ZERO)?;
    database.compact().map_err(|error| StoreError::of_compaction(path, error))?;
    database.close().map_err(|error| StoreError::of_opening(path, error))?;
    Ok((before, source.meter.size()))
}
