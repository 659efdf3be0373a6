//! A peer for tests, which reads as much as it is told to.

use std::io::{self, IoSlice};
use std::sync::Mutex;

use super::sink::Sink;

/// Room that says that the peer is gone.
pub(super) const GONE: usize = usize::MAX;

/// Takes as many bytes as it has room for.
#[derive(Default)]
pub(super) struct Narrow(Mutex<(usize, Vec<u8>)>);

impl Narrow {
    pub(super) fn give(&self, room: usize) {
        self.0.lock().unwrap().0 += room;
    }

    pub(super) fn taken(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().1.clone()).unwrap()
    }
}

impl Sink for Narrow {
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut state = self.0.lock().unwrap();
        if state.0 == GONE {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).take(state.0).collect();
        if bytes.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        state.0 -= bytes.len();
        state.1.extend_from_slice(&bytes);
        Ok(bytes.len())
    }

    fn peer(&self) -> String {
        "narrow".to_owned()
    }
}
