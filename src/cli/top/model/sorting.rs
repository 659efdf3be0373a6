//! In which order streams stand, and which of them.

use std::cmp::Ordering;
use std::cmp::Reverse;

use jiff::Timestamp;

use crate::cli::view::NO_NEWS;

use super::row::Row;

/// By what the streams are sorted. Numbers begin with the largest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli::top) enum Sort {
    /// What has gone wrong comes first.
    State,
    Name,
    Progress,
    Listeners,
    Messages,
    Speed,
    /// What has been quiet for the shortest time comes first.
    Quiet,
}

impl Sort {
    /// The next, in the order of the columns.
    pub(super) fn next(self) -> Self {
        match self {
            Self::State => Self::Name,
            Self::Name => Self::Progress,
            Self::Progress => Self::Listeners,
            Self::Listeners => Self::Messages,
            Self::Messages => Self::Speed,
            Self::Speed => Self::Quiet,
            Self::Quiet => Self::State,
        }
    }

    pub(in crate::cli::top) fn word(self) -> &'static str {
        match self {
            Self::State => "state",
            Self::Name => "name",
            Self::Progress => "progress",
            Self::Listeners => "listeners",
            Self::Messages => "messages",
            Self::Speed => "messages/s",
            Self::Quiet => "quiet for",
        }
    }

    /// Sorts rows, those of equal rank by their names.
    pub(super) fn sort(self, rows: &mut [&Row], is_reversed: bool, now: Timestamp) {
        let most = |number: f64| Reverse((number * 1000.0) as i64);
        let share = |row: &Row| most(row.job.share().unwrap_or(-1.0));
        match self {
            Self::Name => rows.sort_by(|one, other| by_number(&one.name, &other.name)),
            Self::State => sort_by(rows, |row| rank(row.state())),
            Self::Progress => sort_by(rows, share),
            Self::Listeners => sort_by(rows, |row| Reverse(row.listeners())),
            Self::Messages => sort_by(rows, |row| Reverse(row.entry.messages)),
            Self::Speed => sort_by(rows, |row| most(row.speed(now))),
            Self::Quiet => sort_by(rows, |row| Reverse(row.entry.latest())),
        }
        if is_reversed {
            rows.reverse();
        }
    }
}

fn sort_by<K: Ord>(rows: &mut [&Row], key: impl Fn(&Row) -> K) {
    rows.sort_by(|one, other| key(one).cmp(&key(other)).then_with(|| by_number(&one.name, &other.name)));
}

/// The words of states, those first that people must see first.
pub(super) const STATES: [&str; 8] = ["failed", "lost", "aborted", NO_NEWS, "running", "waiting", "done", "ended"];

fn rank(state: &str) -> usize {
    STATES.iter().position(|known| *known == state).unwrap_or(STATES.len())
}

/// Which streams are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli::top) enum Filter {
    All,
    Running,
    Waiting,
    /// Failed, lost or aborted.
    Bad,
    /// Done, or ended without a word.
    Ended,
}

impl Filter {
    pub(super) fn next(self) -> Self {
        match self {
            Self::All => Self::Running,
            Self::Running => Self::Bad,
            Self::Bad => Self::Waiting,
            Self::Waiting => Self::Ended,
            Self::Ended => Self::All,
        }
    }

    pub(in crate::cli::top) fn word(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Bad => "failed, lost, aborted",
            Self::Ended => "done, ended",
        }
    }

    /// What nobody has news of stays with what it was last.
    pub(super) fn has(self, row: &Row) -> bool {
        match self {
            Self::All => true,
            Self::Running => row.is_going() && row.entry.state == "running",
            Self::Waiting => row.is_going() && row.entry.state == "waiting",
            Self::Bad => matches!(row.state(), "failed" | "lost" | "aborted"),
            Self::Ended => matches!(row.state(), "done" | "ended"),
        }
    }
}

/// Compares names as people count: `job-2` comes before `job-10`.
fn by_number(one: &str, other: &str) -> Ordering {
    let (mut left, mut right) = (one, other);
    loop {
        let (left_digits, right_digits) = (digits(left), digits(right));
        if !left_digits.is_empty() && !right_digits.is_empty() {
            let number = |digits: &str| digits.trim_start_matches('0').len();
            let by_value = number(left_digits)
                .cmp(&number(right_digits))
                .then_with(|| left_digits.trim_start_matches('0').cmp(right_digits.trim_start_matches('0')));
            if by_value != Ordering::Equal {
                return by_value;
            }
            left = left.get(left_digits.len()..).unwrap_or_default();
            right = right.get(right_digits.len()..).unwrap_or_default();
            continue;
        }
        let (mut left_rest, mut right_rest) = (left.chars(), right.chars());
        match (left_rest.next(), right_rest.next()) {
            // Spelled alike but for zeros in front of numbers.
            (None, None) => return one.cmp(other),
            (first, second) if first != second => return first.cmp(&second),
            _ => (left, right) = (left_rest.as_str(), right_rest.as_str()),
        }
    }
}

/// The digits with which a text begins.
fn digits(text: &str) -> &str {
    text.get(..text.bytes().take_while(u8::is_ascii_digit).count()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_as_people_count() {
        let mut names = ["job-10", "job-9", "job", "job-009", "job-1a", "計算-2", "job-1", "a", "job-99999999999999999999999"];
        names.sort_by(|one, other| by_number(one, other));
        let expected = ["a", "job", "job-1", "job-1a", "job-009", "job-9", "job-10", "job-99999999999999999999999", "計算-2"];
        assert_eq!(names, expected);
    }

    #[test]
    fn each_order_and_each_filter_comes_up_once() {
        let (mut sorts, mut filters) = (vec![Sort::State], vec![Filter::All]);
        while let Some(next) = sorts.last().map(|sort| sort.next()).filter(|next| !sorts.contains(next)) {
            sorts.push(next);
        }
        while let Some(next) = filters.last().map(|filter| filter.next()).filter(|next| !filters.contains(next)) {
            filters.push(next);
        }
        assert_eq!((sorts.len(), filters.len()), (7, 5));
    }
}
