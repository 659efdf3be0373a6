//! Where an outbox is emptied to.

use std::io::{self, IoSlice};

/// Takes what an outbox sends.
pub trait Sink: Send + Sync {
    /// Writes what it takes without waiting. A write that takes less than all means that the next would block.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if it takes nothing now; any other error means that the peer is gone.
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Who is at the other end, for logs.
    fn peer(&self) -> String;
}
