//! What a connection holds between two reads: the start of a unit whose end has yet to come, or units that are yet
//! to be decoded.

use crate::broker::actor::Intake;

/// An unfinished unit of this size or more counts against the limit for all; smaller ones always have room.
const COUNTED: usize = 4 << 10;

/// An unfinished unit of this size or more is gathered where it stands, rather than copied from block to block.
const LARGE: usize = 32 << 10;

/// Boxed, since most connections hold nothing while they wait.
#[derive(Debug, Default)]
pub(super) struct Carry(Option<Box<Remainder>>);

#[derive(Debug)]
struct Remainder {
    bytes: Vec<u8>,
    /// Where the units begin that are yet to be decoded, if there are any: there was no room for what they give.
    backlog: Option<usize>,
    /// The bytes counted among the large unfinished units.
    counted: usize,
    /// How many of the next bytes belong to a refused unit; nothing else is kept of it. It stands here because it is rare and
    /// would make every idle connection larger.
    discard: usize,
}

impl Carry {
    /// The start of a unit.
    pub(super) fn bytes(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], |remainder| &remainder.bytes)
    }

    /// How many of the next bytes are to be thrown away.
    pub(super) fn discard(&self) -> usize {
        self.0.as_ref().map_or(0, |remainder| remainder.discard)
    }

    /// Whether units have come that are yet to be decoded.
    pub(super) fn has_backlog(&self) -> bool {
        self.0.as_ref().is_some_and(|remainder| remainder.backlog.is_some())
    }

    /// Takes the units that are yet to be decoded, and where they begin.
    pub(super) fn take_backlog(&mut self, intake: &Intake) -> Option<(Vec<u8>, usize)> {
        let at = self.0.as_ref()?.backlog?;
        Some((self.take(intake)?.bytes, at))
    }

    /// Takes the start of a unit that is large enough to go on growing in its own buffer.
    pub(super) fn take_large(&mut self, intake: &Intake) -> Option<Vec<u8>> {
        if self.bytes().len() < LARGE {
            return None;
        }
        self.take(intake).map(|remainder| remainder.bytes)
    }

    /// Drops everything.
    pub(super) fn clear(&mut self, intake: &Intake) {
        self.take(intake);
    }

    /// Keeps bytes for the next read. `backlog` is where the units begin that are yet to be decoded, if there are any.
    pub(super) fn keep(&mut self, mut bytes: Vec<u8>, backlog: Option<usize>, intake: &Intake) {
        // Room that was made for a long unit is kept for the next one, unless others need it: what is counted is the room.
        if bytes.capacity() > 2 * bytes.len() && !has_room(bytes.capacity(), intake) {
            bytes.shrink_to_fit();
        }
        let counted = if bytes.len() >= COUNTED { bytes.capacity() } else { 0 };
        intake.received().add(counted);
        self.0 = Some(Box::new(Remainder { bytes, backlog, counted, discard: 0 }));
    }

    /// Has the next `count` bytes thrown away.
    pub(super) fn discard_next(&mut self, count: usize) {
        if count > 0 {
            self.0 = Some(Box::new(Remainder { bytes: Vec::new(), backlog: None, counted: 0, discard: count }));
        }
    }

    fn take(&mut self, intake: &Intake) -> Option<Box<Remainder>> {
        let remainder = self.0.take()?;
        intake.received().remove(remainder.counted);
        Some(remainder)
    }
}

/// Whether an unfinished unit of this length may be kept. None may take more than it leaves to all others: the first greedy one
/// gets half of the room, the next a quarter, and small ones always fit.
pub(crate) fn has_room_for_start(length: usize, intake: &Intake) -> bool {
    length < COUNTED || has_room(length, intake)
}

/// Whether this many more bytes leave as many to all others.
fn has_room(bytes: usize, intake: &Intake) -> bool {
    intake.received().bytes() + 2 * bytes <= intake.most()
}
