//! From a connection's bytes to batches of inputs.
//!
//! While idle a reader holds no buffer: it reads into a block of the thread, decodes what is complete, and keeps only the
//! start of a unit whose end has yet to come.

use std::cell::RefCell;
use std::io;
use std::sync::Arc;

use crate::broker::actor::Intake;
use crate::broker::core::Input;
use crate::wire::refusal;
use crate::wire::{Action, Codec, DecodeLimits, ErrorCode, Foreign, Mistake, Unit};

use super::batch::{Batch, Whole};
use super::transport::Transport;

/// What one turn reads: larger ones are a little cheaper and much less fair to other connections.
const READ: usize = 64 << 10;

/// What one turn reads while much waits for the actor.
const CROWDED_READ: usize = 4 << 10;

/// What a turn decodes, in bytes of memory that it gives, at once and while much waits for the actor. One unit more may come on
/// top. The rest is decoded when this has taken effect.
const BATCH: (usize, usize) = (256 << 10, 16 << 10);

/// What a turn decodes in units, each with a weight by the time that it takes: a tenth of a millisecond or two in all. A read of plain
/// messages is less than that, so it is decoded in one turn.
const UNITS: usize = 2048;
/// What a unit weighs that gives an input or an answer of its own, ...
const ACTION: usize = 2;
/// ... and one that is refused, as the reason is found.
const MISTAKE: usize = 16;

/// An unfinished unit of this size or more counts against the limit for all; smaller ones always have room.
const COUNTED: usize = 4 << 10;

/// An unfinished unit of this size or more is gathered where it stands, rather than copied from block to block.
const LARGE: usize = 32 << 10;

/// What readers are held to.
#[derive(Debug, Clone)]
pub struct ReaderLimits {
    /// What the codec checks.
    pub decode: DecodeLimits,
    /// The largest header and the largest last message, in bytes.
    pub header: usize,
    /// Mistakes in a row after which the connection is closed.
    pub errors_in_a_row: usize,
    /// What all connections have received and what has not taken effect.
    pub intake: Arc<Intake>,
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
    /// The rest of a refused unit is still to be thrown away, up to its end, wherever that is.
    skipping: bool,
    /// About how long large units are, in reads.
    expected: u16,
}

#[derive(Debug)]
struct Carry {
    bytes: Vec<u8>,
    /// Complete units may stand in it, from here on: they were not decoded for want of room.
    backlog: Option<usize>,
    /// What of it is counted among the large unfinished units.
    counted: usize,
    /// How many bytes of a refused unit are still to be thrown away; nothing else is kept of it. Here, since it is rare and
    /// would make every idle connection larger.
    left: usize,
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
    /// What the inputs take, in bytes of memory.
    pub(super) memory: usize,
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
    /// More has come and is yet to be decoded.
    Backlog,
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
        Self { codec, carry: None, errors: 0, stage: Stage::Silent, skipping: false, expected: 0 }
    }

    /// Whether bytes have come, and no complete unit yet.
    pub(super) fn awaits_first_unit(&self) -> bool {
        self.stage == Stage::Begun
    }

    /// Whether units have come that are yet to be decoded.
    pub(super) fn has_backlog(&self) -> bool {
        self.carry.as_ref().is_some_and(|carry| carry.backlog.is_some())
    }

    /// Reads once and decodes what is complete, as far as there is room for it.
    pub(super) fn turn(&mut self, transport: &impl Transport, limits: &ReaderLimits) -> Turn {
        SCRATCH.with_borrow_mut(|Scratch { block, built }| {
            let turn = if let Some(carry) = self.carry.take_if(|carry| carry.backlog.is_some()) {
                limits.intake.received().remove(carry.counted);
                self.backlog_turn(carry.bytes, carry.backlog.unwrap_or(0), built, limits)
            } else if let Some(carry) = self.carry.take_if(|carry| carry.bytes.len() >= LARGE) {
                limits.intake.received().remove(carry.counted);
                self.large_turn(carry.bytes, built, transport, limits)
            } else if limits.intake.is_crowded() {
                self.small_turn(&mut Vec::new(), CROWDED_READ, built, transport, limits)
            } else {
                self.small_turn(block, READ, built, transport, limits)
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
        let mut batch = Batch::new(&[], &mut built, self.codec.encoder(), limits.header);
        batch.leave(Some((ErrorCode::Limit, reason)), None);
        let memory = batch.memory();
        let (inputs, _) = batch.finish();
        Turn { inputs, memory, mistakes: 1, outcome: Outcome::Left }
    }

    /// Gives back what an unfinished unit counts for.
    pub(super) fn drop_carry(&mut self, limits: &ReaderLimits) {
        if let Some(carry) = self.carry.take() {
            limits.intake.received().remove(carry.counted);
        }
    }

    /// The usual turn: the start of a unit, if there is one, and what comes now stand in the thread's block.
    fn small_turn(
        &mut self,
        block: &mut Vec<u8>,
        read: usize,
        built: &mut Vec<u8>,
        transport: &impl Transport,
        limits: &ReaderLimits,
    ) -> Turn {
        block.clear();
        let searched = self.carry.as_ref().map_or(0, |carry| carry.bytes.len());
        block.reserve(searched + read);
        if let Some(carry) = &self.carry {
            block.extend_from_slice(&carry.bytes);
        }
        match transport.try_read(block) {
            Ok(0) => self.end_of_file(block, built, limits),
            Ok(_) => {
                let left = self.carry.as_ref().map_or(0, |carry| carry.left);
                self.drop_carry(limits);
                let full = block.len() == block.capacity();
                self.throw_away(left.saturating_sub(block.len()));
                let block = block.get(left..).unwrap_or_default();
                let (mut turn, consumed, whole) = self.decode(block, searched, full, built, limits);
                if let Some(whole) = whole {
                    turn.inputs.push(whole.input(Box::from(block), self.codec.encoder()));
                }
                self.keep(block[consumed..].to_vec(), turn.outcome, limits);
                turn
            }
            Err(error) => failed(&error),
        }
    }

    /// A turn in the midst of a large unit, which grows in its own buffer.
    fn large_turn(&mut self, mut bytes: Vec<u8>, built: &mut Vec<u8>, transport: &impl Transport, limits: &ReaderLimits) -> Turn {
        let searched = bytes.len();
        if bytes.capacity() - searched < READ / 2 {
            // As much as the last one took, so that a publisher of large messages does not have each copied as it grows.
            let expected = usize::from(self.expected) * READ;
            bytes.reserve(READ.max(searched).max(expected.saturating_sub(searched)));
        }
        match transport.try_read(&mut bytes) {
            Ok(0) => self.end_of_file(&bytes, built, limits),
            Ok(_) => {
                let full = bytes.len() == bytes.capacity();
                let (mut turn, consumed, whole) = self.decode(&bytes, searched, full, built, limits);
                if consumed > 0 {
                    self.expected = u16::try_from(consumed / READ + 2).unwrap_or(u16::MAX);
                }
                match whole {
                    Some(whole) => turn.inputs.push(whole.input(bytes.into_boxed_slice(), self.codec.encoder())),
                    None => self.keep(if consumed == 0 { bytes } else { bytes[consumed..].to_vec() }, turn.outcome, limits),
                }
                turn
            }
            Err(error) => {
                self.keep(bytes, Outcome::Nothing, limits);
                failed(&error)
            }
        }
    }

    /// A turn that reads nothing: units have come that are yet to be decoded.
    fn backlog_turn(&mut self, bytes: Vec<u8>, at: usize, built: &mut Vec<u8>, limits: &ReaderLimits) -> Turn {
        let block = &bytes[at..];
        let (mut turn, consumed, whole) = self.decode(block, 0, true, built, limits);
        if let Some(whole) = whole {
            turn.inputs.push(whole.input(Box::from(block), self.codec.encoder()));
        }
        match turn.outcome {
            // The rest stays where it is: moving it each time would cost more than decoding it.
            Outcome::Backlog => self.keep_from(bytes, Some(at + consumed), limits),
            outcome => self.keep(bytes[at + consumed..].to_vec(), outcome, limits),
        }
        turn
    }

    /// Decodes the complete units of `block`, as far as there is room for what they give. Returns what they gave, how many bytes are done with, and the run that is all
    /// of the block, if there is one.
    fn decode(
        &mut self,
        block: &[u8],
        searched: usize,
        full: bool,
        built: &mut Vec<u8>,
        limits: &ReaderLimits,
    ) -> (Turn, usize, Option<Whole>) {
        let mut batch = Batch::new(block, built, self.codec.encoder(), limits.header);
        let (mut at, mut searched, mut mistakes, mut backlog) = (0, searched, 0, false);
        let most = if limits.intake.is_crowded() { BATCH.1 } else { BATCH.0 };
        let mut weight = 0;
        // Blank lines say nothing: after them the connection is as silent as before.
        if self.stage == Stage::Silent {
            self.stage = Stage::Begun;
        }
        while at < block.len() && self.stage != Stage::Left {
            if batch.memory() >= most || weight >= UNITS {
                backlog = true;
                break;
            }
            if self.stage == Stage::Begun {
                match self.codec.foreign(&block[at..]) {
                    // A unit that is complete is ours, or blank.
                    Foreign::Ours | Foreign::Unclear => {}
                    Foreign::Theirs(reason) => {
                        mistakes += 1;
                        batch.leave(Some((ErrorCode::NotJson, &reason)), None);
                        self.stage = Stage::Left;
                        break;
                    }
                }
            }
            let here = block.len() - at;
            let found = match self.codec.unit(&block[at..], searched) {
                Unit::Complete(length) => Ok(at + length),
                Unit::Partial => Err(None),
                Unit::Announced(length) => Err(Some(length)),
            };
            let end = match found {
                Ok(end) => end,
                Err(announced) => {
                    let over = announced.map_or(here, |length| length - C::FRAMING) > limits.decode.line;
                    if (over || self.no_room(here, limits)) && !self.skipping {
                        match announced {
                            Some(length) => self.throw_away(length.saturating_sub(here)),
                            None => self.skipping = true,
                        }
                        self.stage = Stage::Open;
                        at = block.len();
                        let mistake =
                            if over { refusal::long_line(limits.decode.line) } else { refusal::unfinished_lines(limits.intake.most()) };
                        mistakes += 1;
                        self.mistake(&mistake, &mut batch, limits);
                    }
                    if self.skipping {
                        at = block.len();
                    }
                    break;
                }
            };
            let unit = at..end;
            (at, searched) = (end, 0);
            if std::mem::take(&mut self.skipping) {
                continue;
            }
            let done = if unit.len() - C::FRAMING > limits.decode.line {
                Err(refusal::long_line(limits.decode.line))
            } else {
                match self.codec.decode(&block[unit.clone()], &limits.decode) {
                    // A blank line says nothing, not even what the peer speaks.
                    Ok(None) => continue,
                    Ok(Some(action)) => {
                        weight += if matches!(action, Action::Put { header: None, receipt: None, .. }) { 1 } else { ACTION };
                        batch.action(action, unit)
                    }
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
                    weight += MISTAKE;
                    self.mistake(&mistake, &mut batch, limits);
                }
            }
        }
        if self.stage == Stage::Begun && at == block.len() {
            self.stage = Stage::Silent;
        }
        let outcome = match self.stage {
            Stage::Left => Outcome::Left,
            _ if backlog => Outcome::Backlog,
            _ => Outcome::More { full },
        };
        let memory = batch.memory();
        let (inputs, whole) = batch.finish();
        (Turn { inputs, memory, mistakes, outcome }, if self.stage == Stage::Left { block.len() } else { at }, whole)
    }

    /// An orderly end: a last unit without its end counts if it is whole, and says nothing otherwise.
    fn end_of_file(&mut self, rest: &[u8], built: &mut Vec<u8>, limits: &ReaderLimits) -> Turn {
        let mut batch = Batch::new(rest, built, self.codec.encoder(), limits.header);
        let (mut left, mut mistakes) = (false, 0);
        // One that says how long it is cannot be whole before it has come.
        let cut_short = matches!(self.codec.unit(rest, rest.len()), Unit::Announced(_));
        if self.stage != Stage::Left && !self.skipping && !rest.is_empty() && !cut_short {
            let done = match self.codec.decode(rest, &limits.decode) {
                _ if rest.len() > limits.decode.line => Err(refusal::long_line(limits.decode.line)),
                Ok(None) => Ok(false),
                Ok(Some(action)) => batch.action(action, 0..rest.len()),
                // Most likely the start of a unit whose end was never sent.
                Err(mistake) if mistake.code == ErrorCode::BadJson => Ok(false),
                Err(mistake) => Err(mistake),
            };
            match done {
                Ok(ended) => left = ended,
                Err(mistake) => {
                    mistakes = 1;
                    batch.mistake(&mistake);
                }
            }
        }
        if !left {
            batch.end_of_file();
        }
        self.stage = Stage::Left;
        self.drop_carry(limits);
        let memory = batch.memory();
        let (mut inputs, whole) = batch.finish();
        if let Some(whole) = whole {
            inputs.push(whole.input(Box::from(rest), self.codec.encoder()));
        }
        Turn { inputs, memory, mistakes, outcome: Outcome::Left }
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

    /// Whether an unfinished unit would take more than what it leaves to all others. So nobody can take the whole room: the
    /// first that is greedy gets half, the next a quarter, and small units always fit.
    fn no_room(&self, length: usize, limits: &ReaderLimits) -> bool {
        length >= COUNTED && !has_room(length, limits)
    }

    /// Throws away so many of the bytes that come.
    fn throw_away(&mut self, left: usize) {
        if left > 0 {
            self.carry = Some(Box::new(Carry { bytes: Vec::new(), backlog: None, counted: 0, left }));
        }
    }

    fn keep(&mut self, bytes: Vec<u8>, outcome: Outcome, limits: &ReaderLimits) {
        if !bytes.is_empty() && self.stage != Stage::Left {
            self.keep_from(bytes, (outcome == Outcome::Backlog).then_some(0), limits);
        }
    }

    fn keep_from(&mut self, mut bytes: Vec<u8>, backlog: Option<usize>, limits: &ReaderLimits) {
        // Room that was made for a long unit is kept for the next one, unless others need it: what is counted is the room.
        if bytes.capacity() > 2 * bytes.len() && !has_room(bytes.capacity(), limits) {
            bytes.shrink_to_fit();
        }
        let counted = if bytes.len() >= COUNTED { bytes.capacity() } else { 0 };
        limits.intake.received().add(counted);
        self.carry = Some(Box::new(Carry { bytes, backlog, counted, left: 0 }));
    }
}

/// Whether so many bytes more leave as many to all others.
fn has_room(bytes: usize, limits: &ReaderLimits) -> bool {
    limits.intake.received().bytes() + 2 * bytes <= limits.intake.most()
}

fn failed(error: &io::Error) -> Turn {
    let outcome = match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Outcome::Nothing,
        _ => Outcome::Gone,
    };
    Turn { inputs: Vec::new(), memory: 0, mistakes: 0, outcome }
}
