//! All that follows from the log up to a record, as bytes: what is there beside streams, then the streams.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::broker::core::{SavedCommon, SavedOwner, SavedSession, SavedShared, SharedLimits};
use crate::broker::rows::{self, Fault, Row, frames};
use crate::wire::ids::{ConnectionId, StreamName};

use super::fields::{read_counts, read_limits, read_name, read_text, write_counts, write_limits, write_text};
use super::members::{Clock, Member};
use super::port::{LARGEST, Snapshot};
use super::status::Status;

/// The first byte. A node that meets another one is too old.
const FORMAT: u8 = 1;

/// What there is beside streams.
#[derive(Debug, Clone)]
pub struct Beside {
    /// The time of the log.
    pub clock: Clock,
    /// The settings that count.
    pub limits: SharedLimits,
    /// How long a node may be silent.
    pub lease: Duration,
    /// The nodes by their lives.
    pub members: Vec<(u64, Member)>,
    /// The lives that are over, and since when.
    pub over: BTreeMap<u64, Duration>,
    /// Sessions and wills.
    pub shared: SavedShared,
}

/// The same, and the streams.
#[derive(Debug)]
pub struct State {
    /// What there is beside streams.
    pub beside: Beside,
    /// The streams.
    pub streams: Vec<SavedCommon>,
}

/// Writes a state, piece by piece.
#[derive(Debug, Default)]
pub struct StateWriter {
    pieces: Vec<Vec<u8>>,
    row: Vec<u8>,
}

impl StateWriter {
    /// Begins with what there is beside streams.
    pub fn new(beside: &Beside) -> Self {
        let mut writer = Self::default();
        writer.row.push(FORMAT);
        write_beside(beside, &mut writer.row);
        writer.end_row();
        writer
    }

    /// Adds a stream. Returns how many bytes that took.
    pub fn add(&mut self, stream: &SavedCommon) -> usize {
        write_stream(stream, &mut self.row);
        self.end_row()
    }

    fn end_row(&mut self) -> usize {
        let length = self.row.len();
        let mut rest = &self.row[..];
        while !rest.is_empty() {
            if self.pieces.last().is_none_or(|piece| piece.len() == LARGEST) {
                self.pieces.push(Vec::with_capacity(LARGEST.min(rest.len())));
            }
            let Some(piece) = self.pieces.last_mut() else { break };
            let (fits, more) = rest.split_at(rest.len().min(LARGEST - piece.len()));
            piece.extend(fits);
            rest = more;
        }
        self.row.clear();
        length
    }

    /// The state behind this record.
    pub fn finish(self, cut: u64) -> Snapshot {
        Snapshot { cut, pieces: self.pieces }
    }
}

impl State {
    /// Reads a state. `name` is asked what a connection of a node is to be called here.
    pub fn read(pieces: &[Vec<u8>], name: &mut dyn FnMut() -> ConnectionId) -> Result<Self, Fault> {
        let bytes = pieces.concat();
        let mut row = Row::new(&bytes);
        if row.u8()? != FORMAT {
            return Err("it is of another version");
        }
        let beside = read_beside(&mut row, name)?;
        let mut streams = Vec::new();
        while !row.is_empty() {
            streams.push(read_stream(&mut row)?);
        }
        Ok(Self { beside, streams })
    }
}

fn write_time(time: Duration, out: &mut Vec<u8>) {
    out.extend(rows::milliseconds(time).to_le_bytes());
}

fn read_time(row: &mut Row<'_>) -> Result<Duration, Fault> {
    row.u64().map(Duration::from_millis)
}

fn write_count(count: usize, out: &mut Vec<u8>) {
    out.extend(u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
}

fn write_beside(Beside { clock, limits, lease, members, over, shared }: &Beside, out: &mut Vec<u8>) {
    [clock.began.unwrap_or_default(), clock.last, clock.now, clock.late, *lease].iter().for_each(|time| write_time(*time, out));
    write_limits(limits, out);
    // By what a connection is called here, where it is.
    let mut places = BTreeMap::new();
    write_count(members.len(), out);
    for (life, member) in members {
        write_member(*life, member, out);
        places.extend(member.clients.values().copied().zip(places.len() as u32..));
    }
    write_count(over.len(), out);
    for (life, since) in over {
        out.extend(life.to_le_bytes());
        write_time(*since, out);
    }
    write_count(shared.sessions.len(), out);
    let place = |id: &ConnectionId| places.get(id).copied().unwrap_or(NOWHERE);
    for SavedSession { name, taken, holder } in &shared.sessions {
        write_text(name.as_ref().map_or("", |name| name.as_str()), out);
        out.extend(taken.map_or(u64::MAX, |taken| taken).to_le_bytes());
        out.extend(holder.as_ref().map_or(NOWHERE, &place).to_le_bytes());
        write_time(holder.err().unwrap_or_default(), out);
    }
    write_count(shared.wills.len(), out);
    for (stream, owner, last) in &shared.wills {
        write_text(stream.as_str(), out);
        let (is_session, place) = match owner {
            SavedOwner::Connection(id) => (0, place(id)),
            SavedOwner::Session(index) => (1, u32::try_from(*index).unwrap_or(NOWHERE)),
        };
        out.push(is_session);
        out.extend(place.to_le_bytes());
        frames::write(last, out);
    }
    let fenced: Vec<u32> = shared.fenced.iter().map(place).filter(|place| *place != NOWHERE).collect();
    write_count(fenced.len(), out);
    fenced.iter().for_each(|place| out.extend(place.to_le_bytes()));
}

/// Of no connection.
const NOWHERE: u32 = u32::MAX;

fn read_beside(row: &mut Row<'_>, name: &mut dyn FnMut() -> ConnectionId) -> Result<Beside, Fault> {
    let (began, last) = (read_time(row)?, read_time(row)?);
    let (now, late, lease) = (read_time(row)?, read_time(row)?, read_time(row)?);
    let limits = read_limits(row)?;
    let mut places = Vec::new();
    let members = (0..row.u32()?).map(|_| read_member(row, name, &mut places)).collect::<Result<_, _>>()?;
    let over = (0..row.u32()?).map(|_| Ok((row.u64()?, read_time(row)?))).collect::<Result<_, Fault>>()?;
    let mut sessions = Vec::new();
    for _ in 0..row.u32()? {
        let text = row.bytes()?;
        let name = if text.is_empty() { None } else { Some(rows::session_name(text)?) };
        let taken = Some(row.u64()?).filter(|taken| *taken != u64::MAX);
        let (place, since) = (row.u32()?, read_time(row)?);
        let holder = places.get(place as usize).copied().ok_or(since);
        sessions.push(SavedSession { name, taken, holder });
    }
    let mut wills = Vec::new();
    for _ in 0..row.u32()? {
        let (stream, is_session, place) = (read_name(row)?, row.u8()? != 0, row.u32()? as usize);
        let last = row.frame()?.lasting()?;
        let owner = if is_session { Some(SavedOwner::Session(place)) } else { places.get(place).copied().map(SavedOwner::Connection) };
        wills.push((stream, owner.ok_or("a will in it is nobody's")?, last));
    }
    let fenced = (0..row.u32()?).map(|_| row.u32().map(|place| place as usize)).collect::<Result<Vec<_>, _>>()?;
    let fenced = fenced.into_iter().filter_map(|place| places.get(place).copied()).collect();
    let shared = SavedShared { now, began, late, sessions, wills, fenced };
    Ok(Beside { clock: Clock { began: Some(began), last, now, late }, limits, lease, members, over, shared })
}

fn write_member(life: u64, member: &Member, out: &mut Vec<u8>) {
    let Member { name, number, begun, seen, since, clients, counts, status } = member;
    [life, *number].iter().for_each(|number| out.extend(number.to_le_bytes()));
    write_text(name, out);
    write_count(begun.len(), out);
    out.extend(begun);
    [*seen, *since].iter().for_each(|time| write_time(*time, out));
    write_count(clients.len(), out);
    clients.keys().for_each(|connection| out.extend(connection.to_le_bytes()));
    write_counts(counts.iter().map(|(stream, count)| (stream, *count)), out);
    status.write(out);
}

fn read_member(
    row: &mut Row<'_>,
    called: &mut dyn FnMut() -> ConnectionId,
    places: &mut Vec<ConnectionId>,
) -> Result<(u64, Member), Fault> {
    let (life, number, name) = (row.u64()?, row.u64()?, read_text(row)?);
    let (begun, seen, since) = (row.bytes()?.to_vec(), read_time(row)?, read_time(row)?);
    let mut clients = BTreeMap::new();
    for _ in 0..row.u32()? {
        let id = called();
        places.push(id);
        clients.insert(row.u32()?, id);
    }
    let (counts, status) = (read_counts(row)?.into_iter().collect(), Status::read(row)?);
    Ok((life, Member { name, number, begun, seen, since, clients, counts, status }))
}

fn write_stream(SavedCommon { name, stream, touched, runs }: &SavedCommon, out: &mut Vec<u8>) {
    write_text(name.as_str(), out);
    out.extend(rows::position(stream.position, stream.bytes));
    out.extend(touched.to_le_bytes());
    let mut row = Vec::new();
    rows::write_stream(stream, &mut row);
    write_count(row.len(), out);
    out.extend(&row);
    row.clear();
    for run in runs {
        rows::write_run(run, &mut row);
    }
    write_count(row.len(), out);
    out.extend(&row);
}

fn read_stream(row: &mut Row<'_>) -> Result<SavedCommon, Fault> {
    let name: StreamName = read_name(row)?;
    let position = rows::read_position(&row.take::<24>()?)?;
    let touched = row.u32()?;
    let stream = rows::read_stream(row.bytes()?, position)?;
    Ok(SavedCommon { name, stream, touched, runs: rows::read_window(row.bytes()?)? })
}
