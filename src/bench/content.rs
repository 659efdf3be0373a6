//! What messages contain: valid JSON of an exact size, with an id at a fixed place so that checking it is cheap. In
//! [`message_pack`] the same in MessagePack.

mod message_pack;

use anyhow::{Result, ensure};
use clap::ValueEnum;

/// What the content of a message looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ContentKind {
    /// An object with a few fields, as a job reports its progress
    Progress,
    /// An array of numbers
    Curve,
    /// A string
    Text,
}

/// The content of every message: what stands before the id, and what stands after it.
#[derive(Debug, Clone)]
pub(crate) struct LoadContent {
    /// What stands before the id.
    pub(crate) before: Vec<u8>,
    /// What stands after it.
    pub(crate) after: Vec<u8>,
}

/// The id is a JSON number, and in MessagePack a string of it: `10003.0000000042` is message 42 of
/// publisher 3 to one stream. A leading 1 keeps it valid JSON, a fixed width keeps it in place.
pub(crate) const ID: usize = 16;
/// Where the digits of the sequence number begin in an id.
pub(crate) const ID_NUMBER: usize = 6;

impl LoadContent {
    /// Content of `size` bytes in JSON.
    ///
    /// # Errors
    /// If no valid JSON with an id is that small.
    pub(crate) fn json(kind: ContentKind, size: usize) -> Result<Self> {
        let (before, least) = match kind {
            ContentKind::Progress => (r#"{"job":"#, 1),
            ContentKind::Curve => ("[", 1),
            ContentKind::Text => ("\"", 1),
        };
        let least = before.len() + ID + least;
        ensure!(size >= least, "--size must be at least {least} for this kind of content");
        let room = size - before.len() - ID;
        let after = match kind {
            ContentKind::Progress => progress(room),
            ContentKind::Curve => curve(room),
            ContentKind::Text => text(room - 1) + "\"",
        };
        debug_assert_eq!(after.len(), room);
        Ok(Self { before: before.into(), after: after.into_bytes() })
    }

    /// The size of the content, in bytes.
    pub(crate) fn len(&self) -> usize {
        self.before.len() + ID + self.after.len()
    }

    /// The whole content, with the given id in it.
    pub(crate) fn with_id(&self, id: [u8; ID]) -> Vec<u8> {
        [&self.before[..], &id, &self.after].concat()
    }
}

/// The id of a publisher's `number`th message.
pub(crate) fn id(publisher: usize, number: u64) -> [u8; ID] {
    let mut id = *b"10000.0000000000";
    write_digits(&mut id[1..5], publisher as u64);
    write_digits(&mut id[ID_NUMBER..], number);
    id
}

/// Writes a number into a field of digits, with leading zeros.
pub(crate) fn write_digits(field: &mut [u8], mut number: u64) {
    for digit in field.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// Reads a field of digits; `None` if something else stands there.
pub(crate) fn read_digits(field: &[u8]) -> Option<u64> {
    field.iter().try_fold(0, |number: u64, digit| digit.is_ascii_digit().then(|| number * 10 + u64::from(digit - b'0')))
}

/// Adds one to a field of digits. Cheaper than writing the number again: nine times out of ten it changes one byte.
pub(crate) fn bump(field: &mut [u8]) {
    for digit in field.iter_mut().rev() {
        if *digit != b'9' {
            *digit += 1;
            return;
        }
        *digit = b'0';
    }
}

fn progress(room: usize) -> String {
    for start in [r#","done":0.4217,"eta_s":137.5,"phase":"refine","text":""#, r#","text":""#] {
        if room >= start.len() + 2 {
            return format!("{start}{}\"}}", text(room - start.len() - 2));
        }
    }
    format!("{:1$}}}", "", room - 1)
}

fn curve(room: usize) -> String {
    let mut points = String::with_capacity(room);
    let mut number = 0;
    while points.len() + 10 <= room {
        points.push_str(&format!(",{:.6}", point(number)));
        number += 1;
    }
    // What is left is less than a point: more digits for the last one, or blanks if there is none.
    let filler = if points.is_empty() { ' ' } else { '1' };
    while points.len() + 1 < room {
        points.push(filler);
    }
    points.push(']');
    points
}

/// A point of the curve.
fn point(number: usize) -> f64 {
    0.5 + 0.49 * (number as f64 * 0.05).sin()
}

fn text(length: usize) -> String {
    "aligning particles, pass 3 of 8 ".chars().cycle().take(length).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_json_of_the_size_asked_for() {
        for kind in [ContentKind::Progress, ContentKind::Curve, ContentKind::Text] {
            for size in (24..200).chain([16 << 10, 1_000_003]) {
                let content = LoadContent::json(kind, size).unwrap();
                let bytes = content.with_id(id(3, 42));
                assert_eq!((bytes.len(), content.len()), (size, size), "{kind:?}");
                assert!(serde_json::from_slice::<serde_json::Value>(&bytes).is_ok(), "{}", String::from_utf8_lossy(&bytes));
            }
            assert!(LoadContent::json(kind, 10).is_err());
        }
    }

    #[test]
    fn digits_count() {
        let mut field = *b"0998";
        bump(&mut field);
        assert_eq!(&field, b"0999");
        bump(&mut field);
        assert_eq!(read_digits(&field), Some(1000));
        assert_eq!(read_digits(b"10 0"), None);
        assert_eq!(&id(3, 42), b"10003.0000000042");
    }
}
