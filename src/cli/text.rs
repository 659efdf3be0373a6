//! Received text: it must not control the terminal, and its width is what is shown.

use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

/// Ends all colours.
pub(super) const RESET: &str = "\u{1b}[0m";

/// The lines of a text. Colours pass if they are wanted, and end with the line; all other control characters are shown, not
/// obeyed.
pub(super) fn lines(text: &str, colours: bool) -> Vec<String> {
    let text = text.strip_suffix('\n').unwrap_or(text);
    let lines = text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
    lines.flat_map(|line| line.split('\r')).map(|line| harmless(line, colours)).collect()
}

/// A text that is part of a row: in one line, and without colours.
pub(super) fn inline(text: &str) -> String {
    lines(text, false).join(" ").replace('\t', " ")
}

/// As many characters of a text as this, without a mark of what was cut.
pub(super) fn beginning(text: &str, characters: usize) -> &str {
    text.char_indices().nth(characters).and_then(|(end, _)| text.get(..end)).unwrap_or(text)
}

fn harmless(line: &str, colours: bool) -> String {
    let (mut shown, mut coloured, mut rest) = (String::with_capacity(line.len()), false, line);
    while let Some(c) = rest.chars().next() {
        if let Some(length) = colour(rest) {
            if colours {
                shown.push_str(rest.get(..length).unwrap_or_default());
                coloured = true;
            }
            rest = rest.get(length..).unwrap_or_default();
            continue;
        }
        shown.push(visible(c));
        rest = rest.get(c.len_utf8()..).unwrap_or_default();
    }
    if coloured { shown + RESET } else { shown }
}

/// How long the colour sequence is with which a text begins.
fn colour(text: &str) -> Option<usize> {
    let parameters = text.strip_prefix("\u{1b}[")?;
    let length = parameters.find(|c: char| !matches!(c, '0'..='9' | ';' | ':'))?;
    parameters.get(length..)?.starts_with('m').then_some(length + 3)
}

/// A character as it may reach a terminal.
fn visible(c: char) -> char {
    match c {
        '\t' => c,
        // Unicode has pictures of the control characters of ASCII, in their order.
        '\0'..='\u{1f}' => char::from_u32(0x2400 + u32::from(c)).unwrap_or('\u{fffd}'),
        '\u{7f}' => '\u{2421}',
        // What turns the direction of writing could make a text look like another.
        '\u{80}'..='\u{9f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
        _ => c,
    }
}

/// How many columns a text without colours takes.
pub(super) fn width(text: &str) -> usize {
    text.width()
}

/// The beginning of a text, in this many columns at most. What is cut ends in `…`.
pub(super) fn cut(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let (mut cut, mut left) = (String::new(), columns.saturating_sub(1));
    for grapheme in text.graphemes(true) {
        let Some(rest) = left.checked_sub(width(grapheme)) else { break };
        left = rest;
        cut.push_str(grapheme);
    }
    if columns > 0 { cut + "…" } else { cut }
}

/// A text in exactly this many columns.
pub(super) fn padded(text: &str, columns: usize) -> String {
    let text = cut(text, columns);
    let missing = columns.saturating_sub(width(&text));
    text + &" ".repeat(missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(lines("a\u{1b}[2Jb\r\nc\u{9b}d\té\u{7f}\n", true), ["a␛[2Jb", "c\u{fffd}d\té␡"]);
        assert_eq!(lines("10%\r20%\r", true), ["10%", "20%"]);
        assert_eq!(lines("", true), [""]);
        assert_eq!(lines("\u{202e}gnp.exe", true), ["\u{fffd}gnp.exe"]);
    }

    #[test]
    fn colours_pass_and_end_with_the_line() {
        let text = "\u{1b}[1;31mred\nplain\u{1b}[38:5:1mdeep\u{1b}[m \u{1b}[5;1H\u{1b}[?25l\u{1b}[31";
        let shown = ["\u{1b}[1;31mred\u{1b}[0m", "plain\u{1b}[38:5:1mdeep\u{1b}[m ␛[5;1H␛[?25l␛[31\u{1b}[0m"];
        assert_eq!(lines(text, true), shown);
        assert_eq!(lines(text, false), ["red", "plaindeep ␛[5;1H␛[?25l␛[31"]);
    }

    #[test]
    fn widths_are_those_that_are_shown() {
        assert_eq!(["日本", "e\u{301}", "👩‍👩‍👧"].map(width), [4, 1, 2]);
        assert_eq!((cut("日本語", 5), cut("日本語", 4), cut("日本語", 6)), ("日本…".into(), "日…".into(), "日本語".into()));
        assert_eq!(padded("日本語", 4), "日… ");
        assert_eq!(cut("👩‍👩‍👧👩‍👩‍👧", 3), "👩‍👩‍👧…");
    }
}
