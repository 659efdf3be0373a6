//! One stream, and those who listen to it.

use crate::client::target::Target;
use crate::wire::subscriber::{Event, Listened, Reason};

/// A stream, and those who listen to it.
#[derive(Debug, Default)]
pub(super) struct Followed {
    pub(super) listened: Listened<Target>,
    /// The connection listens to it by its name, and not only by prefixes.
    pub(super) named: bool,
    /// It had a header when it was joined by a prefix: the broker does not forget it without a word.
    pub(super) stays: bool,
    /// Which was the latest listen of a prefix when it was joined by one.
    pub(super) seen: u64,
}

impl Followed {
    /// Whether nothing of it matters any more. The answers that are under way tell which of the messages are headers, also if nobody waits
    /// for them.
    pub(super) fn is_over(&self) -> bool {
        self.listened.is_empty() && !self.listened.is_joining()
    }
}

/// The last event of those whose own program hangs up.
pub(super) fn hung_up() -> Event {
    Event::CutOff(Reason { code: "hangup".to_owned(), reason: "this program has hung up".to_owned() })
}
