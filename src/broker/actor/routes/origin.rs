//! Whose actions are being taken, and what it has been given for them in this turn.

use crate::wire::ids::ConnectionId;

/// The connection whose actions are being taken.
pub(super) struct Origin {
    pub(super) id: ConnectionId,
    /// Its answers, which are queued as one frame.
    pub(super) answers: Vec<u8>,
    pub(super) count: u32,
    /// How many bytes it has queued for itself in this turn.
    pub(super) own: usize,
    /// That and its answers are much.
    pub(super) has_much: bool,
    /// What it queues for itself is written before what waits longer.
    pub(super) overtakes: bool,
    /// How many others may be written to before those who wait longer.
    pub(super) urgent: usize,
}
