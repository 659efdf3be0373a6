//! The tables of the file. Each row is bytes of our own, so that nothing in the file depends on how the database writes a type.
//!
//! | Table | Key | Row |
//! |---|---|---|
//! | `streams` | name | what it is and how it stands, its header and its last message |
//! | `positions` | name | epoch, messages, bytes: the only row that a message changes |
//! | `wills` | name of the stream | session, the message |
//! | `windows` | name of the stream | all runs that are kept; there only after an orderly stop |
//! | `sessions` | name of the session | how many lines were taken; there only after an orderly stop |
//! | `meta` | a word | a number |

use redb::TableDefinition;

/// A table: bytes by bytes.
pub(super) type Rows = TableDefinition<'static, &'static [u8], &'static [u8]>;

pub(super) const STREAMS: Rows = TableDefinition::new("streams");
pub(super) const POSITIONS: Rows = TableDefinition::new("positions");
pub(super) const WILLS: Rows = TableDefinition::new("wills");
pub(super) const WINDOWS: Rows = TableDefinition::new("windows");
pub(super) const SESSIONS: Rows = TableDefinition::new("sessions");
pub(super) const META: Rows = TableDefinition::new("meta");

/// All of them.
pub(super) const ALL: [Rows; 6] = [STREAMS, POSITIONS, WILLS, WINDOWS, SESSIONS, META];

/// What is written here. A file of another number is not read.
pub(super) const FORMAT: u64 = 1;

/// The rows of `meta`.
pub(super) mod word {
    /// [`FORMAT`](super::FORMAT).
    pub(in super::super) const FORMAT: &[u8] = b"format";
    /// When the clock of the store began, in milliseconds since 1970.
    pub(in super::super) const BEGAN: &[u8] = b"began_ms";
    /// The clock at the last commit, in milliseconds.
    pub(in super::super) const CLOCK: &[u8] = b"clock_ms";
    /// The life of the broker that stopped in good order. None while one runs.
    pub(in super::super) const LIFE: &[u8] = b"life";
}
