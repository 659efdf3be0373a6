//! The lines that wait for the broker: the newest, within a limit.

use std::collections::VecDeque;

use crate::job::content::Content;

/// What a line takes besides its text.
const EACH: usize = 64;

/// What is to be sent next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// A line's number and its message.
    Message(u64, Content),
    /// Nothing in place of lines that were dropped.
    Gap(Gap),
}

/// Lines that were dropped, one behind the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gap {
    /// How many. Lines that were not messages do not count.
    pub(super) lines: u64,
    /// The number of the first.
    pub(super) first: u64,
    /// The number of the last.
    pub(super) last: u64,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Backlog {
    /// The most that is kept, in bytes.
    limit: usize,
    waiting: VecDeque<(u64, Content)>,
    bytes: usize,
    /// What was dropped in front of the lines that wait.
    gap: Option<Gap>,
    /// All that was dropped.
    dropped: u64,
}

impl Backlog {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, waiting: VecDeque::new(), bytes: 0, gap: None, dropped: 0 }
    }

    /// Whether a line has room without another being dropped. Alone, every line has.
    pub(super) fn has_room(&self, message: &Content) -> bool {
        self.is_empty() || self.bytes + cost(message) <= self.limit
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Takes a line, for which the oldest are dropped if there is no room.
    pub(super) fn push(&mut self, number: u64, message: Content) {
        while !self.has_room(&message) {
            self.drop_oldest();
        }
        self.bytes += cost(&message);
        self.waiting.push_back((number, message));
    }

    /// What is to be sent next.
    pub(super) fn next(&mut self) -> Option<Next> {
        if let Some(gap) = self.gap.take() {
            return Some(Next::Gap(gap));
        }
        self.take().map(|(number, message)| Next::Message(number, message))
    }

    /// Drops all that waits.
    pub(super) fn clear(&mut self) {
        while !self.waiting.is_empty() {
            self.drop_oldest();
        }
    }

    /// How many lines were dropped.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    fn drop_oldest(&mut self) {
        let Some((number, _)) = self.take() else { return };
        self.dropped += 1;
        let gap = self.gap.get_or_insert(Gap { lines: 0, first: number, last: number });
        (gap.lines, gap.last) = (gap.lines + 1, number);
    }

    fn take(&mut self) -> Option<(u64, Content)> {
        let (number, message) = self.waiting.pop_front()?;
        self.bytes = self.bytes.saturating_sub(cost(&message));
        Some((number, message))
    }
}

fn cost(message: &Content) -> usize {
    message.as_str().len() + EACH
}

#[cfg(test)]
mod tests {
    use super::{Backlog, Gap, Next};
    use crate::job::content::Content;

    fn message(text: &str) -> Content {
        Content::from_json(text).unwrap()
    }

    #[test]
    fn the_oldest_are_dropped_and_told_in_their_place() {
        let mut backlog = Backlog::new(2 * 65);
        for (number, text) in [(1, "1"), (2, "2"), (4, "4"), (5, "5")] {
            backlog.push(number, message(text));
        }
        assert_eq!(backlog.next(), Some(Next::Gap(Gap { lines: 2, first: 1, last: 2 })));
        assert_eq!(backlog.next(), Some(Next::Message(4, message("4"))));
        backlog.push(6, message("6"));
        backlog.push(7, message("7"));
        assert_eq!(backlog.next(), Some(Next::Gap(Gap { lines: 1, first: 5, last: 5 })));
        assert_eq!(backlog.dropped(), 3);
        backlog.clear();
        assert_eq!(backlog.dropped(), 5);
    }

    #[test]
    fn a_line_larger_than_the_limit_has_room_alone() {
        let mut backlog = Backlog::new(3);
        backlog.push(1, message("12345"));
        backlog.push(2, message("67890"));
        assert_eq!(backlog.next(), Some(Next::Gap(Gap { lines: 1, first: 1, last: 1 })));
        assert_eq!(backlog.next(), Some(Next::Message(2, message("67890"))));
        assert_eq!(backlog.next(), None);
    }
}
