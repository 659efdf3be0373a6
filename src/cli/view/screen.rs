//! The terminal: lines that stay, and below them rows that are drawn again and again.

use std::env;
use std::io::{self, Write};

use rustix::termios::tcgetwinsize;

/// One row below the lines, of this width as it is shown.
#[derive(Debug, Clone, Default)]
pub(super) struct Row {
    pub(super) text: String,
    pub(super) width: usize,
}

/// The terminal on standard output.
#[derive(Debug)]
pub(super) struct Screen {
    /// The widths of the rows that stand there now.
    drawn: Vec<usize>,
    /// A terminal that is made narrower wraps what stands on it.
    wraps: bool,
}

/// The rows and columns of the terminal. One that does not know them is taken for a usual one.
pub(in crate::cli) fn size() -> (usize, usize) {
    let known = |length: u16, usual: usize| if length == 0 { usual } else { usize::from(length) };
    tcgetwinsize(io::stdout()).map_or((24, 80), |size| (known(size.ws_row, 24), known(size.ws_col, 80)))
}

impl Screen {
    pub(super) fn new() -> Self {
        // These cut lines instead; all others of today wrap them.
        let cuts = env::var_os("XTERM_VERSION").is_some()
            || env::var_os("STY").is_some()
            || env::var_os("TERM").is_some_and(|term| term == "linux");
        Self { drawn: Vec::new(), wraps: !cuts }
    }

    /// Replaces the rows, with these lines above them for good. No row may be as wide as the terminal.
    pub(super) fn draw(&mut self, lines: &[String], rows: &[Row]) -> io::Result<()> {
        let mut out = self.erase();
        for line in lines {
            out.push_str(line);
            out.push('\n');
        }
        let texts: Vec<&str> = rows.iter().map(|row| &*row.text).collect();
        out.push_str(&texts.join("\n"));
        self.drawn = rows.iter().map(|row| row.width).collect();
        write(&out)
    }

    /// Leaves the rows where they are.
    pub(super) fn leave(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.drawn).is_empty() { Ok(()) } else { write("\n") }
    }

    /// Leaves the rows where they are, and draws the next ones below what others have written.
    pub(super) fn forget(&mut self) {
        self.drawn.clear();
    }

    /// What takes the rows away, and leaves the cursor where the first of them began.
    fn erase(&self) -> String {
        let above = above(&self.drawn, size(), self.wraps);
        match (self.drawn.is_empty(), above) {
            (true, _) => String::new(),
            (false, 0) => "\r\u{1b}[J".to_owned(),
            (false, above) => format!("\r\u{1b}[{above}A\u{1b}[J"),
        }
    }
}

/// How many rows of a terminal of this size stand above the one with the cursor, of rows drawn in these widths.
fn above(drawn: &[usize], (rows, columns): (usize, usize), wraps: bool) -> usize {
    let taken = |width: &usize| if wraps { width.div_ceil(columns).max(1) } else { 1 };
    // What has left the screen at its top is beyond reach.
    drawn.iter().map(taken).sum::<usize>().min(rows).saturating_sub(1)
}

fn write(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::above;

    /// The model of a terminal that tests use does not wrap what stands on it; most terminals do.
    #[test]
    fn rows_that_a_narrower_terminal_wraps_are_erased_as_well() {
        let drawn = [79, 40, 41, 0];
        assert_eq!(above(&drawn, (24, 80), true), 3);
        assert_eq!(above(&drawn, (24, 40), true), 2 + 1 + 2 + 1 - 1);
        assert_eq!(above(&drawn, (24, 40), false), 3);
        assert_eq!(above(&drawn, (3, 40), true), 2);
        assert_eq!(above(&[], (24, 80), true), 0);
    }
}
