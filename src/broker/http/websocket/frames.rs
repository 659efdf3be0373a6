//! The frames of WebSockets, as bytes.

/// The longest header of a frame: two bytes, the length in eight, and the mask.
pub(super) const LONGEST_HEADER: usize = 14;

pub(super) const FINAL: u8 = 0x80;
pub(super) const RESERVED: u8 = 0x70;
pub(super) const MASKED: u8 = 0x80;

pub(super) const CONTINUATION: u8 = 0x0;
pub(super) const TEXT: u8 = 0x1;
pub(super) const BINARY: u8 = 0x2;
pub(super) const CLOSE: u8 = 0x8;
pub(super) const PING: u8 = 0x9;
pub(super) const PONG: u8 = 0xa;

/// A frame that comes, behind its header.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) opcode: u8,
    pub(super) is_final: bool,
    pub(super) mask: [u8; 4],
    /// How many bytes of it have come.
    pub(super) came: u64,
    pub(super) length: u64,
}

/// Appends a frame. What a server sends is not masked.
pub(super) fn put_frame(first: u8, payload: &[u8], out: &mut Vec<u8>) {
    let length = payload.len();
    match length {
        0..=125 => out.extend_from_slice(&[first, length as u8]),
        126..=0xffff => {
            out.extend_from_slice(&[first, 126]);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            out.extend_from_slice(&[first, 127]);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(payload);
}

/// Takes the mask from bytes, of which `at` have come before.
pub(super) fn unmask(bytes: &mut [u8], mask: [u8; 4], at: u64) {
    let mut turned = mask;
    turned.rotate_left((at % 4) as usize);
    let word = u32::from_ne_bytes(turned);
    let (words, rest) = bytes.as_chunks_mut::<4>();
    for bytes in words {
        *bytes = (u32::from_ne_bytes(*bytes) ^ word).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(turned) {
        *byte ^= mask;
    }
}
