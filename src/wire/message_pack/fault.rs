//! What can be wrong with a unit. `explain` puts it into words.

/// Why a unit is not one map, each key once.
#[derive(Debug)]
pub(super) enum Broken {
    Fault(Fault),
    /// The unit has fewer bytes than its length says.
    Cut,
    /// It is no map, but this.
    NotMap(&'static str),
    /// The key at this offset is no text, but this.
    KeyKind(usize, &'static str),
    /// The key at this offset was given before.
    Twice(usize, Vec<u8>),
    /// The key at this offset is one unknown key too many.
    Many(usize),
    /// Something follows the map, at this offset.
    After(usize),
}

impl From<Fault> for Broken {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// Where the bytes stop being MessagePack that can be passed on, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fault {
    /// The offset of what does not fit.
    pub(super) at: usize,
    pub(super) what: What,
}

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// The value goes on beyond the end of the bytes.
    TooShort,
    /// The marker 0xc1, which stands for nothing.
    Reserved,
    /// A text that is not UTF-8.
    Utf8,
    /// A key of a map that is neither a text nor an integer.
    Key,
}

impl What {
    pub(super) fn at(self, at: usize) -> Fault {
        Fault { at, what: self }
    }
}
