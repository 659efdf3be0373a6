//! The tables of streams, open for many changes: to open one takes longer than to change a row.

use std::path::Path;

use redb::{ReadableTable, ReadableTableMetadata, Table, WriteTransaction};

use crate::broker::core::{Change, SavedStream, SavedWill, SavedWindow, StreamChange};
use crate::broker::rows;
use crate::wire::ids::StreamName;

use super::error::StoreError;

use super::tables::{POSITIONS, Rows, STREAMS, WILLS, WINDOWS};

/// The longest row, in bytes. The database has its own limit not far above; limits of the broker are far below.
const LONGEST: usize = 1 << 30;

type Open<'t> = Table<'t, &'static [u8], &'static [u8]>;

/// What a transaction changes of streams.
pub(super) struct Tables<'t> {
    path: &'t Path,
    streams: Open<'t>,
    positions: Open<'t>,
    wills: Open<'t>,
    windows: Open<'t>,
    /// Where there are none, none is looked for.
    has_wills: bool,
    has_windows: bool,
    /// For the row being written.
    row: &'t mut Vec<u8>,
}

impl<'t> Tables<'t> {
    pub(super) fn open(path: &'t Path, work: &'t WriteTransaction, row: &'t mut Vec<u8>) -> Result<Self, StoreError> {
        let open = |table: Rows| work.open_table(table).map_err(|error| StoreError::of_table(path, error));
        let (wills, windows) = (open(WILLS)?, open(WINDOWS)?);
        let is_empty = |table: &Open<'_>| table.is_empty().map_err(|error| StoreError::of_storage(path, error));
        let (has_wills, has_windows) = (!is_empty(&wills)?, !is_empty(&windows)?);
        Ok(Self { path, streams: open(STREAMS)?, positions: open(POSITIONS)?, wills, windows, has_wills, has_windows, row })
    }

    /// Keeps what has become of a stream and its will.
    pub(super) fn change(&mut self, Change { name, stream, will }: &Change) -> Result<(), StoreError> {
        match stream {
            StreamChange::Forgotten => self.forget(name)?,
            StreamChange::Moved { position, bytes } => {
                let was_there = insert(self.path, &mut self.positions, name, &rows::position(*position, *bytes))?;
                if !was_there {
                    // Its stream was too long to be kept. A position of no stream would be damage.
                    remove(self.path, &mut self.positions, name)?;
                }
            }
            StreamChange::Stands(stream) => self.stream(name, stream)?,
        }
        match will {
            Some(will) => self.will(name, will),
            None if self.has_wills => remove(self.path, &mut self.wills, name),
            None => Ok(()),
        }
    }

    /// Keeps the messages that are kept of a stream.
    pub(super) fn window(&mut self, SavedWindow { name, stream, runs }: &SavedWindow) -> Result<(), StoreError> {
        if let Some(stream) = stream {
            self.stream(name, stream)?;
        }
        let is_kept = self.streams.get(name.as_str().as_bytes()).map_err(|error| StoreError::of_storage(self.path, error))?.is_some();
        self.row.clear();
        let fits = is_kept && runs.iter().all(|run| rows::write_run(run, self.row) && self.row.len() <= LONGEST);
        if fits {
            self.has_windows = true;
            return insert(self.path, &mut self.windows, name, self.row).map(drop);
        }
        // Without the row, nobody will say that nothing is missing.
        remove(self.path, &mut self.windows, name)
    }

    fn stream(&mut self, name: &StreamName, stream: &SavedStream) -> Result<(), StoreError> {
        self.row.clear();
        if !rows::write_stream(stream, self.row) || self.row.len() > LONGEST {
            tracing::warn!(stream = %name, "its header and last message are too long to be kept");
            return self.forget(name);
        }
        insert(self.path, &mut self.streams, name, self.row)?;
        insert(self.path, &mut self.positions, name, &rows::position(stream.position, stream.bytes)).map(drop)
    }

    fn will(&mut self, name: &StreamName, will: &SavedWill) -> Result<(), StoreError> {
        self.row.clear();
        if rows::write_will(will, self.row) && self.row.len() <= LONGEST {
            self.has_wills = true;
            return insert(self.path, &mut self.wills, name, self.row).map(drop);
        }
        tracing::warn!(stream = %name, "its will is too long to be kept");
        remove(self.path, &mut self.wills, name)
    }

    fn forget(&mut self, name: &StreamName) -> Result<(), StoreError> {
        remove(self.path, &mut self.streams, name)?;
        remove(self.path, &mut self.positions, name)?;
        if self.has_windows { remove(self.path, &mut self.windows, name) } else { Ok(()) }
    }
}

/// Whether there was a row of the name.
fn insert(path: &Path, table: &mut Open<'_>, name: &StreamName, row: &[u8]) -> Result<bool, StoreError> {
    table.insert(name.as_str().as_bytes(), row).map(|before| before.is_some()).map_err(|error| StoreError::of_storage(path, error))
}

fn remove(path: &Path, table: &mut Open<'_>, name: &StreamName) -> Result<(), StoreError> {
    table.remove(name.as_str().as_bytes()).map(|_| ()).map_err(|error| StoreError::of_storage(path, error))
}
