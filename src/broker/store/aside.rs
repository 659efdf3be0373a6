//! A file that is only looked at. The database writes when it opens a file that a crash has left; here that stays in memory, so that
//! whoever looks changes nothing, and can look at what cannot be written to.

use std::collections::BTreeMap;
use std::io;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use redb::{BackendError, StorageBackend};

/// How much is kept in one piece.
const PIECE: u64 = 4096;

/// A file, and what has been written over it.
#[derive(Debug)]
pub(super) struct Aside<B> {
    file: B,
    over: Mutex<Over>,
}

#[derive(Debug)]
struct Over {
    length: u64,
    /// As much of the file as still shows: what was cut off does not come back when it grows again.
    of_file: u64,
    pieces: BTreeMap<u64, Box<[u8]>>,
}

impl<B: StorageBackend> Aside<B> {
    pub(super) fn new(file: B) -> io::Result<Self> {
        let length = file.len()?;
        Ok(Self { file, over: Mutex::new(Over { length, of_file: length, pieces: BTreeMap::new() }) })
    }

    fn over(&self) -> MutexGuard<'_, Over> {
        self.over.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A piece as it is in the file.
    fn piece(&self, number: u64, of_file: u64) -> io::Result<Box<[u8]>> {
        let mut piece = vec![0; PIECE as usize].into_boxed_slice();
        let there = of_file.saturating_sub(number * PIECE).min(PIECE) as usize;
        if let Some(part) = piece.get_mut(..there).filter(|part| !part.is_empty()) {
            self.file.read(number * PIECE, part)?;
        }
        Ok(piece)
    }
}

/// Goes through the pieces of a range: the number of each, where it begins there, and how much of it is meant.
fn pieces(offset: u64, length: usize) -> impl Iterator<Item = (u64, usize, usize)> {
    let mut at = offset;
    let end = offset.saturating_add(length as u64);
    std::iter::from_fn(move || {
        let (number, start) = (at / PIECE, at % PIECE);
        let count = (PIECE - start).min(end.checked_sub(at).filter(|left| *left > 0)?);
        at += count;
        Some((number, start as usize, count as usize))
    })
}

impl<B: StorageBackend> StorageBackend for Aside<B> {
    fn len(&self) -> io::Result<u64> {
        Ok(self.over().length)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let over = self.over();
        if offset.checked_add(out.len() as u64).is_none_or(|end| end > over.length) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if over.pieces.is_empty() && over.of_file == over.length {
            return self.file.read(offset, out);
        }
        let mut rest = out;
        for (number, start, count) in pieces(offset, rest.len()) {
            let (part, behind) = rest.split_at_mut(count);
            rest = behind;
            let from_file;
            let piece = match over.pieces.get(&number) {
                Some(piece) => piece,
                None => {
                    from_file = self.piece(number, over.of_file)?;
                    &from_file
                }
            };
            part.copy_from_slice(piece.get(start..start + count).unwrap_or_default());
        }
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut over = self.over();
        if length < over.length {
            over.of_file = over.of_file.min(length);
            over.pieces.retain(|number, _| number * PIECE < length);
            if let Some(last) = over.pieces.get_mut(&(length / PIECE)) {
                last.iter_mut().skip((length % PIECE) as usize).for_each(|byte| *byte = 0);
            }
        }
        over.length = length;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut over = self.over();
        let mut rest = data;
        for (number, start, count) in pieces(offset, data.len()) {
            let (part, behind) = rest.split_at(count);
            rest = behind;
            if !over.pieces.contains_key(&number) {
                let piece = self.piece(number, over.of_file)?;
                over.pieces.insert(number, piece);
            }
            if let Some(place) = over.pieces.get_mut(&number).and_then(|piece| piece.get_mut(start..start + count)) {
                place.copy_from_slice(part);
            }
        }
        over.length = over.length.max(offset.saturating_add(data.len() as u64));
        Ok(())
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }

    // Several may look at once, but not beside somebody who writes.

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_shared_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }
}
