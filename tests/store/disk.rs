//! A disk in memory that is full, or loses its power: then each sector that was written since the last sync is there or is not.

use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex, MutexGuard};

use fastrand::Rng;
use redb::StorageBackend;

/// What a disk writes in one piece, in bytes.
const SECTOR: u64 = 512;

/// What is counted until the power fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// Everything that changes the disk.
    Operation,
    /// Syncs alone: everything has been written then, and nothing of it is safe.
    Sync,
}

/// A disk. All clones are the same one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Disk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// What a program sees.
    content: Vec<u8>,
    /// What would be there if nothing since the last sync were.
    durable: Vec<u8>,
    unsynced: Vec<Unsynced>,
    is_full: bool,
    /// How much did not succeed.
    failures: usize,
    /// The power fails after so many writes and syncs, or with the sync behind so many.
    power: Option<(Until, usize)>,
}

#[derive(Debug)]
enum Unsynced {
    Bytes(u64, Vec<u8>),
    Length(u64),
}

impl Disk {
    /// One that holds this.
    pub(crate) fn of(content: Vec<u8>) -> Self {
        Self(Arc::new(Mutex::new(State { durable: content.clone(), content, ..State::default() })))
    }

    /// What a program sees on it.
    pub(crate) fn content(&self) -> Vec<u8> {
        self.state().content.clone()
    }

    /// Somebody puts something else in its place.
    pub(crate) fn replace(&self, content: Vec<u8>) {
        self.state().content = content;
    }

    /// Whether there is no room for anything more.
    pub(crate) fn fill(&self, is_full: bool) {
        self.state().is_full = is_full;
    }

    /// Lets the power fail after so many more of them: then nothing succeeds any more.
    pub(crate) fn fail_after(&self, until: Until, count: usize) {
        self.state().power = Some((until, count));
    }

    /// How much of what was asked of it did not succeed.
    pub(crate) fn failures(&self) -> usize {
        self.state().failures
    }

    /// What is there once the power is back: what was synced, and any part of what was not.
    pub(crate) fn after_crash(&self, rng: &mut Rng) -> Self {
        let state = self.state();
        let mut content = state.durable.clone();
        // From nothing to everything.
        let chance = [0.0, 0.1, 0.5, 0.9, 1.0][rng.usize(..5)];
        for one in &state.unsynced {
            match one {
                Unsynced::Length(length) if rng.f64() < chance => content.resize(*length as usize, 0),
                Unsynced::Length(_) => {}
                Unsynced::Bytes(offset, bytes) => {
                    for (at, part) in sectors(*offset, bytes) {
                        if rng.f64() < chance {
                            put(&mut content, at, part);
                        }
                    }
                }
            }
        }
        Self::of(content)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    fn powered(&self, operation: Until) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.state();
        if let Some((until, left)) = &mut state.power
            && (*until == Until::Operation || operation == Until::Sync)
        {
            if *left == 0 {
                state.power = Some((Until::Operation, 0));
                state.failures += 1;
                return Err(io::Error::other("the power has failed"));
            }
            *left -= 1;
        }
        Ok(state)
    }
}

/// The sectors that a write touches, and what it puts into each.
fn sectors(offset: u64, bytes: &[u8]) -> Vec<(u64, &[u8])> {
    let (mut at, mut rest, mut found) = (offset, bytes, Vec::new());
    while !rest.is_empty() {
        let (part, behind) = rest.split_at(rest.len().min((SECTOR - at % SECTOR) as usize));
        found.push((at, part));
        (at, rest) = (at + part.len() as u64, behind);
    }
    found
}

fn put(content: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
    let (start, end) = (offset as usize, offset as usize + bytes.len());
    if content.len() < end {
        content.resize(end, 0);
    }
    content[start..end].copy_from_slice(bytes);
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state().content.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.state();
        let there = state.content.get(offset as usize..offset as usize + out.len());
        out.copy_from_slice(there.ok_or(ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut state = self.powered(Until::Operation)?;
        if state.is_full && length > state.content.len() as u64 {
            state.failures += 1;
            return Err(ErrorKind::StorageFull.into());
        }
        state.content.resize(length as usize, 0);
        state.unsynced.push(Unsynced::Length(length));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.powered(Until::Sync)?;
        for one in std::mem::take(&mut state.unsynced) {
            match one {
                Unsynced::Length(length) => state.durable.resize(length as usize, 0),
                Unsynced::Bytes(offset, bytes) => put(&mut state.durable, offset, &bytes),
            }
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.powered(Until::Operation)?;
        // As on a file system that writes nothing over, or where the file has holes.
        if state.is_full {
            state.failures += 1;
            return Err(ErrorKind::StorageFull.into());
        }
        put(&mut state.content, offset, data);
        state.unsynced.push(Unsynced::Bytes(offset, data.to_owned()));
        Ok(())
    }
}
