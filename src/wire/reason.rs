//! Words that the reasons of every encoding share. Slow, and used only after a mistake.

/// The most characters of a client's own text that a reason repeats.
pub(super) const ECHO: usize = 40;

/// The beginning of a client's text, safe to repeat.
pub(super) fn cut(text: &[u8]) -> String {
    // No character takes more than four bytes: enough for one more than is shown.
    let text = text.get(..(ECHO + 1) * 4).unwrap_or(text);
    let text = String::from_utf8_lossy(text);
    if text.chars().count() <= ECHO {
        return text.into_owned();
    }
    text.chars().take(ECHO - 1).chain(['…']).collect()
}

/// Words that other brokers use, and ours for them.
const ALIASES: [(&str, &str); 12] = [
    ("publish", "put"),
    ("pub", "put"),
    ("send", "put"),
    ("post", "put"),
    ("message", "put"),
    ("subscribe", "listen"),
    ("sub", "listen"),
    ("unsubscribe", "hangup"),
    ("unsub", "hangup"),
    ("quit", "close"),
    ("end", "close"),
    ("remove", "delete"),
];

/// Says that there is no such action, and which one was probably meant.
pub(super) fn unknown_action(given: &str, known: &[&str]) -> String {
    let shown = cut(given.as_bytes());
    // The beginning is enough: the cost of comparing grows with the square of the length.
    let word: String = given.trim().chars().take(ECHO).collect::<String>().to_lowercase();
    let alias = ALIASES.iter().find(|(theirs, _)| *theirs == word).map(|(_, ours)| *ours);
    let nearest = known
        .iter()
        .map(|ours| (strsim::damerau_levenshtein(ours, &word), *ours))
        .min_by_key(|(distance, _)| *distance)
        // With more typos than that it is another word.
        .filter(|(distance, ours)| *distance * 2 <= ours.len())
        .map(|(_, ours)| ours);
    match alias.or(nearest) {
        Some(ours) => format!("there is no action \"{shown}\": did you mean \"{ours}\"? (known are {})", known.join(", ")),
        None => format!("there is no action \"{shown}\": known are {}", known.join(", ")),
    }
}
