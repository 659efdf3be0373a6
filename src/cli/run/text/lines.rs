//! Cuts what a program writes into lines and drawings, as a terminal would show them.
//!
//! Colours stay in the text; other escape sequences and control characters have done their work here. Text before a carriage
//! return, or on a row that the cursor has come back to, is a drawing: the next one on that row replaces it.

use std::time::Duration;

use tokio::time::Instant;

/// A longer line is told in pieces.
const LONGEST: usize = 64 << 10;

/// After this time without a word an unfinished line is told.
const SILENCE: Duration = Duration::from_millis(300);

/// The same for a drawing, which may have been written in pieces.
const PAUSE: Duration = Duration::from_millis(100);

/// An escape sequence that is longer is none.
const LONGEST_SEQUENCE: usize = 256;

/// What was written.
#[derive(Debug, PartialEq)]
pub(crate) enum Said {
    /// A line, or what was not told of it yet.
    Line(String),
    Drawing {
        /// Counted from the first.
        row: usize,
        text: String,
        /// The cursor has left its row by a line end.
        is_finished: bool,
        /// Its row is below all that were there before.
        is_new: bool,
    },
}

/// What the next byte belongs to.
#[derive(Debug, Default)]
enum State {
    #[default]
    Text,
    /// Behind ESC.
    Escape,
    /// Behind ESC and `[`, up to a letter.
    Control,
    /// A title or the like, up to BEL or ESC.
    Str,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Lines {
    state: State,
    sequence: Vec<u8>,
    /// What stands on the row.
    text: Vec<u8>,
    /// How much of it has been told.
    told: usize,
    /// A carriage return came last: whether it is a line end's, the next byte tells.
    carriage: bool,
    /// Something on this row has been replaced.
    is_drawing: bool,
    row: usize,
    lowest: usize,
    is_new: bool,
    /// When something was written last.
    heard: Option<Instant>,
}

impl Lines {
    pub(crate) fn new() -> Self {
        Self {
            state: State::Text,
            sequence: Vec::new(),
            text: Vec::new(),
            told: 0,
            carriage: false,
            is_drawing: false,
            row: 0,
            lowest: 0,
            is_new: true,
            heard: None,
        }
    }

    /// Takes what was written.
    pub(crate) fn take(&mut self, bytes: &[u8], now: Instant, said: &mut Vec<Said>) {
        self.heard = Some(now);
        for &byte in bytes {
            match self.state {
                State::Text => self.text(byte, said),
                State::Escape => self.escape(byte, said),
                State::Control => self.control(byte, said),
                State::Str => self.string(byte, said),
            }
        }
    }

    /// When [`silence`](Self::silence) is to be called.
    pub(crate) fn due(&self) -> Option<Instant> {
        let wait = if self.draws() || self.carriage { PAUSE } else { SILENCE };
        self.heard.filter(|_| self.text.len() > self.told).map(|heard| heard + wait)
    }

    /// Tells what stands there unfinished.
    pub(crate) fn silence(&mut self, said: &mut Vec<Said>) {
        let rest = unfinished(&mut self.text);
        if self.draws() || self.carriage {
            self.tell_drawing(false, said);
        } else {
            self.tell_line(said);
        }
        self.told = self.text.len();
        self.text.extend_from_slice(&rest);
        // What is left is the beginning of a character.
        self.heard = None;
    }

    /// Nothing comes any more.
    pub(crate) fn end(&mut self, said: &mut Vec<Said>) {
        if self.text.len() > self.told {
            self.finish(said);
        }
    }

    fn text(&mut self, byte: u8, said: &mut Vec<Said>) {
        if self.carriage && !matches!(byte, b'\r' | b'\n') {
            self.replaced(said);
        }
        match byte {
            b'\n' => self.line_end(said),
            b'\r' => self.carriage = true,
            0x1b => self.state = State::Escape,
            0x08 if self.text.len() > self.told => {
                let character = self.text.iter().rposition(|byte| byte & 0xc0 != 0x80).unwrap_or_default();
                self.text.truncate(character.max(self.told));
            }
            b'\t' | 0x20..=0x7e | 0x80.. => {
                self.text.push(byte);
                self.cut_if_long(said);
            }
            // Other control characters show nothing.
            _ => {}
        }
    }

    /// Tells a piece of a line that is too long to be told at once.
    fn cut_if_long(&mut self, said: &mut Vec<Said>) {
        if self.text.len() >= LONGEST {
            let rest = unfinished(&mut self.text);
            self.finish(said);
            self.text = rest;
        }
    }

    fn escape(&mut self, byte: u8, said: &mut Vec<Said>) {
        self.state = match byte {
            b'[' => {
                self.sequence.clear();
                State::Control
            }
            b']' | b'P' | b'X' | b'^' | b'_' => State::Str,
            // Of those with three bytes, the second.
            0x20..=0x2f => State::Escape,
            _ => State::Text,
        };
        self.line_end_in_sequence(byte, said);
    }

    fn control(&mut self, byte: u8, said: &mut Vec<Said>) {
        self.sequence.push(byte);
        match byte {
            0x40..=0x7e => {
                self.state = State::Text;
                self.controlled(byte, said);
            }
            0x20..=0x3f if self.sequence.len() < LONGEST_SEQUENCE => {}
            _ => {
                self.state = State::Text;
                self.line_end_in_sequence(byte, said);
            }
        }
    }

    fn string(&mut self, byte: u8, said: &mut Vec<Said>) {
        match byte {
            0x07 => self.state = State::Text,
            0x1b => self.state = State::Escape,
            _ => self.line_end_in_sequence(byte, said),
        }
    }

    /// No sequence goes on behind a line end, so that one that is broken off swallows one line at most.
    fn line_end_in_sequence(&mut self, byte: u8, said: &mut Vec<Said>) {
        if matches!(byte, b'\n' | b'\r') {
            self.state = State::Text;
            self.text(byte, said);
        }
    }

    /// Does what a whole control sequence asks for.
    fn controlled(&mut self, letter: u8, said: &mut Vec<Said>) {
        let count = std::str::from_utf8(&self.sequence[..self.sequence.len() - 1]).ok().and_then(|count| count.parse().ok());
        match letter {
            b'm' => {
                self.text.extend_from_slice(b"\x1b[");
                self.text.append(&mut self.sequence);
                self.cut_if_long(said);
            }
            b'A' | b'F' => {
                self.replaced(said);
                self.row = self.row.saturating_sub(count.unwrap_or(1).max(1));
                self.is_new = false;
            }
            b'B' | b'E' => {
                self.replaced(said);
                self.row = self.row.saturating_add(count.unwrap_or(1).max(1)).min(self.lowest);
            }
            b'G' if count.unwrap_or(1) == 1 => self.replaced(said),
            b'K' if matches!(count, Some(1 | 2)) => self.replaced(said),
            _ => {}
        }
    }

    fn draws(&self) -> bool {
        self.is_drawing || self.row < self.lowest
    }

    /// What comes next takes the place of what stands here.
    fn replaced(&mut self, said: &mut Vec<Said>) {
        self.tell_drawing(false, said);
        self.clear();
        self.is_drawing = true;
    }

    fn line_end(&mut self, said: &mut Vec<Said>) {
        self.finish(said);
        self.is_drawing = false;
        self.row += 1;
        if self.row > self.lowest {
            (self.lowest, self.is_new) = (self.row, true);
        }
    }

    fn finish(&mut self, said: &mut Vec<Said>) {
        if self.draws() {
            self.tell_drawing(true, said);
        } else if self.told == 0 || self.text.len() > self.told {
            self.tell_line(said);
        }
        self.clear();
    }

    fn clear(&mut self) {
        self.text.clear();
        (self.told, self.carriage) = (0, false);
    }

    fn tell_line(&self, said: &mut Vec<Said>) {
        said.push(Said::Line(String::from_utf8_lossy(&self.text[self.told..]).into_owned()));
    }

    fn tell_drawing(&self, is_finished: bool, said: &mut Vec<Said>) {
        if self.text.len() > self.told {
            let text = String::from_utf8_lossy(&self.text).into_owned();
            said.push(Said::Drawing { row: self.row, text, is_finished, is_new: self.is_new });
        }
    }
}

/// Takes the beginning of a character off the end of a text: the rest of it comes next.
fn unfinished(text: &mut Vec<u8>) -> Vec<u8> {
    let start = text.len().saturating_sub(3);
    let at = text[start..].iter().rposition(|byte| *byte >= 0xc0).filter(|at| {
        let character = &text[start + at..];
        let length = match character[0] {
            0xf0.. => 4,
            0xe0.. => 3,
            _ => 2,
        };
        character.len() < length
    });
    at.map(|at| text.split_off(start + at)).unwrap_or_default()
}

#[cfg(test)]
mod tests;
