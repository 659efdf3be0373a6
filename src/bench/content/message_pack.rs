//! The same kinds of content in MessagePack, again of an exact size, with the id as a string of fixed length.

use anyhow::{Result, ensure};

use super::{ContentKind, ID, LoadContent, point, text};

/// A string of sixteen bytes: what stands before every id.
const ID_HEAD: u8 = 0xa0 | ID as u8;
const FLOAT64: u8 = 0xcb;
const ARRAY_16: u8 = 0xdc;
const ARRAY_32: u8 = 0xdd;
/// What a float64 takes, marker included.
const FLOAT: usize = 9;

impl LoadContent {
    /// Content of `size` bytes in MessagePack.
    ///
    /// # Errors
    /// If no valid MessagePack with an id is that small.
    pub(crate) fn message_pack(kind: ContentKind, size: usize) -> Result<Self> {
        let least = match kind {
            ContentKind::Progress => b"\x82\xa3job ".len() + ID + b"\xa4text ".len(),
            ContentKind::Curve => b"\xdc   ".len() + ID,
            ContentKind::Text => b"\xd9 ".len() + ID,
        };
        ensure!(size >= least, "--size must be at least {least} for this kind of content");
        Ok(match kind {
            ContentKind::Progress => progress(size),
            ContentKind::Curve => curve(size),
            ContentKind::Text => {
                let mut before = Vec::new();
                let length = string(&mut before, size);
                Self { before, after: text(length - ID).into_bytes() }
            }
        })
    }
}

fn progress(size: usize) -> LoadContent {
    let mut numbers = Vec::new();
    for (key, number) in [("done", 0.4217_f64), ("eta_s", 137.5)] {
        string_of(&mut numbers, key);
        numbers.push(FLOAT64);
        numbers.extend_from_slice(&number.to_be_bytes());
    }
    string_of(&mut numbers, "phase");
    string_of(&mut numbers, "refine");
    let mut before = b"\x82\xa3job".to_vec();
    before.push(ID_HEAD);
    let room = size - before.len() - ID;
    let mut after = Vec::with_capacity(room);
    if room > numbers.len() + b"\xa4text".len() {
        before[0] += 3;
        after.append(&mut numbers);
    }
    string_of(&mut after, "text");
    let rest = room - after.len();
    let length = string(&mut after, rest);
    after.extend_from_slice(text(length).as_bytes());
    LoadContent { before, after }
}

fn curve(size: usize) -> LoadContent {
    let items = |head: usize| {
        let room = size - head - 1 - ID;
        (room / FLOAT, room % FLOAT)
    };
    let mut before = Vec::new();
    let (mut points, mut rest) = items(3);
    match u16::try_from(1 + points + rest) {
        Ok(count) => {
            before.push(ARRAY_16);
            before.extend_from_slice(&count.to_be_bytes());
        }
        Err(_) => {
            (points, rest) = items(5);
            before.push(ARRAY_32);
            before.extend_from_slice(&((1 + points + rest) as u32).to_be_bytes());
        }
    }
    before.push(ID_HEAD);
    let mut after = Vec::with_capacity(points * FLOAT + rest);
    for number in 0..points {
        after.push(FLOAT64);
        after.extend_from_slice(&point(number).to_be_bytes());
    }
    // What is left is less than a point: small integers of a byte each.
    after.resize(after.len() + rest, 1);
    LoadContent { before, after }
}

/// Appends the head of a string that takes `size` bytes with it, and returns how many of them are left for the string.
///
/// At the edges the head is longer than it would have to be: every size shall be possible.
fn string(out: &mut Vec<u8>, size: usize) -> usize {
    match size - 1 {
        length @ 0..=31 => {
            out.push(0xa0 | length as u8);
            length
        }
        32..=256 => {
            out.extend_from_slice(&[0xd9, (size - 2) as u8]);
            size - 2
        }
        257..=0x1_0001 => {
            out.push(0xda);
            out.extend_from_slice(&((size - 3) as u16).to_be_bytes());
            size - 3
        }
        _ => {
            out.push(0xdb);
            out.extend_from_slice(&((size - 5) as u32).to_be_bytes());
            size - 5
        }
    }
}

fn string_of(out: &mut Vec<u8>, text: &str) {
    string(out, 1 + text.len());
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::super::id;
    use super::*;

    #[test]
    fn content_is_message_pack_of_the_size_asked_for() {
        for kind in [ContentKind::Progress, ContentKind::Curve, ContentKind::Text] {
            for size in (28..400).chain([16 << 10, 65_535, 65_536, 65_537, 65_538, 65_539, 65_540, 65_541, 1_000_003]) {
                let content = LoadContent::message_pack(kind, size).unwrap();
                let bytes = content.with_id(id(3, 42));
                assert_eq!((bytes.len(), content.len()), (size, size), "{kind:?}");
                let mut rest = &bytes[..];
                let value = rmpv::decode::read_value(&mut rest).unwrap();
                assert!(rest.is_empty(), "{kind:?} of {size}: {value}");
                let all = value.to_string();
                assert!(all.contains("10003.0000000042"), "{kind:?} of {size}: {all}");
            }
            assert!(LoadContent::message_pack(kind, 17).is_err());
        }
        let value =
            rmpv::decode::read_value(&mut &LoadContent::message_pack(ContentKind::Progress, 108).unwrap().with_id(id(0, 0))[..]).unwrap();
        assert_eq!(value.as_map().unwrap().len(), 5);
    }
}
