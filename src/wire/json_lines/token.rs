//! The tokens of JSON: strings, numbers, words and the white space between them. This is where the time goes.
//!
//! Short runs are read byte by byte: the processor predicts each branch and reads on, whereas it would have to wait for the
//! length of a run to be computed. Long runs are read by words and blocks.

use super::fault::{Fault, Wanted};
use super::words::{self, word};

/// The byte at an offset; past the end a NUL, which JSON allows nowhere.
#[inline(always)]
pub(in crate::wire) fn byte(bytes: &[u8], at: usize) -> u8 {
    bytes.get(at).copied().unwrap_or(0)
}

/// The first offset from `at` on that holds no white space.
#[inline(always)]
pub(in crate::wire) fn skip_space(bytes: &[u8], mut at: usize) -> usize {
    // JSON from programs has little white space, and one comparison shows that there is none.
    if byte(bytes, at) > b' ' {
        return at;
    }
    while matches!(byte(bytes, at), b' ' | b'\t' | b'\r' | b'\n') {
        at += 1;
    }
    at
}

/// How many bytes of a string are read one by one.
const SHORT: usize = 16;

/// What a byte means in a string.
#[derive(Clone, Copy)]
enum Class {
    /// Stands for itself.
    Plain,
    Quote,
    /// Not ASCII, a backslash, or a fault.
    Other,
}

const CLASS: [Class; 256] = {
    let mut table = [Class::Other; 256];
    let mut byte = 0x20;
    while byte < 0x80 {
        table[byte] = Class::Plain;
        byte += 1;
    }
    table[b'"' as usize] = Class::Quote;
    table[b'\\' as usize] = Class::Other;
    table
};

/// From after a string's opening quote to after its closing one.
#[inline(always)]
pub(in crate::wire) fn string(bytes: &[u8], start: usize) -> Result<usize, Fault> {
    // Most strings are short, and ASCII alone.
    for (at, next) in bytes.iter().enumerate().skip(start).take(SHORT) {
        match CLASS[usize::from(*next)] {
            Class::Plain => {}
            Class::Quote => return Ok(at + 1),
            Class::Other => break,
        }
    }
    long_string(bytes, start)
}

#[inline(never)]
fn long_string(bytes: &[u8], start: usize) -> Result<usize, Fault> {
    let mut at = start;
    let mut not_ascii = false;
    loop {
        // A few words first: most runs between escapes are shorter than a block.
        let mut whole = 0;
        while whole < 6 {
            let next = word(bytes, at);
            not_ascii |= words::any_high(next);
            let run = words::plain_run(next);
            if run < words::WIDTH {
                at += run;
                break;
            }
            at += words::WIDTH;
            whole += 1;
        }
        if whole == 6 {
            while let Some(block) = bytes.get(at..).and_then(|rest| rest.first_chunk()) {
                let (all_plain, some_high) = words::all_plain(block);
                not_ascii |= some_high;
                if !all_plain {
                    break;
                }
                at += block.len();
            }
            continue;
        }
        match byte(bytes, at) {
            b'"' => break,
            b'\\' => at = escape(bytes, at + 1)?,
            _ => {
                // A broken character before this place comes first.
                utf8(bytes, start, at)?;
                return Err(Wanted::Character.at(at));
            }
        }
    }
    if not_ascii {
        utf8(bytes, start, at)?;
    }
    Ok(at + 1)
}

/// From after a backslash to after the escape.
#[inline(always)]
fn escape(bytes: &[u8], at: usize) -> Result<usize, Fault> {
    match byte(bytes, at) {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Ok(at + 1),
        b'u' => match bytes.get(at + 1..at + 5) {
            Some(hex) if hex.iter().all(u8::is_ascii_hexdigit) => Ok(at + 5),
            _ => Err(Wanted::Escape.at(at)),
        },
        _ => Err(Wanted::Escape.at(at)),
    }
}

#[cold]
#[inline(never)]
fn utf8(bytes: &[u8], start: usize, end: usize) -> Result<(), Fault> {
    match std::str::from_utf8(bytes.get(start..end).unwrap_or_default()) {
        Ok(_) => Ok(()),
        Err(error) => Err(Wanted::Utf8.at(start + error.valid_up_to())),
    }
}

#[inline(always)]
pub(super) fn literal(bytes: &[u8], at: usize, word: &[u8]) -> Result<usize, Fault> {
    let end = at + word.len();
    if bytes.get(at..end) == Some(word) { Ok(end) } else { Err(Wanted::Value.at(at)) }
}

/// From a number's first byte to after its last.
#[inline(always)]
pub(in crate::wire) fn number(bytes: &[u8], start: usize) -> Result<usize, Fault> {
    let first = if byte(bytes, start) == b'-' { start + 1 } else { start };
    let mut at = first;
    while byte(bytes, at).is_ascii_digit() {
        at += 1;
    }
    if at == first {
        return Err(Wanted::Digit.at(at));
    }
    if byte(bytes, first) == b'0' && at > first + 1 {
        return Err(Wanted::NoDigit.at(first + 1));
    }
    if byte(bytes, at) == b'.' {
        let fraction = at + 1;
        at = skip_digits(bytes, fraction);
        if at == fraction {
            return Err(Wanted::Digit.at(at));
        }
    }
    if byte(bytes, at) | 0x20 == b'e' {
        return exponent(bytes, at + 1);
    }
    Ok(at)
}

/// From after the `e` of a number to its end.
#[inline(always)]
fn exponent(bytes: &[u8], mut at: usize) -> Result<usize, Fault> {
    if matches!(byte(bytes, at), b'+' | b'-') {
        at += 1;
    }
    let end = skip_digits(bytes, at);
    if end == at { Err(Wanted::Digit.at(at)) } else { Ok(end) }
}

/// The first offset from `at` on that holds no digit. Short runs are read byte by byte, as short strings are. Where a long
/// one ends, as in the fraction of a float, cannot be predicted, so that is computed.
#[inline(always)]
fn skip_digits(bytes: &[u8], mut at: usize) -> usize {
    for _ in 0..5 {
        if !byte(bytes, at).is_ascii_digit() {
            return at;
        }
        at += 1;
    }
    loop {
        let run = words::digit_run(word(bytes, at));
        if run < words::WIDTH {
            return at + run;
        }
        at += words::WIDTH;
    }
}
