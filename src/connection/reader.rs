//! From a connection's bytes to batches of inputs.
//!
//! While idle a reader holds no buffer: it reads into a block of the thread, decodes what is complete, and keeps only the
//! start of a unit whose end has yet to come.

use std::cell::RefCell;
use std::io;
use std::sync::Arc;

use crate::broker::Input;
use crate::protocol::{Codec, DecodeLimits, ErrorCode, Foreign, Gauge, Mistake, Unit};
use crate::units::ByteSize;

use super::batch::Batch;
use super::transport::Transport;

/// What one turn reads: larger ones are a little cheaper and much less fair to other connections.
const READ: usize = 64 << 10;

/// An unfinished unit of this size or more is gathered where it stands, rather than copied from block to block.
const LARGE: usize = 32 << 10;

/// What readers are held to.
#[derive(Debug, Clone)]
pub struct ReaderLimits {
    /// What the codec checks.
    pub decode: DecodeLimits,
    /// The largest header, in bytes.
    pub header: usize,
    /// Mistakes in a row after which the connection is closed.
    pub errors_in_a_row: usize,
    /// All large unfinished units together, in bytes.
    pub unfinished: usize,
    /// Counts them.
    pub unfinished_gauge: Arc<Gauge>,
    /// Counts frames.
    pub frames: Arc<Gauge>,
}

/// The reading side of one connection.
#[derive(Debug)]
pub(super) struct Reader<C> {
    codec: C,
    /// The start of a unit; boxed, since most connections hold none while they wait.
    carry: Option<Box<Carry>>,
    /// Mistakes since the last good unit.
    errors: u32,
    stage: Stage,
    skip: Skip,
}

/// What of a refused unit is still to be thrown away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Skip {
    Nothing,
    /// All up to its end, wherever that is.
    ToEnd,
    /// So many bytes.
    Bytes(usize),
}

#[derive(Debug)]
struct Carry {
    bytes: Vec<u8>,
    /// What of it is counted among the large unfinished units.
    counted: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing has come.
    Silent,
    /// Bytes have come, but no unit that says anything.
    Begun,
    /// It speaks this protocol.
    Open,
    /// It has left, or is turned away: no more is taken from it.
    Left,
}

/// What one turn of reading gave.
#[derive(Debug)]
pub(super) struct Turn {
    /// For the core.
    pub(super) inputs: Vec<Input>,
    /// About how many bytes the inputs carry.
    pub(super) bytes: usize,
    /// How many units were refused.
    pub(super) mistakes: u64,
    /// Whether more may come.
    pub(super) outcome: Outcome,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// More may come; whether the read was as large as it could be, so that more stands there already.
    More {
        /// It was.
        full: bool,
    },
    /// Nothing had come.
    Nothing,
    /// The client has left or is turned away; the core has been told.
    Left,
    /// The peer is gone without an orderly end: what it had begun to say does not count.
    Gone,
}

/// Buffers of the thread, in use only during a turn.
#[derive(Default)]
struct Scratch {
    block: Vec<u8>,
    built: Vec<u8>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl<C: Codec> Reader<C> {
    pub(super) fn new(codec: C) -> Self {
        Self { codec, carry: None, errors: 0, stage: Stage::Silent, skip: Skip::Nothing }
    }

    /// Whether bytes have come, and no complete unit yet.
    pub(super) fn awaits_first_unit(&self) -> bool {
        self.stage == Stage::Begun
    }

    /// Reads once and decodes all that is complete.
    pub(super) fn turn(&mut self, transport: &impl Transport, limits: &ReaderLimits) -> Turn {
        SCRATCH.with_borrow_mut(|Scratch { block, built }| {
            let turn = match self.carry.take_if(|carry| carry.bytes.len() >= LARGE) {
                Some(carry) => self.large_turn(carry, built, transport, limits),
                None => self.small_turn(block, built, transport, limits),
            };
            // What one large unit needed is not kept for all that follow.
            for buffer in [block, built] {
                if buffer.capacity() > 4 * READ {
                    *buffer = Vec::new();
                }
            }
            turn
        })
    }

    /// Turns the peer away: it took too long for its first unit.
    pub(super) fn too_slow(&mut self, reason: &str, limits: &ReaderLimits) -> Turn {
        self.stage = Stage::Left;
        self.drop_carry(limits);
        let mut built = Vec::new();
        let mut batch = Batch::new(&[], &mut built, self.codec.encoder(), &limits.frames, limits.header);
        batch.leave(Some((ErrorCode::Limit, reason)), None);
        let (inputs, bytes) = batch.finish();
        Turn { inputs, bytes, mistakes: 1, outcome: Outcome::Left }
    }

    /// Gives back what an unfinished unit counts for.
    pub(super) fn drop_carry(&mut self, limits: &ReaderLimits) {
        if let Some(carry) = self.carry.take() {
            limits.unfinished_gauge.remove(carry.counted);
        }
    }

    /// The usual turn: the start of a unit, if there is one, and what comes now stand in the thread's block.
    fn small_turn(&mut self, block: &mut Vec<u8>, built: &mut Vec<u8>, transport: &impl Transport, limits: &ReaderLimits) -> Turn {
        block.clear();
        let searched = self.carry.as_ref().map_or(0, |carry| carry.bytes.len());
        block.reserve(searched + READ);
        if let Some(carry) = &self.carry {
            block.extend_from_slice(&carry.bytes);
        }
        match transport.try_read(block) {
            Ok(0) => self.end_of_file(block, built, limits),
            Ok(_) => {
                self.drop_carry(limits);
                let full = block.len() == block.capacity();
                let (turn, consumed) = self.decode(block, searched, full, built, limits);
                self.keep(block[consumed..].to_vec(), limits);
                turn
            }
            Err(error) => failed(&error),
        }
    }

    /// A turn in the midst of a large unit, which grows in its own buffer.
    fn large_turn(&mut self, mut carry: Box<Carry>, built: &mut Vec<u8>, transport: &impl Transport, limits: &ReaderLimits) -> Turn {
        let searched = carry.bytes.len();
        if carry.bytes.capacity() - searched < READ / 2 {
            carry.bytes.reserve(READ.max(searched));
        }
        match transport.try_read(&mut carry.bytes) {
            Ok(0) => {
                limits.unfinished_gauge.remove(carry.counted);
                self.end_of_file(&carry.bytes, built, limits)
            }
            Ok(_) => {
                limits.unfinished_gauge.remove(carry.counted);
                let full = carry.bytes.len() == carry.bytes.capacity();
                let (turn, consumed) = self.decode(&carry.bytes, searched, full, built, limits);
                if consumed == 0 {
                    self.keep(carry.bytes, limits);
                } else {
                    self.keep(carry.bytes[consumed..].to_vec(), limits);
                }
                turn
            }
            Err(error) => {
                if error.kind() == io::ErrorKind::WouldBlock {
                    self.carry = Some(carry);
                } else {
                    limits.unfinished_gauge.remove(carry.counted);
                }
                failed(&error)
            }
        }
    }

    /// Decodes all complete units of `block`. Returns what they gave, and how many bytes are done with.
    fn decode(&mut self, block: &[u8], searched: usize, full: bool, built: &mut Vec<u8>, limits: &ReaderLimits) -> (Turn, usize) {
        let mut batch = Batch::new(block, built, self.codec.encoder(), &limits.frames, limits.header);
        let (mut at, mut searched, mut mistakes) = (0, searched, 0);
        if self.stage == Stage::Silent {
            self.stage = Stage::Begun;
        }
        // Nothing of a unit that is thrown away is kept, so that it goes on at the start of the block.
        if let Skip::Bytes(left) = self.skip {
            at = left.min(block.len());
            self.skip = if at < left { Skip::Bytes(left - at) } else { Skip::Nothing };
        }
        while at < block.len() && self.stage != Stage::Left {
            if self.stage == Stage::Begun {
                match self.codec.foreign(&block[at..]) {
                    Foreign::Ours => {}
                    Foreign::Unclear => break,
                    Foreign::Theirs(reason) => {
                        mistakes += 1;
                        batch.leave(Some((ErrorCode::NotJson, &reason)), None);
                        self.stage = Stage::Left;
                        break;
                    }
                }
            }
            let here = block.len() - at;
            let (whole, rest) = match self.codec.unit(&block[at..], searched) {
                Unit::Complete(length) => (Some(at + length), Skip::Nothing),
                Unit::Partial => (None, Skip::ToEnd),
                Unit::Announced(length) => (None, Skip::Bytes(length.saturating_sub(here))),
            };
            let Some(end) = whole else {
                let over = match rest {
                    Skip::Bytes(rest) => here + rest > limits.decode.line + C::FRAMING,
                    Skip::ToEnd | Skip::Nothing => here > limits.decode.line,
                };
                if (over || self.no_room(here, limits)) && self.skip == Skip::Nothing {
                    self.skip = rest;
                    self.stage = Stage::Open;
                    let mistake = if over { too_long(limits) } else { no_memory(limits) };
                    mistakes += 1;
                    self.mistake(&mistake, &mut batch, limits);
                }
                if self.skip != Skip::Nothing {
                    at = block.len();
                }
                break;
            };
            let unit = at..end;
            (at, searched) = (end, 0);
            if std::mem::replace(&mut self.skip, Skip::Nothing) != Skip::Nothing {
                continue;
            }
            let done = if unit.len() - C::FRAMING > limits.decode.line {
                Err(too_long(limits))
            } else {
                match self.codec.decode(&block[unit.clone()], &limits.decode) {
                    // A blank line says nothing, not even what the peer speaks.
                    Ok(None) => continue,
                    Ok(Some(action)) => batch.action(action, unit),
                    Err(mistake) => Err(mistake),
                }
            };
            self.stage = Stage::Open;
            match done {
                Ok(left) => {
                    self.errors = 0;
                    if left {
                        self.stage = Stage::Left;
                    }
                }
                Err(mistake) => {
                    mistakes += 1;
                    self.mistake(&mistake, &mut batch, limits);
                }
            }
        }
        let outcome = if self.stage == Stage::Left { Outcome::Left } else { Outcome::More { full } };
        let (inputs, bytes) = batch.finish();
        (Turn { inputs, bytes, mistakes, outcome }, if self.stage == Stage::Left { block.len() } else { at })
    }

    /// An orderly end: a last unit without its end counts if it is whole, and says nothing otherwise.
    fn end_of_file(&mut self, rest: &[u8], built: &mut Vec<u8>, limits: &ReaderLimits) -> Turn {
        let mut batch = Batch::new(rest, built, self.codec.encoder(), &limits.frames, limits.header);
        let mut left = false;
        if self.stage != Stage::Left
            && self.skip == Skip::Nothing
            && !rest.is_empty()
            && rest.len() <= limits.decode.line
            && let Ok(Some(action)) = self.codec.decode(rest, &limits.decode)
        {
            left = batch.action(action, 0..rest.len()).unwrap_or(false);
        }
        if !left {
            batch.end_of_file();
        }
        self.stage = Stage::Left;
        self.drop_carry(limits);
        let (inputs, bytes) = batch.finish();
        Turn { inputs, bytes, mistakes: 0, outcome: Outcome::Left }
    }

    fn mistake(&mut self, mistake: &Mistake, batch: &mut Batch<'_>, limits: &ReaderLimits) {
        batch.mistake(mistake);
        self.errors += 1;
        if self.errors as usize >= limits.errors_in_a_row {
            let reason = format!(
                "{} bad lines in a row, the most allowed (limits.errors_in_a_row); the errors before this line say what was wrong",
                self.errors
            );
            batch.leave(Some((ErrorCode::TooManyErrors, &reason)), None);
            self.stage = Stage::Left;
        }
    }

    /// Whether a large unfinished unit would take more memory than all of them may. Small ones always have room, so that
    /// nobody can take it from the others.
    fn no_room(&self, length: usize, limits: &ReaderLimits) -> bool {
        length >= LARGE && limits.unfinished_gauge.bytes() + length > limits.unfinished
    }

    fn keep(&mut self, bytes: Vec<u8>, limits: &ReaderLimits) {
        if bytes.is_empty() || self.stage == Stage::Left {
            return;
        }
        let counted = if bytes.len() >= LARGE { bytes.capacity() } else { 0 };
        limits.unfinished_gauge.add(counted);
        self.carry = Some(Box::new(Carry { bytes, counted }));
    }
}

fn failed(error: &io::Error) -> Turn {
    let outcome = match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Outcome::Nothing,
        _ => Outcome::Gone,
    };
    Turn { inputs: Vec::new(), bytes: 0, mistakes: 0, outcome }
}

fn too_long(limits: &ReaderLimits) -> Mistake {
    let most = ByteSize(limits.decode.line);
    Mistake::new(
        ErrorCode::LineTooLong,
        format!("the line is longer than {most}, the most allowed (limits.line); it was skipped; send less at once, or raise the limit"),
    )
}

fn no_memory(limits: &ReaderLimits) -> Mistake {
    let most = ByteSize(limits.unfinished);
    Mistake::new(
        ErrorCode::Limit,
        format!(
            "the unfinished lines of all connections take {most}, the most allowed (limits.unfinished_lines); the line was skipped; send it again later"
        ),
    )
}
