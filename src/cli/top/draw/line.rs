//! One row of the terminal, filled from the left with texts that are cut where it ends.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};

use crate::cli::text::{cut, width};
use crate::cli::view::{Colours, Paint};

/// See the module.
pub(super) struct Line<'b> {
    buffer: &'b mut Buffer,
    colours: Colours,
    row: u16,
    /// The next free column, and the one behind the last.
    next: u16,
    end: u16,
    /// All of it is marked.
    is_marked: bool,
}

impl<'b> Line<'b> {
    /// The row with this number of an area.
    pub(super) fn new(buffer: &'b mut Buffer, area: Rect, row: u16, colours: Colours) -> Self {
        let is_there = row < area.height;
        let end = if is_there { area.right() } else { area.left() };
        Self { buffer, colours, row: area.top().saturating_add(row), next: area.left(), end, is_marked: false }
    }

    /// Marks all of it, also what stays empty.
    pub(super) fn mark(mut self) -> Self {
        let area = Rect { x: self.next, y: self.row, width: self.end.saturating_sub(self.next), height: 1 };
        self.buffer.set_style(area, Style::new().add_modifier(Modifier::REVERSED));
        self.is_marked = true;
        self
    }

    /// How many columns are left.
    pub(super) fn left(&self) -> usize {
        usize::from(self.end.saturating_sub(self.next))
    }

    /// Puts a text, or as much of it as fits. It must not control the terminal.
    pub(super) fn put(&mut self, paint: Paint, text: &str) -> &mut Self {
        self.put_bold(paint, text, false)
    }

    pub(super) fn put_bold(&mut self, paint: Paint, text: &str, is_bold: bool) -> &mut Self {
        let left = self.left();
        if left > 0 && !text.is_empty() {
            let mut style = style(paint, self.colours);
            if is_bold {
                style = style.add_modifier(Modifier::BOLD);
            }
            if self.is_marked {
                // What is dim as well is hard to read.
                style = style.remove_modifier(Modifier::DIM).add_modifier(Modifier::REVERSED);
            }
            (self.next, _) = self.buffer.set_stringn(self.next, self.row, cut(text, left), left, style);
        }
        self
    }

    /// Puts a text into exactly so many columns, at their right if it is a number.
    pub(super) fn cell(&mut self, paint: Paint, text: &str, columns: usize, is_number: bool) -> &mut Self {
        let text = cut(text, columns);
        let blank = " ".repeat(columns.saturating_sub(width(&text)));
        let (before, behind) = if is_number { (blank.as_str(), "") } else { ("", blank.as_str()) };
        self.put(Paint::Plain, before).put(paint, &text).put(Paint::Plain, behind)
    }

    /// Puts a text at the end of the row, if there is room for all of it.
    pub(super) fn put_last(&mut self, paint: Paint, text: &str) {
        let blank = self.left().saturating_sub(width(text));
        if blank > 0 {
            self.put(Paint::Plain, &" ".repeat(blank)).put(paint, text);
        }
    }
}

/// Only colours that each terminal has its own idea of, which can be read on dark and light ones.
fn style(paint: Paint, Colours(colours): Colours) -> Style {
    let (colour, modifier) = match paint {
        Paint::Plain | Paint::Name(_) => (None, Modifier::empty()),
        Paint::Dim => (None, Modifier::DIM),
        Paint::Good => (Some(Color::Green), Modifier::empty()),
        Paint::Bad => (Some(Color::Red), Modifier::empty()),
        // Yellow cannot be read on white.
        Paint::Warning => (Some(Color::Magenta), Modifier::empty()),
    };
    let style = Style::new().add_modifier(modifier);
    if colours { colour.map_or(style, |colour| style.fg(colour)) } else { style }
}
