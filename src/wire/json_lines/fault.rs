//! What can be wrong with a line. `explain` puts it into words.

/// Why a line is not one JSON object, each key once.
#[derive(Debug)]
pub(super) enum Broken {
    Fault(Fault),
    /// The key at this place was given before. Here it is decoded.
    Twice(usize, Vec<u8>),
    /// The key at this place is one unknown key too many.
    Many(usize),
}

impl From<Fault> for Broken {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// Where the bytes stop being JSON, and what the grammar wants there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::wire) struct Fault {
    /// The offset of the first byte that does not fit; the length, if the bytes end too soon.
    pub(super) at: usize,
    pub(super) wanted: Wanted,
}

/// What the grammar wants and did not find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::wire) enum Wanted {
    /// The line's object.
    Object,
    Value,
    /// A key, or the end of an empty object.
    KeyOrEnd,
    /// A key, after a comma.
    Key,
    Colon,
    /// A comma or the end of an object.
    CommaOrBrace,
    /// A comma or the end of an array.
    CommaOrBracket,
    /// A character that may stand in a string, or its closing quote.
    Character,
    /// The rest of an escape.
    Escape,
    /// A well-formed character.
    Utf8,
    Digit,
    /// No further digit, after a leading zero.
    NoDigit,
    /// The end of the line.
    End,
}

impl Wanted {
    #[inline]
    pub(super) fn at(self, at: usize) -> Fault {
        Fault { at, wanted: self }
    }
}
