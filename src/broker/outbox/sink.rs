//! Where an outbox is emptied to.

use std::io::{self, IoSlice};

/// Takes what an outbox sends.
pub trait Sink: Send + Sync {
    /// Writes what it takes without waiting. A write that takes less than all means that the next would block.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if it takes nothing now; any other error means that the peer is gone.
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Whether whoever publishes by this connection waits itself while it is held back, so that nobody has to pause what it has sent.
    fn waits_itself(&self) -> bool {
        false
    }

    /// Who is at the other end, for logs.
    fn peer(&self) -> String;
}
