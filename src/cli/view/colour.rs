//! Colours, where they are wanted.

use std::env;
use std::io::{self, IsTerminal};

use crate::cli::text::RESET;

/// What a text is drawn in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Paint {
    Plain,
    Dim,
    Good,
    Bad,
    Warning,
    /// The name of the stream with this number: each has its own colour for as long as there are enough.
    Name(usize),
}

/// The colours of names. Red and yellow are left to failures and warnings.
const NAMES: [&str; 6] = ["36", "35", "34", "32", "96", "95"];

/// Whether there are colours.
#[derive(Debug, Clone, Copy)]
pub(in crate::cli) struct Colours(pub(in crate::cli) bool);

impl Colours {
    /// Colours are for terminals that have them, unless `NO_COLOR` says otherwise.
    pub(in crate::cli) fn of_standard_output() -> Self {
        let is_unwanted = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self(io::stdout().is_terminal() && !is_unwanted && can_draw())
    }

    pub(in crate::cli) fn paint(self, paint: Paint, text: &str) -> String {
        let code = match paint {
            Paint::Plain => "",
            Paint::Dim => "2",
            Paint::Good => "32",
            Paint::Bad => "31",
            Paint::Warning => "33",
            Paint::Name(index) => NAMES.get(index % NAMES.len()).copied().unwrap_or_default(),
        };
        if self.0 && !code.is_empty() && !text.is_empty() { format!("\u{1b}[{code}m{text}{RESET}") } else { text.to_owned() }
    }
}

/// Whether the terminal can move its cursor.
pub(in crate::cli) fn can_draw() -> bool {
    env::var_os("TERM").is_some_and(|term| !term.is_empty() && term != "dumb")
}
