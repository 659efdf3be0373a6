//! What records and snapshots are made of, as bytes.

use std::time::Duration;

use crate::broker::core::SharedLimits;
use crate::broker::rows::{self, Fault, Row};
use crate::wire::ids::StreamName;

pub(super) fn write_text(text: &str, out: &mut Vec<u8>) {
    out.extend(u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend(text.as_bytes());
}

pub(super) fn read_text(row: &mut Row<'_>) -> Result<String, Fault> {
    std::str::from_utf8(row.bytes()?).map(str::to_owned).map_err(|_| "a text in it is none")
}

/// The name of a stream, be it one of the nodes' own.
pub(super) fn read_name(row: &mut Row<'_>) -> Result<StreamName, Fault> {
    let name = std::str::from_utf8(row.bytes()?).ok().and_then(|text| StreamName::new(text).ok());
    name.ok_or("its name is none of a stream")
}

pub(super) fn write_counts<'a>(counts: impl ExactSizeIterator<Item = (&'a StreamName, u32)>, out: &mut Vec<u8>) {
    out.extend(u32::try_from(counts.len()).unwrap_or(u32::MAX).to_le_bytes());
    for (stream, count) in counts {
        write_text(stream.as_str(), out);
        out.extend(count.to_le_bytes());
    }
}

pub(super) fn read_counts(row: &mut Row<'_>) -> Result<Vec<(StreamName, u32)>, Fault> {
    (0..row.u32()?).map(|_| Ok((read_name(row)?, row.u32()?))).collect()
}

pub(super) fn write_limits(limits: &SharedLimits, out: &mut Vec<u8>) {
    let SharedLimits { streams, sessions, ended_time, session_time, remember_time } = limits;
    let times = [ended_time, session_time, remember_time].map(|time| rows::milliseconds(*time));
    [*streams, *sessions].iter().chain(&times).for_each(|number| out.extend(number.to_le_bytes()));
}

pub(super) fn read_limits(row: &mut Row<'_>) -> Result<SharedLimits, Fault> {
    let (streams, sessions) = (row.u64()?, row.u64()?);
    let mut time = || row.u64().map(Duration::from_millis);
    Ok(SharedLimits { streams, sessions, ended_time: time()?, session_time: time()?, remember_time: time()? })
}
