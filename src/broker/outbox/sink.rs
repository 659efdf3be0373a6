//! Where an outbox is emptied to.

use std::io::{self, IoSlice};

/// Takes what an outbox sends.
pub trait Sink: Send + Sync {
    /// Writes what it takes without waiting. A write that takes less than all means that the next would block.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if it takes nothing now; any other error means that the peer is gone.
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Whether it takes anything now, as far as it knows. One that says so in advance is given what is the newest when it does.
    fn is_ready(&self) -> bool {
        true
    }

    /// Whether whoever publishes by this connection waits itself while it is held back, so that nobody has to pause what it has sent.
    fn waits_itself(&self) -> bool {
        false
    }

    /// What it takes is to be on its way soon rather than much: from now on it holds little of what the peer has not read.
    fn hold_little(&self) {}

    /// Who is at the other end, for logs.
    fn peer(&self) -> String;
}
