//! Where a stream stands: which run of it, and how many messages that run has had.

use std::fmt;
use std::num::NonZeroU64;

use serde::{Deserialize, Serialize, Serializer};

use super::settable::setters;

/// One run of a stream. Each run has an epoch of its own, and so has a stream that the broker forgot and that comes anew: within
/// one epoch the broker can tell whether messages are missing.
///
/// ```
/// # use msgstream::client::Epoch;
/// let epoch = Epoch::of_text("53a1cc19e5a80f5e");
/// assert_eq!(epoch.to_string(), "53a1cc19e5a80f5e");
/// assert_eq!(Epoch::new(0x53a1_cc19_e5a8_0f5e), epoch);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(NonZeroU64);

impl Epoch {
    /// What a client wrote that is no epoch of any broker: it equals no stream's.
    const FOREIGN: Self = Self(NonZeroU64::MAX);

    /// The epoch of a random number. Two numbers have none: their neighbours' are given instead.
    pub fn new(number: u64) -> Self {
        Self(NonZeroU64::new(number.min(u64::MAX - 1)).unwrap_or(NonZeroU64::MIN))
    }

    /// The epoch of a text on the wire. To clients it is a text without meaning, so any text is taken.
    pub fn of_text(text: &str) -> Self {
        let is_ours = text.len() == 16 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if !is_ours {
            return Self::FOREIGN;
        }
        u64::from_str_radix(text, 16).ok().and_then(NonZeroU64::new).map_or(Self::FOREIGN, Self)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Epoch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Epoch {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        std::borrow::Cow::<'de, str>::deserialize(deserializer).map(|text| Self::of_text(&text))
    }
}

/// A place in a stream: behind so many messages of a run. It can be stored, and listened from later, also by another program.
///
/// ```
/// # use msgstream::client::Position;
/// let position: Position = serde_json::from_str(r#"{"epoch":"53a1cc19e5a80f5e","sequence":42}"#)?;
/// assert_eq!(position.sequence, 42);
/// assert_eq!(serde_json::to_string(&position)?, r#"{"epoch":"53a1cc19e5a80f5e","sequence":42}"#);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The run.
    pub epoch: Epoch,
    /// How many of its messages have been.
    pub sequence: u64,
}

/// Where a listener begins in what a stream has already had. By default it begins with what comes next.
///
/// ```
/// # use msgstream::client::Start;
/// let start = Start::default().last(10);
/// assert_eq!((start.last, start.after), (Some(10), None));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Start {
    /// Where it was when it listened before: it is to have all that followed.
    pub after: Option<Position>,
    /// So many of the last messages, if `after` is not given or cannot be honoured.
    pub last: Option<u64>,
    /// What waits for it is replaced by the newest message.
    pub latest: bool,
}

setters! {
    "msgstream::client::{Epoch, Position, Start}";
    Start {
        after: impl Into<Option<Position>>, "Position { epoch: Epoch::of_text(\"53a1cc19e5a80f5e\"), sequence: 42 }";
        last: impl Into<Option<u64>>, "10";
        latest: bool, "true";
    }
}

#[cfg(test)]
mod tests {
    use super::{Epoch, Position};

    #[test]
    fn an_epoch_is_read_as_it_is_written_and_no_other_text_is_one() {
        for number in [0, 1, 0xabc, u64::MAX >> 1, u64::MAX - 1, u64::MAX] {
            let epoch = Epoch::new(number);
            assert_eq!(Epoch::of_text(&epoch.to_string()), epoch);
            assert_ne!(epoch, Epoch::FOREIGN);
        }
        for text in ["", "abc", "+00000000000000a", "000000000000000A", "0000000000000000", "é"] {
            assert_eq!(Epoch::of_text(text), Epoch::FOREIGN, "{text}");
        }
        let position: Position = serde_json::from_str(r#"{"sequence":7,"epoch":"000000000000000a","more":[]}"#).unwrap();
        assert_eq!(position, Position { epoch: Epoch::new(10), sequence: 7 });
    }
}
