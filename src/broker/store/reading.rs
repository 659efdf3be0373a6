//! Reads all that a store holds, and checks it.

use std::cmp::Ordering;
use std::path::Path;
use std::time::Duration;

use redb::{AccessGuard, Database, Range, ReadOnlyTable, ReadTransaction, ReadableDatabase, TableHandle};

use crate::broker::core::Restored;
use crate::wire::Epoch;

use crate::broker::rows::{self, Fault};

use super::error::StoreError;
use super::opening::meta;

use super::tables::{POSITIONS, Rows, SESSIONS, STREAMS, WILLS, WINDOWS, word};

/// What a broker has to know of a store before it takes in what that holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loaded {
    /// The time on the clock that the core goes on with. It never goes back.
    pub clock: Duration,
    /// How long after 1970 that clock began.
    pub began: Duration,
    /// The life of the broker that stopped in good order and left all it had. None after a crash, and in a new store.
    pub life: Option<Epoch>,
}

/// Reads the clock. `now` is the time since 1970.
pub(super) fn clock(path: &Path, database: &Database, now: Duration) -> Result<Loaded, StoreError> {
    let missing = |word: &str| StoreError::damaged(path, format_args!("table meta, {word:?} is missing"));
    let began = Duration::from_millis(meta(path, database, word::BEGAN)?.ok_or_else(|| missing("began_ms"))?);
    let last = Duration::from_millis(meta(path, database, word::CLOCK)?.ok_or_else(|| missing("clock_ms"))?);
    let life = meta(path, database, word::LIFE)?.map(rows::epoch).transpose();
    let life = life.map_err(|fault| StoreError::damaged(path, format_args!("table meta, \"life\": {fault}")))?;
    Ok(Loaded { clock: now.saturating_sub(began).max(last), began, life })
}

/// Hands over everything: the streams, then the wills, then the sessions. Those whose clients do not come back are lost in the order in
/// which they were handed over: by the streams of their wills, and not by names that were made at random.
pub(super) fn load(path: &Path, database: &Database, each: &mut dyn FnMut(Restored)) -> Result<(), StoreError> {
    let reading = database.begin_read().map_err(|error| StoreError::of_transaction(path, error))?;
    streams(path, &reading, each)?;
    let mut wills = Table::new(path, &reading, WILLS)?;
    while let Some((key, row)) = wills.next()? {
        let name = rows::stream_name(key.value()).map_err(|fault| wills.damaged(key.value(), fault))?;
        let will = rows::read_will(row.value()).map_err(|fault| wills.damaged(key.value(), fault))?;
        each(Restored::Will { name, will });
    }
    let mut sessions = Table::new(path, &reading, SESSIONS)?;
    while let Some((key, row)) = sessions.next()? {
        let name = rows::session_name(key.value()).map_err(|fault| sessions.damaged_secret(fault))?;
        let taken = rows::number(row.value()).map_err(|fault| sessions.damaged_secret(fault))?;
        each(Restored::Session { name, taken });
    }
    Ok(())
}

/// Three tables, all in the order of names.
fn streams(path: &Path, reading: &ReadTransaction, each: &mut dyn FnMut(Restored)) -> Result<(), StoreError> {
    let mut streams = Table::new(path, reading, STREAMS)?;
    let mut positions = Table::new(path, reading, POSITIONS)?;
    let mut windows = Table::new(path, reading, WINDOWS)?;
    while let Some((key, row)) = streams.next()? {
        let key = key.value();
        let name = rows::stream_name(key).map_err(|fault| streams.damaged(key, fault))?;
        let position = positions.of(key)?.ok_or_else(|| positions.damaged(key, "it is missing"))?;
        let position = rows::read_position(position.value()).map_err(|fault| positions.damaged(key, fault))?;
        let stream = rows::read_stream(row.value(), position).map_err(|fault| streams.damaged(key, fault))?;
        let runs = windows.of(key)?.map(|row| rows::read_window(row.value())).transpose();
        each(Restored::Stream { name, stream, runs: runs.map_err(|fault| windows.damaged(key, fault))? });
    }
    positions.at_end()?;
    windows.at_end()
}

type Bytes<'t> = AccessGuard<'t, &'static [u8]>;

/// The rows of a table that have not been read.
struct Table<'p> {
    path: &'p Path,
    name: String,
    rows: Range<'static, &'static [u8], &'static [u8]>,
    /// Read, but not asked for yet.
    ahead: Option<(Bytes<'static>, Bytes<'static>)>,
}

impl<'p> Table<'p> {
    fn new(path: &'p Path, reading: &ReadTransaction, table: Rows) -> Result<Self, StoreError> {
        let open: ReadOnlyTable<_, _> = reading.open_table(table).map_err(|error| StoreError::of_table(path, error))?;
        let rows = open.range::<&[u8]>(..).map_err(|error| StoreError::of_storage(path, error))?;
        Ok(Self { path, name: table.name().to_owned(), rows, ahead: None })
    }

    fn next(&mut self) -> Result<Option<(Bytes<'static>, Bytes<'static>)>, StoreError> {
        if let Some(ahead) = self.ahead.take() {
            return Ok(Some(ahead));
        }
        self.rows.next().transpose().map_err(|error| StoreError::of_storage(self.path, error))
    }

    /// The row of this key. One before it belongs to nothing.
    fn of(&mut self, key: &[u8]) -> Result<Option<Bytes<'static>>, StoreError> {
        let Some((found, row)) = self.next()? else { return Ok(None) };
        match found.value().cmp(key) {
            Ordering::Less => Err(self.damaged(found.value(), NOBODYS)),
            Ordering::Equal => Ok(Some(row)),
            Ordering::Greater => {
                self.ahead = Some((found, row));
                Ok(None)
            }
        }
    }

    fn at_end(&mut self) -> Result<(), StoreError> {
        match self.next()? {
            Some((key, _)) => Err(self.damaged(key.value(), NOBODYS)),
            None => Ok(()),
        }
    }

    fn damaged(&self, key: &[u8], fault: Fault) -> StoreError {
        // A name may be as long as a page and longer.
        let name: String = String::from_utf8_lossy(key).chars().take(LONGEST_SHOWN).collect();
        StoreError::damaged(self.path, format_args!("table {}, stream {name:?}: {fault}", self.name))
    }

    /// Of a row whose key is not for everybody.
    fn damaged_secret(&self, fault: Fault) -> StoreError {
        StoreError::damaged(self.path, format_args!("table {}: {fault}", self.name))
    }
}

const NOBODYS: Fault = "there is no such stream";

/// So much of a name stands in an error, in characters.
const LONGEST_SHOWN: usize = 200;
