//! How many there are in a history, and the limits of its broker.

use std::time::Duration;

use msgstream::internal::broker::core::{CoreLimits, ReplayLimits};

use super::{MOST_SESSIONS, SESSION_TIME};

pub(crate) const CONNECTIONS: u32 = 5;
pub(crate) const STREAMS: usize = 5;
/// One more than there may be at once.
pub(crate) const SESSIONS: usize = MOST_SESSIONS + 1;
pub(crate) const MOST_STREAMS: usize = 4;
pub(crate) const MOST_LISTENS: usize = 3;
pub(crate) const ENDED_TIME: Duration = Duration::from_secs(10);
/// Room for three headers and two ends with a few listeners, or thereabouts.
pub(crate) const MOST_STORED: usize = 2280;

pub(crate) const REPLAY_TIME: Duration = Duration::from_secs(7);

/// Limits that histories reach, and no past.
pub(crate) fn tight() -> CoreLimits {
    let replay = ReplayLimits { stream: 0, total: 0, time: Duration::ZERO };
    CoreLimits {
        piece: 64 << 10,
        streams: MOST_STREAMS,
        listens: MOST_LISTENS,
        stored: MOST_STORED,
        ended_time: ENDED_TIME,
        replay,
        sessions: MOST_SESSIONS,
        session_time: SESSION_TIME,
    }
}

/// A limit on the age of the past that histories reach, and no others.
pub(crate) fn remembering() -> CoreLimits {
    let replay = ReplayLimits { stream: usize::MAX, total: usize::MAX, time: REPLAY_TIME };
    CoreLimits {
        piece: 64 << 10,
        streams: usize::MAX,
        listens: usize::MAX,
        stored: usize::MAX,
        ended_time: ENDED_TIME,
        replay,
        sessions: usize::MAX,
        session_time: SESSION_TIME,
    }
}
