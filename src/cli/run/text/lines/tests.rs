use super::*;

/// What is told of a text, however it is split, and of its end.
#[track_caller]
fn assert_said(text: &str, expected: &[&str]) {
    for size in [1, 2, 3, 5, 1000] {
        let (mut lines, mut said, now) = (Lines::new(), Vec::new(), Instant::now());
        for piece in text.as_bytes().chunks(size) {
            lines.take(piece, now, &mut said);
        }
        lines.end(&mut said);
        assert_eq!(said.iter().map(short).collect::<Vec<_>>(), expected, "in pieces of {size}");
    }
}

/// A line as it is, a drawing with its row.
fn short(said: &Said) -> String {
    match said {
        Said::Line(text) => text.clone(),
        Said::Drawing { row, text, is_finished, .. } => format!("{row}{} {text}", if *is_finished { "!" } else { ":" }),
    }
}

#[test]
fn a_line_end_of_two_bytes_is_one() {
    assert_said("a\r\nb\r\n\r\nc\r\r\nd", &["a", "b", "", "c", "d"]);
}

#[test]
fn what_a_carriage_return_replaces_is_a_drawing() {
    assert_said("10%\r20%\r30%\n", &["0: 10%", "0: 20%", "0! 30%"]);
    assert_said("\r10%\r20%\ndone\n", &["0: 10%", "0! 20%", "done"]);
    assert_said("10%\r\x1b[K20%\x1b[1G30%", &["0: 10%", "0: 20%", "0! 30%"]);
}

/// As tqdm draws a bar below another.
#[test]
fn rows_that_the_cursor_comes_back_to_are_drawings() {
    assert_said("\router 0\n\rinner 0\x1b[A\n\rinner 1\x1b[A\router 1", &["0! outer 0", "1: inner 0", "1: inner 1", "0! outer 1"]);
}

#[test]
fn colours_stay_and_other_sequences_do_not() {
    assert_said("\x1b[1;31mred\x1b[0m \x1b]0;title\x07\x1b[?25lon\x1b(B\x07\x00e\n", &["\x1b[1;31mred\x1b[0m one"]);
    assert_said("ab\x08c \u{e9}\x08d\n", &["ac d"]);
    assert_said("\x1b]never ended\nnext\n\x1b[12\nlast\n", &["", "next", "", "last"]);
}

#[test]
fn a_line_that_never_ends_is_told_in_pieces_and_not_kept() {
    for piece in ["x", "\x1b[31m", "\u{e9}"] {
        let (mut lines, mut said) = (Lines::new(), Vec::new());
        lines.take(piece.repeat(3 * LONGEST).as_bytes(), Instant::now(), &mut said);
        assert!(said.len() >= 3 && lines.text.len() < LONGEST, "{piece:?}: {} and {}", said.len(), lines.text.len());
    }
}

#[test]
fn an_unfinished_line_is_told_once() {
    let (mut lines, mut said, now) = (Lines::new(), Vec::new(), Instant::now());
    lines.take("Compiling... \u{e9}".as_bytes(), now, &mut said);
    assert_eq!((said.len(), lines.due()), (0, Some(now + SILENCE)));
    lines.silence(&mut said);
    assert_eq!(lines.due(), None);
    lines.take(b"done\n", now, &mut said);
    lines.take(b"ask? ", now, &mut said);
    lines.silence(&mut said);
    lines.take(b"\n", now, &mut said);
    assert_eq!(said.iter().map(short).collect::<Vec<_>>(), ["Compiling... \u{e9}", "done", "ask? "]);
}

/// A bar that writes its carriage return first is told as soon as it pauses, and so is one that writes it last.
#[test]
fn a_drawing_is_told_when_it_pauses() {
    for text in ["\r10%", "10%\r"] {
        let (mut lines, mut said, now) = (Lines::new(), Vec::new(), Instant::now());
        lines.take(text.as_bytes(), now, &mut said);
        assert_eq!((said.len(), lines.due()), (0, Some(now + PAUSE)));
        lines.silence(&mut said);
        lines.take(b"\n", now, &mut said);
        assert_eq!(said.iter().map(short).collect::<Vec<_>>(), ["0: 10%"]);
    }
}
