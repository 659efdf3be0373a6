//! Finds runs of bytes of one class, eight bytes at a time in an integer. (For whole blocks the compiler makes vector code of
//! a fold.)

/// How many bytes one word holds.
pub(super) const WIDTH: usize = 8;

const ONES: u64 = u64::from_le_bytes([1; WIDTH]);
/// The high bit of each byte.
const HIGH: u64 = ONES << 7;

/// The next eight bytes, the first in the lowest bits. Past the end there are NULs, which are no digits, and which no string
/// may hold.
#[inline(always)]
pub(super) fn word(bytes: &[u8], at: usize) -> u64 {
    match bytes.get(at..).and_then(|rest| rest.first_chunk()) {
        Some(chunk) => u64::from_le_bytes(*chunk),
        None => last_word(bytes, at),
    }
}

#[inline(always)]
fn last_word(bytes: &[u8], at: usize) -> u64 {
    match bytes.last_chunk::<WIDTH>() {
        // Shifting is quicker than copying bytes whose number is not known in advance.
        Some(last) => {
            let past = at.saturating_sub(bytes.len() - WIDTH).min(WIDTH);
            u64::from_le_bytes(*last).checked_shr(8 * past as u32).unwrap_or(0)
        }
        None => bytes.iter().skip(at).rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    }
}

/// Whether one of the bytes is not ASCII.
#[inline(always)]
pub(super) fn any_high(word: u64) -> bool {
    word & HIGH != 0
}

/// How many of the bytes, from the first on, stand for themselves in a string: no quote, backslash or control character.
#[inline(always)]
pub(super) fn plain_run(word: u64) -> usize {
    let quote = word ^ (ONES * b'"' as u64);
    let backslash = word ^ (ONES * b'\\' as u64);
    // Each term marks the bytes below a bound. A borrow can mark a byte wrongly, but only above one that is marked rightly.
    let stops =
        (quote.wrapping_sub(ONES) & !quote) | (backslash.wrapping_sub(ONES) & !backslash) | (word.wrapping_sub(ONES * 0x20) & !word);
    ((stops & HIGH).trailing_zeros() / 8) as usize
}

/// How many of the bytes, from the first on, are digits.
#[inline(always)]
pub(super) fn digit_run(word: u64) -> usize {
    let value = word ^ (ONES * b'0' as u64);
    // Adding 0x76 sets the high bit for 10 and more, and no carry leaves its byte.
    let others = ((value & !HIGH) + ONES * 0x76) | value;
    ((others & HIGH).trailing_zeros() / 8) as usize
}

/// Whether all of a long block stands for itself in a string, and whether some of it is not ASCII.
#[inline(always)]
pub(super) fn all_plain(block: &[u8; 64]) -> (bool, bool) {
    let stops = block.iter().fold(0, |stops, byte| stops | u8::from((*byte == b'"') | (*byte == b'\\') | (*byte < 0x20)));
    let high = block.iter().fold(0, |high, byte| high | byte);
    (stops == 0, high >= 0x80)
}

#[cfg(test)]
mod tests {
    use super::{WIDTH, all_plain, any_high, digit_run, plain_run, word};

    /// Every byte at every place, among neighbours that would show a carry or a borrow.
    fn words() -> impl Iterator<Item = [u8; WIDTH]> {
        [0, b'0', b'"', b'a', 0x1f, 0x80, 0xff].into_iter().flat_map(|fill| {
            [fill, b'5', b'a'].into_iter().flat_map(move |before| {
                (0..WIDTH).flat_map(move |place| {
                    (0..=255).map(move |byte| {
                        let mut word = [fill; WIDTH];
                        word[..place].fill(before);
                        word[place] = byte;
                        word
                    })
                })
            })
        })
    }

    fn run(bytes: &[u8], is: impl Fn(&u8) -> bool) -> usize {
        bytes.iter().take_while(|byte| is(byte)).count()
    }

    fn is_plain(byte: &u8) -> bool {
        *byte >= 0x20 && *byte != b'"' && *byte != b'\\'
    }

    #[test]
    fn runs_end_where_the_class_ends() {
        for bytes in words() {
            let number = u64::from_le_bytes(bytes);
            assert_eq!(digit_run(number), run(&bytes, u8::is_ascii_digit), "{bytes:x?}");
            assert_eq!(plain_run(number), run(&bytes, is_plain), "{bytes:x?}");
            assert_eq!(any_high(number), !bytes.is_ascii(), "{bytes:x?}");
            let mut block = [b'a'; 64];
            block[24..32].copy_from_slice(&bytes);
            assert_eq!(all_plain(&block), (bytes.iter().all(is_plain), !bytes.is_ascii()), "{bytes:x?}");
        }
    }

    #[test]
    fn past_the_end_are_nuls() {
        let text: Vec<u8> = (1..=20).collect();
        for length in 0..=text.len() {
            for at in 0..length + 20 {
                let mut expected = [0; WIDTH];
                for (to, from) in expected.iter_mut().zip(text[..length].iter().skip(at)) {
                    *to = *from;
                }
                assert_eq!(word(&text[..length], at).to_le_bytes(), expected, "{at} of {length}");
            }
        }
    }
}
