//! What a record says: what is to be done, one thing after the other, on all nodes alike.

use std::time::Duration;

use crate::broker::core::{Extra, Input, SharedLimits};
use crate::broker::rows::{self, Fault, Row, frames};
use crate::wire::ids::StreamName;
use crate::wire::{Epoch, Frame};

use super::fields::{read_counts, read_limits, read_name, read_text, write_counts, write_limits, write_text};
use super::status::Status;

/// One thing that is to be done.
#[derive(Debug)]
pub enum Op {
    /// An action of a client. Of one who has neither a session nor a will, nobody needs to know which connection it has.
    Client(Option<u32>, Input),
    /// So many other lines of a session have been taken.
    Lines(u32, u64),
    /// Somebody listens to a stream: it comes into being, or stays.
    Touch(StreamName),
    /// The node has come.
    Join(Box<Join>),
    /// The settings that all nodes have in common are these now.
    Limits(SharedLimits),
    /// The node goes, in an orderly way.
    Stop,
    /// So many listen to these streams on the node.
    Counts(Vec<(StreamName, u32)>),
    /// How the node does.
    Status(Box<Status>),
    /// The state up to a record of this number is kept, and the log up to this one may be forgotten.
    Kept(u64),
}

/// How a node introduces itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Join {
    /// Its name.
    pub name: String,
    /// The settings that it was given.
    pub limits: SharedLimits,
    /// A node of which nothing is heard for this long is gone.
    pub lease: Duration,
}

const NOBODY: u32 = u32::MAX;

/// The tags. They stand in the log, so that none may ever mean something else. A new one needs another format of the envelope, so that nodes
/// which do not know it end rather than leave it out.
mod tag {
    pub(super) const PUT: u8 = 1;
    pub(super) const HEADER: u8 = 2;
    pub(super) const CLOSE: u8 = 3;
    pub(super) const DELETE: u8 = 4;
    pub(super) const WILL: u8 = 5;
    pub(super) const SESSION: u8 = 6;
    pub(super) const LEAVE: u8 = 7;
    pub(super) const LINES: u8 = 8;
    pub(super) const TOUCH: u8 = 9;
    pub(super) const JOIN: u8 = 10;
    pub(super) const LIMITS: u8 = 11;
    pub(super) const STOP: u8 = 12;
    pub(super) const COUNTS: u8 = 13;
    pub(super) const STATUS: u8 = 14;
    pub(super) const KEPT: u8 = 15;
}

impl Op {
    /// Whether an action has to be done on all nodes. The others are between a client and its node.
    pub fn is_shared(input: &Input) -> bool {
        match input {
            Input::Put { .. }
            | Input::Header { .. }
            | Input::Close { .. }
            | Input::Delete { .. }
            | Input::Will { .. }
            | Input::Session { .. } => true,
            Input::Listen { .. }
            | Input::ListenPrefix { .. }
            | Input::Hangup { .. }
            | Input::HangupPrefix { .. }
            | Input::Answer(_)
            | Input::Leave { .. } => false,
        }
    }

    /// Appends it to a record.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Client(connection, input) => write_input(*connection, input, out),
            Self::Lines(connection, lines) => {
                out.push(tag::LINES);
                out.extend(connection.to_le_bytes());
                out.extend(lines.to_le_bytes());
            }
            Self::Touch(stream) => {
                out.push(tag::TOUCH);
                write_text(stream.as_str(), out);
            }
            Self::Join(join) => {
                out.push(tag::JOIN);
                write_text(&join.name, out);
                write_limits(&join.limits, out);
                out.extend(rows::milliseconds(join.lease).to_le_bytes());
            }
            Self::Limits(limits) => {
                out.push(tag::LIMITS);
                write_limits(limits, out);
            }
            Self::Stop => out.push(tag::STOP),
            Self::Counts(counts) => {
                out.push(tag::COUNTS);
                write_counts(counts.iter().map(|(stream, count)| (stream, *count)), out);
            }
            Self::Status(status) => {
                out.push(tag::STATUS);
                status.write(out);
            }
            Self::Kept(cut) => {
                out.push(tag::KEPT);
                out.extend(cut.to_le_bytes());
            }
        }
    }

    /// Reads the next one of a record.
    pub fn read(row: &mut Row<'_>) -> Result<Self, Fault> {
        let tag = row.u8()?;
        Ok(match tag {
            tag::LINES => Self::Lines(row.u32()?, row.u64()?),
            tag::TOUCH => Self::Touch(read_name(row)?),
            tag::JOIN => {
                let (name, limits) = (read_text(row)?, read_limits(row)?);
                Self::Join(Box::new(Join { name, limits, lease: Duration::from_millis(row.u64()?) }))
            }
            tag::LIMITS => Self::Limits(read_limits(row)?),
            tag::STOP => Self::Stop,
            tag::COUNTS => Self::Counts(read_counts(row)?),
            tag::STATUS => Self::Status(Box::new(Status::read(row)?)),
            tag::KEPT => Self::Kept(row.u64()?),
            _ => {
                let connection = Some(row.u32()?).filter(|id| *id != NOBODY);
                Self::Client(connection, read_input(tag, row)?)
            }
        })
    }
}

fn write_input(connection: Option<u32>, input: &Input, out: &mut Vec<u8>) {
    let mut begin = |tag: u8| {
        out.push(tag);
        out.extend(connection.unwrap_or(NOBODY).to_le_bytes());
    };
    match input {
        Input::Put { stream, run, of, extras } => {
            begin(tag::PUT);
            write_text(stream.as_str(), out);
            write_epoch(*of, out);
            out.extend(run.messages().to_le_bytes());
            frames::write(run, out);
            write_headers(extras, out);
        }
        Input::Header { stream, header, of, absent, receipt: _ } => {
            begin(tag::HEADER);
            write_text(stream.as_str(), out);
            write_epoch(*of, out);
            out.push(u8::from(*absent));
            frames::write(header, out);
        }
        Input::Close { stream, last, of, receipt: _ } => {
            begin(tag::CLOSE);
            write_text(stream.as_str(), out);
            write_epoch(*of, out);
            frames::write(last, out);
        }
        Input::Delete { stream, last, of, receipt: _ } => {
            begin(tag::DELETE);
            write_text(stream.as_str(), out);
            write_epoch(*of, out);
            frames::write(last, out);
        }
        Input::Will { stream, last, receipt: _ } => {
            begin(tag::WILL);
            write_text(stream.as_str(), out);
            out.push(u8::from(last.is_some()));
            if let Some(last) = last {
                frames::write(last, out);
            }
        }
        Input::Session { session, .. } => {
            begin(tag::SESSION);
            write_text(session.as_str(), out);
        }
        Input::Leave { orderly, .. } => {
            begin(tag::LEAVE);
            out.push(u8::from(*orderly));
        }
        // Between a client and its node.
        Input::Listen { .. } | Input::ListenPrefix { .. } | Input::Hangup { .. } | Input::HangupPrefix { .. } | Input::Answer(_) => {}
    }
}

fn read_input(tag: u8, row: &mut Row<'_>) -> Result<Input, Fault> {
    let receipt = None;
    Ok(match tag {
        tag::PUT => {
            let (stream, of, messages) = (read_name(row)?, read_epoch(row)?, row.u32()?);
            let run = row.frame()?.run(messages)?;
            let extras = read_headers(row, &run)?;
            Input::Put { stream, run, of, extras }
        }
        tag::HEADER => {
            let (stream, of, absent) = (read_name(row)?, read_epoch(row)?, row.u8()? != 0);
            Input::Header { stream, header: row.frame()?.lasting()?, of, absent, receipt }
        }
        tag::CLOSE => {
            let (stream, of) = (read_name(row)?, read_epoch(row)?);
            Input::Close { stream, last: row.frame()?.lasting()?, of, receipt }
        }
        tag::DELETE => {
            let (stream, of) = (read_name(row)?, read_epoch(row)?);
            Input::Delete { stream, last: row.frame()?.lasting()?, of, receipt }
        }
        tag::WILL => {
            let (stream, has_last) = (read_name(row)?, row.u8()? != 0);
            let last = if has_last { Some(row.frame()?.lasting()?) } else { None };
            Input::Will { stream, last, receipt }
        }
        tag::SESSION => Input::Session { session: rows::session_name(row.bytes()?)?, former: None, receipt },
        tag::LEAVE => Input::Leave { orderly: row.u8()? != 0, last: None, receipt },
        _ => return Err("it says something that this version does not know"),
    })
}

/// Of the headers that come with a run, the first may open the stream again, and the last is what stays. Nobody ever sees the others.
fn write_headers(extras: &[Extra], out: &mut Vec<u8>) {
    let mut with_header = extras.iter().filter(|extra| extra.header.is_some());
    let kept: Vec<&Extra> = with_header.next().into_iter().chain(with_header.next_back()).collect();
    // No more than two.
    out.push(kept.len() as u8);
    for Extra { unit, index, header, .. } in kept {
        let place = [unit.start, unit.end].map(|at| u32::try_from(at).unwrap_or(u32::MAX));
        [place[0], place[1], *index].iter().for_each(|number| out.extend(number.to_le_bytes()));
        if let Some(header) = header {
            frames::write(header, out);
        }
    }
}

fn read_headers(row: &mut Row<'_>, run: &Frame) -> Result<Vec<Extra>, Fault> {
    let count = row.u8()?;
    let (mut extras, mut at) = (Vec::new(), 0);
    for _ in 0..count {
        let (start, end, index) = (row.u32()? as usize, row.u32()? as usize, row.u32()?);
        if start < at || end <= start || end > run.bytes().len() || index >= run.messages() {
            return Err("a header in it is of no message");
        }
        at = end;
        extras.push(Extra { unit: start..end, index, header: Some(row.frame()?.lasting()?), receipt: None });
    }
    Ok(extras)
}

fn write_epoch(of: Option<Epoch>, out: &mut Vec<u8>) {
    // No epoch is 0.
    out.extend(of.map_or(0, Epoch::number).to_le_bytes());
}

fn read_epoch(row: &mut Row<'_>) -> Result<Option<Epoch>, Fault> {
    let number = row.u64()?;
    Ok(match number {
        0 => None,
        // A client may ask for what is no epoch at all, and is told so by whoever reads this.
        _ if number == Epoch::FOREIGN.number() => Some(Epoch::FOREIGN),
        _ => Some(rows::epoch(number)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_client_takes_for_an_epoch_can_be_read() {
        for of in [None, Some(Epoch::new(7)), Some(Epoch::of_text("another")), Some(Epoch::of_text("ffffffffffffffff"))] {
            let mut written = Vec::new();
            write_epoch(of, &mut written);
            assert_eq!(read_epoch(&mut Row::new(&written)), Ok(of));
        }
    }
}
