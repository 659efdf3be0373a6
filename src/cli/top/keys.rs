//! What keys mean.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::model::Act;

/// What a key asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Act(Act),
    Quit,
    /// Ctrl-C.
    Interrupt,
    /// Ctrl-Z.
    Suspend,
    /// Ctrl-L: what others have written goes away.
    Redraw,
}

/// The keys, as the help names them.
pub(super) const HELP: [(&str, &str); 8] = [
    ("↑ ↓ j k", "up and down"),
    ("PgUp PgDn", "a page; Home, End: all the way"),
    ("Enter Esc", "into a stream, and back"),
    ("/", "only names that contain a text"),
    ("f", "only some states"),
    ("s r", "the next order; the other way"),
    ("space", "hold what is shown, and go on"),
    ("q Ctrl-C", "quit"),
];

/// What this one means, while somebody `is_typing` or not.
pub(super) fn meaning(key: KeyEvent, is_typing: bool) -> Option<Key> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return match key.code {
            KeyCode::Char('c') => Some(Key::Interrupt),
            KeyCode::Char('z') => Some(Key::Suspend),
            KeyCode::Char('l') => Some(Key::Redraw),
            KeyCode::Char('u') => is_typing.then_some(Key::Act(Act::Clear)),
            KeyCode::Char('f') => Some(Key::Act(Act::PageDown)),
            KeyCode::Char('b') => Some(Key::Act(Act::PageUp)),
            _ => None,
        };
    }
    let act = match (key.code, is_typing) {
        (KeyCode::Up, _) | (KeyCode::Char('k'), false) => Act::Up,
        (KeyCode::Down, _) | (KeyCode::Char('j'), false) => Act::Down,
        (KeyCode::PageUp, _) => Act::PageUp,
        (KeyCode::PageDown, _) => Act::PageDown,
        (KeyCode::Home, _) | (KeyCode::Char('g'), false) => Act::First,
        (KeyCode::End, _) | (KeyCode::Char('G'), false) => Act::Last,
        (KeyCode::Enter, _) => Act::Open,
        (KeyCode::Esc, _) => Act::Back,
        (KeyCode::Backspace, true) => Act::Erase,
        (KeyCode::Char(letter), true) => Act::Type(letter),
        (KeyCode::Char('/'), false) => Act::Search,
        (KeyCode::Char('s'), false) => Act::Sort,
        (KeyCode::Char('r'), false) => Act::Reverse,
        (KeyCode::Char('f'), false) => Act::Filter,
        (KeyCode::Char(' '), false) => Act::Hold,
        (KeyCode::Char('?' | 'h') | KeyCode::F(1), false) => Act::Help,
        (KeyCode::Char('q'), false) => return Some(Key::Quit),
        _ => return None,
    };
    Some(Key::Act(act))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_keys_unless_somebody_types() {
        let key = |code| KeyEvent::new(code, KeyModifiers::NONE);
        assert_eq!(meaning(key(KeyCode::Char('q')), false), Some(Key::Quit));
        for letter in ['q', 's', ' ', '/', '?'] {
            assert_eq!(meaning(key(KeyCode::Char(letter)), true), Some(Key::Act(Act::Type(letter))));
        }
        assert_eq!(meaning(key(KeyCode::Esc), true), Some(Key::Act(Act::Back)));
        for is_typing in [false, true] {
            let ctrl_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
            assert_eq!(meaning(ctrl_c, is_typing), Some(Key::Interrupt));
        }
        let released = KeyEvent { kind: KeyEventKind::Release, ..key(KeyCode::Char('q')) };
        assert_eq!(meaning(released, false), None);
    }
}
