//! Sizes and times as people write them: `64MiB`, `10s`, `1h 30m`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{self, Deserialize, Deserializer, Visitor};

/// A number of bytes. Reads `4096`, `16MiB`, `1.5 GB`, `64k`; writes the largest binary unit that is exact.
///
/// ```
/// # use msgstream::units::ByteSize;
/// assert_eq!("1.5 GB".parse(), Ok(ByteSize(1_500_000_000)));
/// assert_eq!("64k".parse(), Ok(ByteSize(65_536)));
/// assert_eq!(ByteSize(64 << 20).to_string(), "64MiB");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(pub usize);

/// A span of time. Reads `10s`, `250ms`, `1h 30m`, `2d`; a bare number other than 0 is refused, since its unit would be a guess.
///
/// ```
/// # use std::time::Duration;
/// # use msgstream::units::Span;
/// assert_eq!("1h 30m".parse(), Ok(Span(Duration::from_secs(5400))));
/// assert_eq!(Span::from_secs(3600).to_string(), "1h");
/// assert!("10".parse::<Span>().is_err(), "10 of what?");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(pub Duration);

impl Span {
    /// A span of whole seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }
}

/// A size or a time that could not be read, and what would be right.
///
/// ```
/// # use msgstream::units::ByteSize;
/// let error = "64 megs".parse::<ByteSize>().unwrap_err();
/// assert!(error.to_string().contains("write a number and a unit"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadUnit(String);

const SIZES: [(&str, usize); 16] = [
    ("gib", 1 << 30),
    ("mib", 1 << 20),
    ("kib", 1 << 10),
    ("tib", 1 << 40),
    ("gb", 1_000_000_000),
    ("mb", 1_000_000),
    ("kb", 1_000),
    ("tb", 1_000_000_000_000),
    ("g", 1 << 30),
    ("m", 1 << 20),
    ("k", 1 << 10),
    ("t", 1 << 40),
    ("bytes", 1),
    ("byte", 1),
    ("b", 1),
    ("", 1),
];

const TIMES: [(&str, f64); 6] = [("ms", 0.001), ("s", 1.0), ("m", 60.0), ("min", 60.0), ("h", 3600.0), ("d", 86400.0)];

/// Splits `12.5mib rest` into its number, its unit in lower case and the rest.
fn number_and_unit(text: &str) -> Option<(f64, String, &str)> {
    let text = text.trim_start();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.' && c != '_').unwrap_or(text.len());
    let number: f64 = text[..digits].replace('_', "").parse().ok()?;
    let rest = text[digits..].trim_start();
    let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
    Some((number, rest[..letters].to_ascii_lowercase(), &rest[letters..]))
}

impl FromStr for ByteSize {
    type Err = BadUnit;

    fn from_str(text: &str) -> Result<Self, BadUnit> {
        let bad = || BadUnit(format!("{text:?} is not a size: write a number and a unit, such as \"64MiB\" or \"500kB\""));
        let (number, unit, rest) = number_and_unit(text).ok_or_else(bad)?;
        if !rest.trim().is_empty() {
            return Err(bad());
        }
        let (_, scale) = SIZES.iter().find(|(name, _)| *name == unit).ok_or_else(bad)?;
        let bytes = number * *scale as f64;
        // 2^53: above it a float no longer counts single bytes, and no machine has that much memory.
        if bytes > 9_007_199_254_740_992.0 {
            return Err(BadUnit(format!("{text:?} is larger than any memory: the most is 8192TiB")));
        }
        Ok(Self(bytes as usize))
    }
}

impl FromStr for Span {
    type Err = BadUnit;

    fn from_str(text: &str) -> Result<Self, BadUnit> {
        let bad = || BadUnit(format!("{text:?} is not a time: write a number and a unit, such as \"10s\", \"250ms\" or \"1h 30m\""));
        if text.trim() == "0" {
            return Ok(Self(Duration::ZERO));
        }
        let (mut rest, mut seconds) = (text, 0.0);
        while !rest.trim().is_empty() {
            let (number, unit, after) = number_and_unit(rest).ok_or_else(bad)?;
            let (_, scale) = TIMES.iter().find(|(name, _)| *name == unit).ok_or_else(bad)?;
            seconds += number * scale;
            rest = after;
        }
        if text.trim().is_empty() {
            return Err(bad());
        }
        // A hundred years: beyond it the clock's arithmetic could overflow.
        if seconds > 100.0 * 365.25 * 86400.0 {
            return Err(BadUnit(format!("{text:?} is longer than a hundred years")));
        }
        Duration::try_from_secs_f64(seconds).map(Self).map_err(|_| bad())
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, scale) in [("GiB", 1_usize << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
            if self.0 != 0 && self.0.is_multiple_of(scale) {
                return write!(f, "{}{unit}", self.0 / scale);
            }
        }
        write!(f, "{} bytes", self.0)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0.as_millis();
        for (unit, scale) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)] {
            if ms != 0 && ms.is_multiple_of(scale) {
                return write!(f, "{}{unit}", ms / scale);
            }
        }
        write!(f, "{ms}ms")
    }
}

struct SizeVisitor;

impl Visitor<'_> for SizeVisitor {
    type Value = ByteSize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a size such as \"64MiB\"")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<ByteSize, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<ByteSize, E> {
        usize::try_from(bytes).map(ByteSize).map_err(E::custom)
    }

    fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<ByteSize, E> {
        usize::try_from(bytes).map(ByteSize).map_err(|_| E::custom("a size cannot be negative"))
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SizeVisitor)
    }
}

struct SpanVisitor;

impl Visitor<'_> for SpanVisitor {
    type Value = Span;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time such as \"10s\"")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Span, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Span, E> {
        number.to_string().parse().map_err(E::custom)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Span, E> {
        number.to_string().parse().map_err(E::custom)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SpanVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_as_people_write_them() {
        for (text, bytes) in [("0", 0), ("4096", 4096), ("16MiB", 16 << 20), ("1.5 GB", 1_500_000_000), ("64k", 65536), ("2 Tib", 2 << 40)]
        {
            assert_eq!(text.parse(), Ok(ByteSize(bytes)), "{text}");
        }
        for text in ["", "MiB", "-1", "1 furlong", "1MiB 2", "1e9TiB", "99999999TiB"] {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
        assert_eq!(ByteSize(64 << 20).to_string(), "64MiB");
        assert_eq!(ByteSize(1000).to_string(), "1000 bytes");
    }

    #[test]
    fn times_read_as_people_write_them() {
        for (text, ms) in [("0", 0), ("10s", 10_000), ("250ms", 250), ("1h 30m", 5_400_000), ("1h30m", 5_400_000), ("2 d", 172_800_000)] {
            assert_eq!(text.parse(), Ok(Span(Duration::from_millis(ms))), "{text}");
        }
        for text in ["", "10", "ten seconds", "-1s", "1s x", "9999999999999999d"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
        assert_eq!(Span(Duration::from_secs(3600)).to_string(), "1h");
        assert_eq!(Span(Duration::from_millis(1500)).to_string(), "1500ms");
    }
}
