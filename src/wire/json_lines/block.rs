//! Which of 64 bytes belong to a class: an integer with one bit a byte, the lowest for the first.

use wide::{CmpEq, i8x16};

/// How many bytes a block holds.
pub(super) const BLOCK: usize = 64;

/// A block of bytes.
#[derive(Clone, Copy)]
pub(super) struct Block([i8x16; 4]);

impl Block {
    #[inline(always)]
    pub(super) fn of(bytes: &[u8; BLOCK]) -> Self {
        let (parts, _) = bytes.as_chunks::<16>();
        let lane = |index: usize| i8x16::new(parts[index].map(|byte| byte as i8));
        Self([lane(0), lane(1), lane(2), lane(3)])
    }

    /// The places of the bytes that a function makes negative.
    #[inline(always)]
    fn signs(&self, of: impl Fn(i8x16) -> i8x16) -> u64 {
        let [a, b, c, d] = self.0.map(|lane| u64::from(of(lane).move_mask() as u16));
        a | b << 16 | c << 32 | d << 48
    }

    /// The places of this byte.
    #[inline(always)]
    pub(super) fn equal(&self, byte: u8) -> u64 {
        let byte = i8x16::splat(byte as i8);
        self.signs(|lane| lane.cmp_eq(byte))
    }

    /// The places of this letter, which is given in lower case, in either case.
    #[inline(always)]
    pub(super) fn letter(&self, letter: u8) -> u64 {
        let (letter, case) = (i8x16::splat(letter as i8), i8x16::splat(0x20));
        self.signs(|lane| (lane | case).cmp_eq(letter))
    }

    /// The places of digits, and those of zeros.
    #[inline(always)]
    pub(super) fn digits(&self) -> (u64, u64) {
        // The subtraction makes the digits the ten least signed bytes, the addition the only negative ones.
        let (least, ten) = (i8x16::splat((b'0' ^ 0x80) as i8), i8x16::splat(i8::MAX - 9));
        let digits = Self(self.0.map(|lane| (lane - least).saturating_add(ten)));
        (digits.signs(|lane| lane), digits.equal(-10_i8 as u8))
    }
}

#[cfg(test)]
mod tests {
    use super::{BLOCK, Block};

    fn places(bytes: &[u8; BLOCK], is: impl Fn(u8) -> bool) -> u64 {
        (0..BLOCK).filter(|place| is(bytes[*place])).fold(0, |mask, place| mask | 1 << place)
    }

    #[test]
    fn every_byte_is_known_at_every_place() {
        for fill in [0, b'0', b'9', b'a', 0x80, 0xff] {
            for (place, byte) in (0..BLOCK).flat_map(|place| (0..=255).map(move |byte| (place, byte))) {
                let mut bytes = [fill; BLOCK];
                bytes[place] = byte;
                let block = Block::of(&bytes);
                assert_eq!(block.equal(b','), places(&bytes, |byte| byte == b','), "{byte} at {place}");
                assert_eq!(block.letter(b'e'), places(&bytes, |byte| byte == b'e' || byte == b'E'), "{byte} at {place}");
                let digits = (places(&bytes, |byte| byte.is_ascii_digit()), places(&bytes, |byte| byte == b'0'));
                assert_eq!(block.digits(), digits, "{byte} at {place}");
            }
        }
    }
}
