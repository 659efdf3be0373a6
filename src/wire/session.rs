//! What belongs together across connections.

use std::fmt;

/// The name of a session: a random text that its client made. Whoever knows it can take the session over, so it is not shown.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SessionName(Box<str>);

impl SessionName {
    /// The shortest name, in bytes: a shorter one could be another client's by chance.
    pub const SHORTEST: usize = 16;
    /// The longest name, in bytes.
    pub const LONGEST: usize = 128;

    /// A name. None if it is too short or too long.
    pub fn new(text: &str) -> Option<Self> {
        (Self::SHORTEST..=Self::LONGEST).contains(&text.len()).then(|| Self(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SessionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionName(..)")
    }
}
