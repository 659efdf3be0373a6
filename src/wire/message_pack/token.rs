//! The tokens of MessagePack: one marker with what belongs to it. A container's token is its head alone.

use super::fault::{Fault, What};

/// One marker with what belongs to it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Token<'a> {
    Nil,
    Bool(bool),
    Int(i64),
    /// An integer from 2^63 up.
    Large(u64),
    Float32(f32),
    Float64(f64),
    /// A text; whether it is UTF-8 is not known yet.
    Text(&'a [u8]),
    Binary(&'a [u8]),
    Extension(i8, &'a [u8]),
    /// An array: the number of values that follow.
    Array(usize),
    /// A map: the number of pairs that follow.
    Map(usize),
}

impl Token<'_> {
    /// What kind of value it is, with its article.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Nil => "null",
            Self::Bool(true) => "true",
            Self::Bool(false) => "false",
            Self::Int(_) | Self::Large(_) | Self::Float32(_) | Self::Float64(_) => "a number",
            Self::Text(_) => "a string",
            Self::Binary(_) => "binary data",
            Self::Extension(..) => "an extension",
            Self::Array(_) => "an array",
            Self::Map(_) => "an object",
        }
    }
}

/// The token at an offset, and where the next one begins.
#[inline(always)]
pub(super) fn token(bytes: &[u8], at: usize) -> Result<(Token<'_>, usize), Fault> {
    let Some(marker) = bytes.get(at).copied() else { return Err(What::TooShort.at(at)) };
    Ok(match marker {
        0x00..=0x7f => (Token::Int(i64::from(marker)), at + 1),
        0x80..=0x8f => (Token::Map(usize::from(marker & 0x0f)), at + 1),
        0x90..=0x9f => (Token::Array(usize::from(marker & 0x0f)), at + 1),
        0xa0..=0xbf => text(bytes, at, at + 1, usize::from(marker & 0x1f))?,
        0xe0..=0xff => (Token::Int(i64::from(marker.cast_signed())), at + 1),
        0xc0..=0xdf => return marked(bytes, at, marker),
    })
}

/// A token whose marker has a byte of its own.
#[inline]
fn marked(bytes: &[u8], at: usize, marker: u8) -> Result<(Token<'_>, usize), Fault> {
    let next = at + 1;
    Ok(match marker {
        0xc0 => (Token::Nil, next),
        0xc2 => (Token::Bool(false), next),
        0xc3 => (Token::Bool(true), next),
        0xc4..=0xc6 => {
            let (length, start) = length(bytes, at, marker - 0xc4)?;
            let (data, next) = piece(bytes, at, start, length)?;
            (Token::Binary(data), next)
        }
        0xc7..=0xc9 => {
            let (length, start) = length(bytes, at, marker - 0xc7)?;
            extension(bytes, at, start, length)?
        }
        0xca => (Token::Float32(f32::from_be_bytes(array(bytes, at)?)), next + 4),
        0xcb => (Token::Float64(f64::from_be_bytes(array(bytes, at)?)), next + 8),
        0xcc => (Token::Int(i64::from(u8::from_be_bytes(array(bytes, at)?))), next + 1),
        0xcd => (Token::Int(i64::from(u16::from_be_bytes(array(bytes, at)?))), next + 2),
        0xce => (Token::Int(i64::from(u32::from_be_bytes(array(bytes, at)?))), next + 4),
        0xcf => {
            let number = u64::from_be_bytes(array(bytes, at)?);
            (i64::try_from(number).map_or(Token::Large(number), Token::Int), next + 8)
        }
        0xd0 => (Token::Int(i64::from(i8::from_be_bytes(array(bytes, at)?))), next + 1),
        0xd1 => (Token::Int(i64::from(i16::from_be_bytes(array(bytes, at)?))), next + 2),
        0xd2 => (Token::Int(i64::from(i32::from_be_bytes(array(bytes, at)?))), next + 4),
        0xd3 => (Token::Int(i64::from_be_bytes(array(bytes, at)?)), next + 8),
        0xd4..=0xd8 => extension(bytes, at, next, 1 << (marker - 0xd4))?,
        0xd9..=0xdb => {
            let (length, start) = length(bytes, at, marker - 0xd9)?;
            text(bytes, at, start, length)?
        }
        0xdc | 0xdd => {
            let (count, next) = length(bytes, at, marker - 0xdc + 1)?;
            (Token::Array(count), next)
        }
        0xde | 0xdf => {
            let (count, next) = length(bytes, at, marker - 0xde + 1)?;
            (Token::Map(count), next)
        }
        _ => return Err(What::Reserved.at(at)),
    })
}

/// The bytes that follow a marker.
#[inline(always)]
fn array<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], Fault> {
    let following = bytes.get(at + 1..).and_then(|rest| rest.first_chunk());
    following.copied().ok_or(What::TooShort.at(at))
}

/// A length or a count behind a marker, in 2^`power` bytes, and where it ends.
#[inline(always)]
fn length(bytes: &[u8], at: usize, power: u8) -> Result<(usize, usize), Fault> {
    Ok(match power {
        0 => (usize::from(u8::from_be_bytes(array(bytes, at)?)), at + 2),
        1 => (usize::from(u16::from_be_bytes(array(bytes, at)?)), at + 3),
        _ => (u32::from_be_bytes(array(bytes, at)?) as usize, at + 5),
    })
}

#[inline(always)]
fn piece(bytes: &[u8], at: usize, start: usize, length: usize) -> Result<(&[u8], usize), Fault> {
    let end = start + length;
    bytes.get(start..end).map(|piece| (piece, end)).ok_or(What::TooShort.at(at))
}

#[inline(always)]
fn text(bytes: &[u8], at: usize, start: usize, length: usize) -> Result<(Token<'_>, usize), Fault> {
    let (text, next) = piece(bytes, at, start, length)?;
    Ok((Token::Text(text), next))
}

#[inline(always)]
fn extension(bytes: &[u8], at: usize, start: usize, length: usize) -> Result<(Token<'_>, usize), Fault> {
    let (data, next) = piece(bytes, at, start + 1, length)?;
    let kind = bytes.get(start).copied().unwrap_or(0).cast_signed();
    Ok((Token::Extension(kind, data), next))
}
