//! Where a stream stands: which run of it, and how many messages that run has had.

use std::borrow::Borrow;
use std::fmt;
use std::num::NonZeroU64;

use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use super::settable::setters;
use crate::wire::ids::StreamName;

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
    pub(crate) const FOREIGN: Self = Self(NonZeroU64::MAX);

    /// The epoch of a random number. Two numbers have none: their neighbours' are given instead.
    pub fn new(number: u64) -> Self {
        Self(NonZeroU64::new(number.min(u64::MAX - 1)).unwrap_or(NonZeroU64::MIN))
    }

    /// Its number.
    #[cfg(feature = "broker")]
    pub(crate) fn number(self) -> u64 {
        self.0.get()
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

/// Where a listener was in several streams, by their names. It can be stored, and listened from later, also by another program.
///
/// ```
/// # use msgstream::client::Positions;
/// let text = r#"{"fit-1":{"epoch":"53a1cc19e5a80f5e","sequence":42}}"#;
/// let positions: Positions = serde_json::from_str(text)?;
/// assert_eq!(positions.get("fit-1").map(|position| position.sequence), Some(42));
/// assert_eq!(positions.iter().count(), 1);
/// assert_eq!(serde_json::to_string(&positions)?, text);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Positions(
    /// In the order of names.
    Box<[(StreamName, Position)]>,
);

impl Positions {
    /// Where it was in one of them.
    pub fn get(&self, stream: &str) -> Option<Position> {
        let found = self.0.binary_search_by(|(name, _)| name.as_str().cmp(stream)).ok()?;
        self.0.get(found).map(|(_, position)| *position)
    }

    /// All of them, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Position)> {
        self.0.iter().map(|(name, position)| (name.as_str(), *position))
    }
}

#[cfg(feature = "broker")]
impl Positions {
    /// The streams.
    pub(crate) fn streams(&self) -> impl Iterator<Item = &StreamName> {
        self.0.iter().map(|(name, _)| name)
    }
}

/// Of names and positions. A name that is empty is no stream's, and is passed over; of one that is given twice, the last counts.
impl<S: Borrow<str>> FromIterator<(S, Position)> for Positions {
    fn from_iter<I: IntoIterator<Item = (S, Position)>>(streams: I) -> Self {
        let named = |(name, position): (S, Position)| StreamName::new(name.borrow()).ok().map(|name| (name, position));
        let mut streams: Vec<_> = streams.into_iter().filter_map(named).collect();
        streams.reverse();
        streams.sort_by(|(one, _), (other, _)| one.cmp(other));
        streams.dedup_by(|(one, _), (other, _)| one == other);
        Self(streams.into_boxed_slice())
    }
}

impl Serialize for Positions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Positions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ByStream;

        impl<'de> Visitor<'de> for ByStream {
            type Value = Positions;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("positions by stream")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Positions, A::Error> {
                let mut streams = Vec::new();
                while let Some((name, position)) = map.next_entry::<std::borrow::Cow<'de, str>, Position>()? {
                    streams.push((StreamName::new(&name).map_err(A::Error::custom)?, position));
                }
                Ok(streams.into_iter().collect())
            }
        }

        deserializer.deserialize_map(ByStream)
    }
}

/// Where the listener of a prefix begins in what its streams have already had. By default it begins with what comes next.
///
/// ```
/// # use msgstream::client::Starts;
/// let starts = Starts::default().last(10);
/// assert_eq!((starts.last, starts.after), (Some(10), None));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Starts {
    /// Where it was in some of the streams when it listened before.
    pub after: Option<Positions>,
    /// So many of the last messages of each stream for which `after` is not given or cannot be honoured.
    pub last: Option<u64>,
    /// What waits for it of each stream is replaced by the newest message.
    pub latest: bool,
}

setters! {
    "msgstream::client::{Positions, Starts}";
    Starts {
        after: impl Into<Option<Positions>>, "Positions::default()";
        last: impl Into<Option<u64>>, "10";
        latest: bool, "true";
    }
}

impl Starts {
    /// Where it begins in one stream.
    ///
    /// ```
    /// # use msgstream::client::Starts;
    /// assert_eq!(Starts::default().last(10).of("fit-1").last, Some(10));
    /// ```
    pub fn of(&self, stream: &str) -> Start {
        Start { after: self.after.as_ref().and_then(|after| after.get(stream)), last: self.last, latest: self.latest }
    }
}

#[cfg(test)]
mod tests {
    use super::{Epoch, Position, Positions};

    #[test]
    fn positions_are_found_by_name_and_the_last_one_counts() {
        let text = r#"{"b":{"epoch":"x","sequence":1},"a":{"epoch":"x","sequence":2},"b":{"epoch":"x","sequence":3}}"#;
        let positions: Positions = serde_json::from_str(text).unwrap();
        let of = |name: &str| positions.get(name).map(|position| position.sequence);
        assert_eq!(["a", "b", "0", "aa", "c"].map(of), [Some(2), Some(3), None, None, None]);
        for text in [r#"{"":{"epoch":"x","sequence":1}}"#, r#"{"a":1}"#, "[]", "7"] {
            assert!(serde_json::from_str::<Positions>(text).is_err(), "{text}");
        }
    }

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
