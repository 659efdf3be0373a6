//! Which columns the table has in a terminal of some width, and what stands in them.

use jiff::Timestamp;

use crate::cli::clock::{running, words_of_age};
use crate::cli::text::inline;
use crate::cli::top::model::{Row, Sort};
use crate::cli::view::{Paint, amount, halves, rate};

use super::line::Line;

/// What can be told of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    Name,
    State,
    Percent,
    Bar,
    Rate,
    Left,
    Listeners,
    Messages,
    Speed,
    Quiet,
    Last,
}

/// The columns as they stand, those to the left first.
const PLACES: [Column; 11] = [
    Column::Name,
    Column::State,
    Column::Percent,
    Column::Bar,
    Column::Rate,
    Column::Left,
    Column::Listeners,
    Column::Messages,
    Column::Speed,
    Column::Quiet,
    Column::Last,
];

/// In which order they find room behind the name and the state, with the least that each takes. One that is named again grows.
const WANTED: [(Column, usize); 10] = [
    (Column::Percent, 4),
    (Column::Left, 8),
    (Column::Quiet, 6),
    (Column::Bar, 10),
    (Column::Last, 16),
    (Column::Listeners, 9),
    (Column::Messages, 8),
    (Column::Last, 30),
    (Column::Rate, 12),
    (Column::Speed, 5),
];

/// The longest word for a state.
const STATE: usize = 7;

/// A name that is cut shorter than this says nothing; the longest ones take no more than this until there is room left.
const SHORTEST_NAME: usize = 8;

/// No bar is longer than this.
const LONGEST_BAR: usize = 30;

/// The columns with their widths, and how far they stand apart.
pub(super) fn divide(columns: usize, longest_name: usize) -> (Vec<(Column, usize)>, usize) {
    let gap = if columns < 60 { 1 } else { 2 };
    let longest_name = longest_name.max(SHORTEST_NAME);
    let name = longest_name.min((columns / 3).max(SHORTEST_NAME));
    let mut taken = name + gap + STATE;
    let mut found = vec![(Column::Name, name), (Column::State, STATE)];
    for (column, least) in WANTED {
        let known = found.iter_mut().find(|(other, _)| *other == column);
        let more = known.as_ref().map_or(gap + least, |(_, width)| least.saturating_sub(*width));
        if taken + more > columns {
            break;
        }
        taken += more;
        match known {
            Some((_, width)) => *width = least,
            None => found.push((column, least)),
        }
    }
    let mut left = columns.saturating_sub(taken);
    // What is left goes to names that are cut, then to the last message and the bar.
    for (column, most) in
        [(Column::Name, longest_name), (Column::Last, 40), (Column::Bar, (columns / 6).min(LONGEST_BAR)), (Column::Last, usize::MAX)]
    {
        if let Some((_, width)) = found.iter_mut().find(|(other, _)| *other == column) {
            let more = left.min(most.saturating_sub(*width));
            (*width, left) = (*width + more, left - more);
        }
    }
    let place = |column: &Column| PLACES.iter().position(|other| other == column);
    found.sort_by_key(|(column, _)| place(column));
    (found, gap)
}

impl Column {
    pub(super) fn heading(self) -> &'static str {
        match self {
            Self::Name => "stream",
            Self::State => "state",
            Self::Percent => "done",
            Self::Bar => "",
            Self::Rate => "rate",
            Self::Left => "left",
            Self::Listeners => "listeners",
            Self::Messages => "messages",
            Self::Speed => "per s",
            Self::Quiet => "quiet",
            Self::Last => "last message",
        }
    }

    /// Numbers stand to the right.
    pub(super) fn is_number(self) -> bool {
        match self {
            Self::Name | Self::State | Self::Bar | Self::Last => false,
            Self::Percent | Self::Rate | Self::Left | Self::Listeners | Self::Messages | Self::Speed | Self::Quiet => true,
        }
    }

    pub(super) fn is_sorted(self, sort: Sort) -> bool {
        match sort {
            Sort::State => self == Self::State,
            Sort::Name => self == Self::Name,
            Sort::Progress => self == Self::Percent,
            Sort::Listeners => self == Self::Listeners,
            Sort::Messages => self == Self::Messages,
            Sort::Speed => self == Self::Speed,
            Sort::Quiet => self == Self::Quiet,
        }
    }

    /// Puts what stands in this column of a row.
    pub(super) fn put(self, line: &mut Line<'_>, row: &Row, columns: usize, now: Timestamp) {
        // What is not known to go on has no bar that moves.
        let is_live = row.is_going() && !row.is_stale;
        let plain = if is_live || row.paint() == Paint::Bad { Paint::Plain } else { Paint::Dim };
        let moving = |text: Option<String>| text.filter(|_| is_live).unwrap_or_default();
        let text = match self {
            Self::Bar => return bar(line, row, columns),
            Self::State => {
                line.cell(row.paint(), &inline(row.state()), columns, false);
                return;
            }
            Self::Name => inline(&row.name),
            Self::Percent => percent(row).unwrap_or_default(),
            Self::Rate => moving(row.job.rate(now).map(|each| rate(each, row.job.units.as_deref().map(inline).as_deref()))),
            Self::Left => moving(row.job.left(now).map(running)),
            Self::Listeners => row.listeners().to_string(),
            Self::Messages => amount(row.entry.messages as f64, None, None),
            Self::Speed => speed(row.speed(now)),
            Self::Quiet => row.entry.quiet(now).map(words_of_age).unwrap_or_default(),
            Self::Last => row.says(),
        };
        line.cell(plain, &text, columns, self.is_number());
    }
}

pub(super) fn percent(row: &Row) -> Option<String> {
    Some(format!("{:.0}%", (row.job.share()? * 100.0).floor()))
}

/// The bar of a job, which is dim where it stands still.
pub(super) fn bar(line: &mut Line<'_>, row: &Row, columns: usize) {
    match row.job.share() {
        Some(share) => {
            let (done, rest) = halves(share, columns);
            line.put(if row.is_stale { Paint::Dim } else { row.paint() }, &done).put(Paint::Dim, &rest);
        }
        None => _ = line.cell(Paint::Plain, "", columns, false),
    }
}

/// Messages each second: nothing, `0.4` or `1.2k`.
pub(super) fn speed(each: f64) -> String {
    match each {
        ..0.05 => String::new(),
        ..9.95 => format!("{each:.1}"),
        ..999.5 => format!("{each:.0}"),
        ..9995.0 => format!("{:.1}k", each / 1000.0),
        _ => amount(each.round(), None, None).replace(".0", ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(columns: usize, longest_name: usize) -> Vec<Column> {
        divide(columns, longest_name).0.into_iter().map(|(column, _)| column).collect()
    }

    #[test]
    fn columns_drop_in_order() {
        assert_eq!((names(300, 20), names(0, 20)), (PLACES.to_vec(), vec![Column::Name, Column::State]));
        // They stand apart further from 60 columns on.
        for columns in (1..300).filter(|columns| *columns != 60) {
            let (narrow, wide) = (names(columns - 1, 20), names(columns, 20));
            assert!(narrow.iter().all(|column| wide.contains(column)), "{columns}: what was dropped does not come back");
        }
        assert_eq!(names(40, 12), [Column::Name, Column::State, Column::Percent, Column::Left]);
        assert_eq!(names(80, 12), [Column::Name, Column::State, Column::Percent, Column::Bar, Column::Left, Column::Quiet, Column::Last]);
    }

    #[test]
    fn the_columns_fill_the_terminal_and_no_more() {
        for (columns, name) in (24..300).flat_map(|columns| [0, 5, 20, 500].map(|name| (columns, name))) {
            let (found, gap) = divide(columns, name);
            let taken: usize = found.iter().map(|(_, width)| width + gap).sum::<usize>() - gap;
            assert!(taken <= columns, "{columns} {name}: {taken}");
            let is_full = found.iter().any(|(column, _)| *column == Column::Last) || name == 500;
            assert!(taken == columns || !is_full, "{columns} {name}: {taken}");
        }
    }

    #[test]
    fn speeds_are_short() {
        let cases = [(0.0, ""), (0.4, "0.4"), (12.0, "12"), (999.0, "999"), (1234.0, "1.2k"), (12_345.0, "12345"), (1_234_567.0, "1.23M")];
        for (each, told) in cases {
            assert_eq!(speed(each), told);
        }
    }
}
