//! Rows as bytes: fixed integers, lowest byte first, and bytes behind their length. What is read back is checked to its last byte.
#![cfg_attr(not(feature = "store"), allow(dead_code, reason = "wills and sessions are in rows of their own only in a store"))]

use std::time::Duration;

use crate::broker::core::{SavedEnd, SavedRun, SavedStream, SavedWill};
use crate::wire::ids::StreamName;
use crate::wire::{Epoch, Position, SessionName};

use frames::Whole;

pub(in crate::broker) mod frames;

pub(in crate::broker) use frames::Fault;

const HAS_HEADER: u8 = 1;
const HAS_ENDED: u8 = 2;
const HAS_LAST: u8 = 4;
const IS_OLD: u8 = 8;
const HAS_SESSION: u8 = 1;

const SHORT: Fault = "it ends too soon";

/// The row of a number.
pub(in crate::broker) fn number(bytes: &[u8]) -> Result<u64, Fault> {
    let mut row = Row(bytes);
    let number = row.u64()?;
    row.end().map(|()| number)
}

/// A time in whole milliseconds.
pub(in crate::broker) fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The key of a stream.
pub(in crate::broker) fn stream_name(key: &[u8]) -> Result<StreamName, Fault> {
    let name = std::str::from_utf8(key).ok().and_then(|text| StreamName::new(text).ok());
    name.filter(|name| !name.is_reserved()).ok_or("its name is none of a stream")
}

/// The key of a session.
pub(in crate::broker) fn session_name(key: &[u8]) -> Result<SessionName, Fault> {
    std::str::from_utf8(key).ok().and_then(SessionName::new).ok_or("its name is none of a session")
}

/// Writes how a stream stands, without its position. False if a frame of it cannot be stored.
pub(in crate::broker) fn write_stream(stream: &SavedStream, out: &mut Vec<u8>) -> bool {
    let SavedStream { position: _, bytes: _, since, header_at, header, is_old, ended } = stream;
    let last = ended.as_ref().and_then(|ended| ended.last.as_ref());
    let flag = |is_there: bool, flag: u8| if is_there { flag } else { 0 };
    let is_there = flag(header.is_some(), HAS_HEADER) | flag(ended.is_some(), HAS_ENDED) | flag(last.is_some(), HAS_LAST);
    out.push(is_there | flag(*is_old, IS_OLD));
    out.extend(since.to_le_bytes());
    out.extend(header_at.to_le_bytes());
    out.extend(ended.as_ref().map_or(0, |ended| milliseconds(ended.forget_at)).to_le_bytes());
    header.iter().chain(last).all(|frame| frames::write(frame, out))
}

/// Reads how a stream stands.
pub(in crate::broker) fn read_stream(bytes: &[u8], (position, count): (Position, u64)) -> Result<SavedStream, Fault> {
    let mut row = Row(bytes);
    let flags = row.u8()?;
    let is_known = flags & !(HAS_HEADER | HAS_ENDED | HAS_LAST | IS_OLD) == 0 && (flags & HAS_LAST == 0 || flags & HAS_ENDED != 0);
    if !is_known {
        return Err("its flags mean nothing");
    }
    let (since, header_at, forget_at) = (row.u64()?, row.u32()?, row.u64()?);
    let mut frame = |flag: u8| if flags & flag == 0 { Ok(None) } else { row.frame().and_then(|whole| whole.lasting().map(Some)) };
    let (header, last) = (frame(HAS_HEADER)?, frame(HAS_LAST)?);
    row.end()?;
    let ended = (flags & HAS_ENDED != 0).then(|| SavedEnd { forget_at: Duration::from_millis(forget_at), last });
    Ok(SavedStream { position, bytes: count, since, header_at, header, is_old: flags & IS_OLD != 0, ended })
}

/// Where a stream stands, and how many bytes its messages took.
pub(in crate::broker) fn position(Position { epoch, sequence }: Position, bytes: u64) -> [u8; 24] {
    let mut row = [0; 24];
    let numbers = [epoch.number(), sequence, bytes];
    for (place, number) in row.chunks_exact_mut(8).zip(numbers) {
        place.copy_from_slice(&number.to_le_bytes());
    }
    row
}

/// Reads where a stream stands.
pub(in crate::broker) fn read_position(bytes: &[u8]) -> Result<(Position, u64), Fault> {
    let mut row = Row(bytes);
    let (epoch, sequence, count) = (epoch(row.u64()?)?, row.u64()?, row.u64()?);
    row.end().map(|()| (Position { epoch, sequence }, count))
}

/// The epoch of a number.
pub(in crate::broker) fn epoch(number: u64) -> Result<Epoch, Fault> {
    Some(Epoch::new(number)).filter(|epoch| epoch.number() == number).ok_or("its epoch is none")
}

/// Writes a will. False if its frame cannot be stored.
pub(in crate::broker) fn write_will(SavedWill { session, last }: &SavedWill, out: &mut Vec<u8>) -> bool {
    out.push(if session.is_some() { HAS_SESSION } else { 0 });
    if let Some(text) = session.as_ref().map(SessionName::as_str) {
        out.extend(u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
        out.extend(text.as_bytes());
    }
    frames::write(last, out)
}

/// Reads a will.
pub(in crate::broker) fn read_will(bytes: &[u8]) -> Result<SavedWill, Fault> {
    let mut row = Row(bytes);
    let session = match row.u8()? {
        0 => None,
        HAS_SESSION => Some(session_name(row.bytes()?)?),
        _ => return Err("its flags mean nothing"),
    };
    let last = row.frame()?.lasting()?;
    row.end().map(|()| SavedWill { session, last })
}

/// Writes one run of a window. False if its frame cannot be stored.
pub(in crate::broker) fn write_run((frame, at): &SavedRun, out: &mut Vec<u8>) -> bool {
    out.extend(frame.messages().to_le_bytes());
    out.extend(at.to_le_bytes());
    frames::write(frame, out)
}

/// Reads a window.
pub(in crate::broker) fn read_window(bytes: &[u8]) -> Result<Vec<SavedRun>, Fault> {
    let (mut row, mut runs) = (Row(bytes), Vec::new());
    while !row.0.is_empty() {
        let (messages, at) = (row.u32()?, row.u32()?);
        runs.push((row.frame()?.run(messages)?, at));
    }
    Ok(runs)
}

/// What is left of a row.
pub struct Row<'a>(&'a [u8]);

impl<'a> Row<'a> {
    /// A row that has yet to be read.
    pub(in crate::broker) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Whether nothing is left.
    pub(in crate::broker) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many bytes are left.
    pub(in crate::broker) fn left(&self) -> usize {
        self.0.len()
    }

    pub(in crate::broker) fn take<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(SHORT)?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(in crate::broker) fn u8(&mut self) -> Result<u8, Fault> {
        self.take().map(|[byte]| byte)
    }

    pub(in crate::broker) fn u32(&mut self) -> Result<u32, Fault> {
        self.take().map(u32::from_le_bytes)
    }

    pub(in crate::broker) fn u64(&mut self) -> Result<u64, Fault> {
        self.take().map(u64::from_le_bytes)
    }

    pub(in crate::broker) fn bytes(&mut self) -> Result<&'a [u8], Fault> {
        let length = self.u32()? as usize;
        let (taken, rest) = self.0.split_at_checked(length).ok_or(SHORT)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(in crate::broker) fn frame(&mut self) -> Result<Whole<'a>, Fault> {
        let encoding = self.u8()?;
        Whole::new(encoding, self.bytes()?)
    }

    pub(in crate::broker) fn end(&self) -> Result<(), Fault> {
        if self.0.is_empty() { Ok(()) } else { Err("it goes on behind its end") }
    }
}

#[cfg(test)]
mod tests;
