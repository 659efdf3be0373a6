//! Finds the members of a line's object.

use std::borrow::Cow;

use serde::de::{Deserializer, Error, Visitor};

use super::super::members::{Members, Others, Surplus};
use super::fault::{Broken, Wanted};
use super::scan;
use super::token::{byte, skip_space, string};

impl Members {
    /// Reads a whole line. After a mistake, the members read before it are there.
    pub(super) fn read(&mut self, line: &[u8]) -> Result<(), Broken> {
        let mut at = skip_space(line, 0);
        if byte(line, at) != b'{' {
            return Err(Wanted::Object.at(at).into());
        }
        at = skip_space(line, at + 1);
        match byte(line, at) {
            b'}' => end(line, at + 1),
            b'"' => self.read_members(line, at),
            _ => Err(Wanted::KeyOrEnd.at(at).into()),
        }
    }

    /// Reads on after the value of a member.
    pub(super) fn read_rest(&mut self, line: &[u8], at: usize) -> Result<(), Broken> {
        let at = skip_space(line, at);
        match byte(line, at) {
            b'}' => end(line, at + 1),
            b',' => {
                let at = skip_space(line, at + 1);
                if byte(line, at) != b'"' {
                    return Err(Wanted::Key.at(at).into());
                }
                self.read_members(line, at)
            }
            _ => Err(Wanted::CommaOrBrace.at(at).into()),
        }
    }

    /// Reads members to the end of the line, from the opening quote of a key.
    fn read_members(&mut self, line: &[u8], mut at: usize) -> Result<(), Broken> {
        let mut others = Others::default();
        loop {
            let key_at = at;
            at = string(line, at + 1)?;
            let key = decoded_key(line.get(key_at..at).unwrap_or_default());
            at = skip_space(line, at);
            if byte(line, at) != b':' {
                return Err(Wanted::Colon.at(at).into());
            }
            let start = skip_space(line, at + 1);
            at = scan::value(line, start)?;
            match self.take(&key, start..at, &mut others) {
                Ok(()) => {}
                Err(Surplus::Twice) => return Err(Broken::Twice(key_at, key.into_owned())),
                Err(Surplus::Many) => return Err(Broken::Many(key_at)),
            }
            at = skip_space(line, at);
            match byte(line, at) {
                b',' => at = skip_space(line, at + 1),
                b'}' => return end(line, at + 1),
                _ => return Err(Wanted::CommaOrBrace.at(at).into()),
            }
            if byte(line, at) != b'"' {
                return Err(Wanted::Key.at(at).into());
            }
        }
    }
}

/// Nothing may follow the object.
fn end(line: &[u8], at: usize) -> Result<(), Broken> {
    let at = skip_space(line, at);
    if at == line.len() { Ok(()) } else { Err(Wanted::End.at(at).into()) }
}

/// A key without its quotes and escapes, from its text, which is known to be a JSON string.
fn decoded_key(text: &[u8]) -> Cow<'_, [u8]> {
    let inner = text.get(1..text.len().saturating_sub(1)).unwrap_or_default();
    if memchr::memchr(b'\\', inner).is_none() {
        return Cow::Borrowed(inner);
    }
    // As bytes and not as text: half a surrogate pair is within the grammar, and two keys with different halves differ.
    match serde_json::Deserializer::from_slice(text).deserialize_byte_buf(KeyBytes) {
        Ok(key) => Cow::Owned(key),
        Err(_) => Cow::Borrowed(inner),
    }
}

struct KeyBytes;

impl Visitor<'_> for KeyBytes {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a key")
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
        Ok(bytes.to_vec())
    }
}
