//! The validator: whether bytes are one JSON value (RFC 8259) and where it ends. It stores nothing and converts nothing.
//!
//! It accepts what `serde_json` accepts when it skips a value: numbers of any size and `\u` escapes of lone surrogates
//! are within the grammar. It goes to any depth without recursion, at one bit a level.

use super::words::{self, word};

/// Where the bytes cease to be JSON, and what would have had to stand there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fault {
    /// The offset of the first byte that does not fit; the length, if the bytes end too soon.
    pub(super) at: usize,
    pub(super) wanted: Wanted,
}

/// What the grammar asks for where it was not found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// The line's object.
    Object,
    Value,
    /// A key, or the end of an empty object.
    KeyOrEnd,
    /// A key, after a comma.
    Key,
    Colon,
    /// A comma or the end of an object.
    CommaOrBrace,
    /// A comma or the end of an array.
    CommaOrBracket,
    /// A character that may stand in a string, or its closing quote.
    Character,
    /// The rest of an escape.
    Escape,
    /// A well-formed character.
    Utf8,
    Digit,
    /// No further digit, after a leading zero.
    NoDigit,
    /// The end of the line.
    End,
}

impl Wanted {
    #[inline]
    pub(super) fn at(self, at: usize) -> Fault {
        Fault { at, wanted: self }
    }
}

/// The byte at an offset; a NUL, which may stand nowhere in JSON, past the end.
#[inline(always)]
pub(super) fn byte(bytes: &[u8], at: usize) -> u8 {
    bytes.get(at).copied().unwrap_or(0)
}

/// The first offset from `at` on that holds no white space.
#[inline(always)]
pub(super) fn skip_space(bytes: &[u8], mut at: usize) -> usize {
    while matches!(byte(bytes, at), b' ' | b'\t' | b'\r' | b'\n') {
        at += 1;
    }
    at
}

/// The containers that are open: a bit each, set for an object.
#[derive(Default)]
struct Open {
    /// The innermost, up to 64.
    bits: u64,
    depth: usize,
    /// Those around them, 64 a word.
    outer: Vec<u64>,
}

impl Open {
    #[inline(always)]
    fn push(&mut self, object: bool) {
        if self.depth.is_multiple_of(64) && self.depth > 0 {
            self.outer.push(self.bits);
        }
        self.bits = self.bits << 1 | u64::from(object);
        self.depth += 1;
    }

    #[inline(always)]
    fn pop(&mut self) {
        self.depth -= 1;
        self.bits >>= 1;
        if self.depth.is_multiple_of(64) {
            self.bits = self.outer.pop().unwrap_or(0);
        }
    }
}

/// The end of the value that begins at `start`, where no white space may stand.
pub(super) fn value(bytes: &[u8], start: usize) -> Result<usize, Fault> {
    let mut open = Open::default();
    let mut at = start;
    loop {
        // A value begins here.
        match byte(bytes, at) {
            b'"' => at = string(bytes, at + 1)?,
            b'-' | b'0'..=b'9' => at = number(bytes, at)?,
            b'{' => {
                at = skip_space(bytes, at + 1);
                match byte(bytes, at) {
                    b'"' => {
                        open.push(true);
                        at = key(bytes, at + 1)?;
                        continue;
                    }
                    b'}' => at += 1,
                    _ => return Err(Wanted::KeyOrEnd.at(at)),
                }
            }
            b'[' => {
                at = skip_space(bytes, at + 1);
                if byte(bytes, at) == b']' {
                    at += 1;
                } else {
                    open.push(false);
                    continue;
                }
            }
            b't' => at = literal(bytes, at, b"true")?,
            b'f' => at = literal(bytes, at, b"false")?,
            b'n' => at = literal(bytes, at, b"null")?,
            _ => return Err(Wanted::Value.at(at)),
        }
        // A value has ended here, and perhaps the containers around it.
        loop {
            if open.depth == 0 {
                return Ok(at);
            }
            at = skip_space(bytes, at);
            let object = open.bits & 1 == 1;
            match byte(bytes, at) {
                b',' if object => {
                    at = skip_space(bytes, at + 1);
                    if byte(bytes, at) != b'"' {
                        return Err(Wanted::Key.at(at));
                    }
                    at = key(bytes, at + 1)?;
                    break;
                }
                b',' => {
                    at = skip_space(bytes, at + 1);
                    break;
                }
                b'}' if object => at += 1,
                b']' if !object => at += 1,
                _ if object => return Err(Wanted::CommaOrBrace.at(at)),
                _ => return Err(Wanted::CommaOrBracket.at(at)),
            }
            open.pop();
        }
    }
}

/// From after the opening quote of a key to where its value begins.
#[inline(always)]
fn key(bytes: &[u8], start: usize) -> Result<usize, Fault> {
    let at = skip_space(bytes, string(bytes, start)?);
    if byte(bytes, at) != b':' {
        return Err(Wanted::Colon.at(at));
    }
    Ok(skip_space(bytes, at + 1))
}

/// From after a string's opening quote to after its closing one.
#[inline(always)]
pub(super) fn string(bytes: &[u8], start: usize) -> Result<usize, Fault> {
    // Most strings are short ASCII, and most keys end within the first words.
    let mut at = start;
    for _ in 0..3 {
        let next = word(bytes, at);
        let run = words::plain_run(next);
        // What stands behind the string may set a high bit too, which costs time only.
        if words::any_high(next) {
            break;
        }
        at += run;
        if run < words::WIDTH {
            if byte(bytes, at) == b'"' {
                return Ok(at + 1);
            }
            break;
        }
    }
    long_string(bytes, start)
}

#[inline(never)]
fn long_string(bytes: &[u8], start: usize) -> Result<usize, Fault> {
    let mut at = start;
    let mut not_ascii = false;
    loop {
        let next = word(bytes, at);
        not_ascii |= words::any_high(next);
        let run = words::plain_run(next);
        at += run;
        if run == words::WIDTH {
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
                // A broken character before this place is the earlier fault.
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
fn literal(bytes: &[u8], at: usize, word: &[u8]) -> Result<usize, Fault> {
    let end = at + word.len();
    if bytes.get(at..end) == Some(word) { Ok(end) } else { Err(Wanted::Value.at(at)) }
}

/// From a number's first byte to after its last.
#[inline(always)]
fn number(bytes: &[u8], start: usize) -> Result<usize, Fault> {
    let first = start + usize::from(byte(bytes, start) == b'-');
    let mut at = skip_digits(bytes, first);
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

#[inline(always)]
fn skip_digits(bytes: &[u8], mut at: usize) -> usize {
    loop {
        let run = words::digit_run(word(bytes, at));
        at += run;
        if run < words::WIDTH {
            return at;
        }
    }
}
