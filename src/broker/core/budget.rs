//! What work costs, so that no connection's work holds up the others for long.
//!
//! Costs are estimates in nanoseconds of a current processor. They decide when a turn is over, and nothing else, so being
//! wrong by a factor of two harms nobody.

/// What is left of a turn. Work that has begun is finished, so a turn may end a little late.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget(isize);

/// One action, whatever it does.
pub(crate) const INPUT: usize = 150;
/// Queueing a frame for one connection.
pub(crate) const PUSH: usize = 60;
/// Taking a connection out of one stream's list of listeners.
pub(crate) const HANG_UP: usize = 300;
/// Joining one of many streams.
pub(crate) const JOIN: usize = 500;
/// One listen by a prefix of the name of a stream that comes into being.
pub(crate) const MATCH: usize = 60;
/// Entering one name in an ordered table, or taking it out.
pub(crate) const ORDER: usize = 400;
/// Forgetting one stream.
pub(crate) const FORGET: usize = 600;

/// Sending so many bytes: whoever publishes them pays for that, and a little more, so that no more is queued than is sent.
pub(crate) fn sending(bytes: usize) -> usize {
    bytes / 16 * 5
}

impl Budget {
    /// A budget of `nanoseconds`.
    pub fn new(nanoseconds: usize) -> Self {
        Self(isize::try_from(nanoseconds).unwrap_or(isize::MAX))
    }

    /// A budget that lasts.
    pub fn unlimited() -> Self {
        Self(isize::MAX)
    }

    /// Takes a cost off.
    pub fn spend(&mut self, cost: usize) {
        self.0 = self.0.saturating_sub_unsigned(cost);
    }

    /// Whether nothing is left.
    pub fn is_spent(&self) -> bool {
        self.0 <= 0
    }

    /// Runs `work` with at most `most` of what is left. Returns what it gave, and what it cost.
    pub fn part<T>(&mut self, most: usize, work: impl FnOnce(&mut Self) -> T) -> (T, usize) {
        let before = self.0.min(isize::try_from(most).unwrap_or(isize::MAX));
        let mut part = Self(before);
        let given = work(&mut part);
        let cost = before.saturating_sub(part.0).unsigned_abs();
        self.spend(cost);
        (given, cost)
    }
}
