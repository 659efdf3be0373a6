//! A table for people: columns that are as wide as what stands in them, and no wider than the terminal.

use std::fmt::Write;

use super::text::{cut, width};
use super::view::{Colours, Paint};

/// The first of the columns is of names, which give way first; the last has what room is left.
pub(super) struct Table<const N: usize> {
    pub(super) headings: [&'static str; N],
    /// Numbers stand to the right.
    pub(super) right: [bool; N],
    /// The column that has a colour.
    pub(super) painted: usize,
}

/// No name gets less room, as long as there is any.
const SHORTEST_NAME: usize = 12;

impl<const N: usize> Table<N> {
    /// The heading and all rows, as lines.
    pub(super) fn lines(&self, rows: &[([String; N], Paint)], columns: usize, colours: Colours) -> Vec<String> {
        let mut widths = self.headings.map(width);
        for (cells, _) in rows {
            for (most, cell) in widths.iter_mut().zip(cells) {
                *most = (*most).max(width(cell));
            }
        }
        let (last, fixed) = (N - 1, widths[1..N - 1].iter().map(|width| width + 2).sum::<usize>());
        let room = columns.saturating_sub(fixed + 1);
        widths[0] = widths[0].min(room.max(SHORTEST_NAME));
        widths[last] = widths[last].min(room.saturating_sub(widths[0] + 2));
        let heading = colours.paint(Paint::Dim, &self.line(self.headings, &widths, None));
        let row = |(cells, paint): &([String; N], Paint)| self.line(cells.each_ref().map(String::as_str), &widths, Some((colours, *paint)));
        std::iter::once(heading).chain(rows.iter().map(row)).collect()
    }

    fn line(&self, cells: [&str; N], widths: &[usize; N], paint: Option<(Colours, Paint)>) -> String {
        let mut line = String::new();
        for (index, cell) in cells.into_iter().enumerate().filter(|(index, _)| *index < N - 1 || widths[N - 1] > 0) {
            let cell = cut(cell, widths[index]);
            let blank = " ".repeat(widths[index].saturating_sub(width(&cell)));
            let gap = if index == 0 { "" } else { "  " };
            let cell = match paint {
                Some((colours, paint)) if index == self.painted => colours.paint(paint, &cell),
                _ => cell,
            };
            // A string can always be written to.
            let _ = if self.right[index] { write!(line, "{gap}{blank}{cell}") } else { write!(line, "{gap}{cell}{blank}") };
        }
        line.trim_end().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_give_way_to_numbers_and_the_rest_to_names() {
        let table = Table { headings: ["name", "state", "of", ""], right: [false, false, true, false], painted: 1 };
        let row = |name: &str, rest: &str| ([name, "well", "12", rest].map(str::to_owned), Paint::Plain);
        let rows = [row("north", "a long text"), row("a-node-in-the-south", "")];
        let lines = |columns| table.lines(&rows, columns, Colours(false));
        let wide = ["name                 state  of", "north                well   12  a long text", "a-node-in-the-south  well   12"];
        assert_eq!(lines(usize::MAX), wide);
        assert_eq!(lines(38)[1], "north                well   12  a lo…");
        assert_eq!(lines(30), ["name                state  of", "north               well   12", "a-node-in-the-sou…  well   12"]);
        assert_eq!(lines(5)[2], "a-node-in-t…  well   12");
    }
}
