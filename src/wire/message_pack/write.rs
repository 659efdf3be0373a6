//! Values in their shortest form.

/// The head of a map with a few pairs.
pub(super) fn map(out: &mut Vec<u8>, pairs: usize) {
    debug_assert!(pairs < 16, "a larger map has another head");
    out.push(0x80 | pairs as u8);
}

pub(super) fn text(out: &mut Vec<u8>, text: &str) {
    match text.len() {
        length @ 0..=31 => out.push(0xa0 | length as u8),
        length => sized(out, [0xd9, 0xda, 0xdb], length),
    }
    out.extend_from_slice(text.as_bytes());
}

/// How many bytes stand before a text of this length.
pub(super) fn text_head(length: usize) -> usize {
    match length {
        0..=31 => 1,
        32..=0xff => 2,
        0x100..=0xffff => 3,
        _ => 5,
    }
}

pub(super) fn unsigned(out: &mut Vec<u8>, number: u64) {
    match number {
        0..=0x7f => out.push(number as u8),
        0x80..=0xff => out.extend_from_slice(&[0xcc, number as u8]),
        0x100..=0xffff => with_marker(out, 0xcd, (number as u16).to_be_bytes()),
        0x1_0000..=0xffff_ffff => with_marker(out, 0xce, (number as u32).to_be_bytes()),
        0x1_0000_0000.. => with_marker(out, 0xcf, number.to_be_bytes()),
    }
}

pub(super) fn signed(out: &mut Vec<u8>, number: i64) {
    match number {
        0.. => unsigned(out, number.unsigned_abs()),
        -0x20..=-1 => out.push(number as u8),
        -0x80..-0x20 => out.extend_from_slice(&[0xd0, number as u8]),
        -0x8000..-0x80 => with_marker(out, 0xd1, (number as i16).to_be_bytes()),
        -0x8000_0000..-0x8000 => with_marker(out, 0xd2, (number as i32).to_be_bytes()),
        ..-0x8000_0000 => with_marker(out, 0xd3, number.to_be_bytes()),
    }
}

pub(super) fn boolean(out: &mut Vec<u8>, value: bool) {
    out.push(0xc2 | u8::from(value));
}

pub(super) fn float(out: &mut Vec<u8>, number: f64) {
    with_marker(out, 0xcb, number.to_be_bytes());
}

pub(super) fn extension(out: &mut Vec<u8>, kind: i8, data: &[u8]) {
    match data.len() {
        1 => out.push(0xd4),
        2 => out.push(0xd5),
        4 => out.push(0xd6),
        8 => out.push(0xd7),
        16 => out.push(0xd8),
        length => sized(out, [0xc7, 0xc8, 0xc9], length),
    }
    out.push(kind.cast_unsigned());
    out.extend_from_slice(data);
}

/// A length behind the shortest of three markers.
fn sized(out: &mut Vec<u8>, markers: [u8; 3], length: usize) {
    let [small, middle, large] = markers;
    match length {
        0..=0xff => out.extend_from_slice(&[small, length as u8]),
        0x100..=0xffff => with_marker(out, middle, (length as u16).to_be_bytes()),
        _ => with_marker(out, large, (length as u32).to_be_bytes()),
    }
}

fn with_marker<const N: usize>(out: &mut Vec<u8>, marker: u8, bytes: [u8; N]) {
    out.push(marker);
    out.extend_from_slice(&bytes);
}
