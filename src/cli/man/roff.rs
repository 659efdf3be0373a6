//! The language of manual pages.

/// Text as roff takes it: no hyphen becomes a dash, and no line is taken for a request.
pub(super) fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq");
    if text.starts_with('.') { format!("\\&{text}") } else { text }
}
