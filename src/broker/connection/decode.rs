//! A reader's decoding: complete units become inputs, in their order; what is no action, or too long, is answered in its place.

use std::ops::Range;

use crate::wire::refusal;
use crate::wire::{Action, Codec, ErrorCode, Foreign, Mistake, TOKEN_START, UnitEnd, holds_secret};

use super::batch::Batch;
use super::carry::has_room_for_start;
use super::guard::{LONGEST_FIRST, Verdict};
use super::limits::ReaderLimits;
use super::read::{After, Decoded, Read};
use super::reader::{Reader, Stage};

/// How much memory the inputs of one read may take, in bytes, before the rest has to wait until they have taken effect. One unit
/// more may come on top.
const BATCH: usize = 256 << 10;

/// The same while much waits for the actor.
const CROWDED_BATCH: usize = 16 << 10;

/// What is decoded at once, in units, each with a weight by the time that it takes: a tenth of a millisecond or two in all. A read of plain
/// messages is less than that, so it is decoded at once.
const UNITS: usize = 2048;

impl<C: Codec> Reader<C> {
    /// Decodes the complete units of `block`, as far as there is room for what they give. The first `searched` bytes are known not
    /// to hold the end of a unit.
    pub(super) fn decode(&mut self, block: &[u8], mut searched: usize, full: bool, built: &mut Vec<u8>, limits: &ReaderLimits) -> Decoded {
        let mut batch = Batch::new(block, built, self.codec.encoder(), limits);
        let (mut at, mut mistakes, mut backlog) = (0, 0, false);
        let most = if limits.intake.is_crowded() { CROWDED_BATCH } else { BATCH };
        // Blank lines say nothing: after them the connection is as silent as before.
        if self.stage == Stage::Silent {
            self.stage = Stage::Begun;
        }
        while at < block.len() && self.stage != Stage::Left {
            if batch.is_full(UNITS, most) {
                backlog = true;
                break;
            }
            if self.stage == Stage::Begun {
                // All at once, lest each of them is a new look at all that follows.
                let is_stranger = self.guard.as_ref().is_some_and(|guard| !guard.has_admitted());
                let most = if is_stranger { LONGEST_FIRST.min(limits.decode.line) } else { limits.decode.line };
                let blank = self.codec.blank(&block[at..], most);
                if blank > 0 {
                    (at, searched) = (at + blank, 0);
                    continue;
                }
            }
            let rest = &block[at..];
            if self.stage == Stage::Begun && self.turn_away_foreign(rest, &mut batch) {
                mistakes += 1;
                break;
            }
            let announced = match self.codec.unit(rest, searched) {
                UnitEnd::Complete(length) => {
                    let unit = at..at + length;
                    (at, searched) = (unit.end, 0);
                    if !std::mem::take(&mut self.skipping) {
                        mistakes += u64::from(self.take_unit(block, unit, &mut batch, limits));
                    }
                    continue;
                }
                UnitEnd::Partial => None,
                UnitEnd::Announced(length) => Some(length),
            };
            let refused = !self.skipping && self.refuse_start(rest, announced, &mut batch, limits);
            mistakes += u64::from(refused);
            if refused || self.skipping {
                at = block.len();
            }
            break;
        }
        if self.stage == Stage::Begun && at == block.len() {
            self.stage = Stage::Silent;
        }
        let next = match self.stage {
            Stage::Left => After::Left,
            _ if backlog => After::Backlog,
            _ => After::More { full },
        };
        let memory = batch.memory();
        let first_mistake = batch.first_mistake.take();
        let (inputs, whole) = batch.finish();
        let consumed = if self.stage == Stage::Left { block.len() } else { at };
        Decoded { read: Read { inputs, memory, mistakes, first_mistake, next }, consumed, whole }
    }

    /// Turns the peer away: it took too long for its first unit.
    pub(super) fn turn_away(&mut self, code: ErrorCode, reason: &str, limits: &ReaderLimits) -> Read {
        self.stage = Stage::Left;
        self.carry.clear(&limits.intake);
        let mut built = Vec::new();
        let mut batch = Batch::new(&[], &mut built, self.codec.encoder(), limits);
        batch.turn_away(code, reason);
        let memory = batch.memory();
        let first_mistake = batch.first_mistake.take();
        let (inputs, _) = batch.finish();
        Read { inputs, memory, mistakes: 1, first_mistake, next: After::Left }
    }

    /// An orderly end: a last unit without its end counts if it is whole, and says nothing otherwise.
    pub(super) fn end_of_file(&mut self, rest: &[u8], built: &mut Vec<u8>, limits: &ReaderLimits) -> Read {
        let mut batch = Batch::new(rest, built, self.codec.encoder(), limits);
        let (mut left, mut mistakes) = (false, 0);
        if self.stage != Stage::Left && !self.skipping && !rest.is_empty() {
            match self.take_last_unit(rest, &mut batch, limits) {
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
        self.carry.clear(&limits.intake);
        let memory = batch.memory();
        let first_mistake = batch.first_mistake.take();
        let (mut inputs, whole) = batch.finish();
        if let Some(whole) = whole {
            inputs.push(whole.input(Box::from(rest), self.codec.encoder()));
        }
        Read { inputs, memory, mistakes, first_mistake, next: After::Left }
    }

    /// Turns the peer away if it speaks something else. Says whether it did.
    fn turn_away_foreign(&mut self, start: &[u8], batch: &mut Batch<'_>) -> bool {
        match self.codec.foreign(start) {
            // A unit that is complete is ours, or blank.
            Foreign::Ours | Foreign::Unclear => false,
            Foreign::Theirs(reason) => {
                batch.turn_away(ErrorCode::NotJson, &reason);
                self.stage = Stage::Left;
                true
            }
        }
    }

    /// Decodes a complete unit and adds what it asks for to the batch. Says whether it was a mistake.
    fn take_unit(&mut self, block: &[u8], unit: Range<usize>, batch: &mut Batch<'_>, limits: &ReaderLimits) -> bool {
        if self.stage != Stage::Open {
            return self.take_watched_unit(block, unit, batch, limits);
        }
        let done = if unit.len() - C::FRAMING > limits.decode.line {
            Err(refusal::long_line(limits.decode.line))
        } else {
            let bytes = &block[unit.clone()];
            match self.codec.decode(bytes, &limits.decode) {
                Ok(None) => return false,
                Ok(Some(action)) => batch.action(action, unit),
                Err(mistake) => Err(discreet(mistake, bytes)),
            }
        };
        match done {
            Ok(left) => {
                self.errors = 0;
                if left {
                    self.stage = Stage::Left;
                }
                false
            }
            Err(mistake) => {
                self.mistake(&mistake, batch, limits);
                true
            }
        }
    }

    /// The same for the first units, and where the client is held to its rights. Apart, so that nobody else pays for it.
    #[inline(never)]
    fn take_watched_unit(&mut self, block: &[u8], unit: Range<usize>, batch: &mut Batch<'_>, limits: &ReaderLimits) -> bool {
        let length = unit.len() - C::FRAMING;
        if self.turn_away_stranger(length, batch) {
            return true;
        }
        let done = if length > limits.decode.line {
            Err(refusal::long_line(limits.decode.line))
        } else {
            match self.take_judged(&block[unit.clone()], unit, batch, limits) {
                // A blank line says nothing, not even what the peer speaks; or the peer is turned away.
                Ok(None) => return self.stage == Stage::Left,
                Ok(Some(left)) => Ok(left),
                Err(mistake) => Err(mistake),
            }
        };
        match done {
            Ok(true) => self.stage = Stage::Left,
            Ok(false) => self.errors = 0,
            Err(mistake) => {
                self.stage = self.opened();
                self.mistake(&mistake, batch, limits);
                return true;
            }
        }
        false
    }

    /// Decodes a unit, asks the guard if there is one, and adds what it asks for to the batch. Says whether it ends the connection; none
    /// if it says nothing, or the peer is turned away.
    fn take_judged(
        &mut self,
        bytes: &[u8],
        unit: Range<usize>,
        batch: &mut Batch<'_>,
        limits: &ReaderLimits,
    ) -> Result<Option<bool>, Mistake> {
        let is_first = matches!(self.stage, Stage::Silent | Stage::Begun);
        let decoded = self.codec.decode(bytes, &limits.decode).map_err(|mistake| discreet(mistake, bytes));
        match self.guard.as_mut().map_or(Verdict::Passes, |guard| guard.judge(&decoded, is_first)) {
            Verdict::Passes => {}
            Verdict::Refused(mistake) => return Err(mistake),
            Verdict::TurnedAway(code, reason) => {
                batch.turn_away(code, &reason);
                self.stage = Stage::Left;
                return Ok(None);
            }
        }
        let Some(action) = decoded? else { return Ok(None) };
        let is_named = matches!(action, Action::Auth { .. });
        batch.may_begin = is_first || self.stage == Stage::Named && !is_named;
        let done = batch.action(action, unit);
        batch.may_begin = false;
        if done.is_ok() {
            self.stage = if is_named { Stage::Named } else { self.opened() };
        }
        done.map(Some)
    }

    /// The stage once something has been said.
    fn opened(&self) -> Stage {
        if self.guard.is_some() { Stage::Held } else { Stage::Open }
    }

    /// Refuses a unit of which this much has come, if it is too long or there is no room for it, and has the rest of it
    /// thrown away. Says whether it did.
    fn refuse_start(&mut self, start: &[u8], announced: Option<usize>, batch: &mut Batch<'_>, limits: &ReaderLimits) -> bool {
        let here = start.len();
        let length = announced.map_or(here, |length| length - C::FRAMING);
        if self.turn_away_stranger(length, batch) {
            return true;
        }
        let mistake = if length > limits.decode.line {
            refusal::long_line(limits.decode.line)
        } else if !has_room_for_start(here, &limits.intake) {
            refusal::unfinished_lines(limits.intake.most())
        } else {
            return false;
        };
        match announced {
            Some(length) => self.carry.discard_next(length.saturating_sub(here)),
            None => self.skipping = true,
        }
        self.stage = self.opened();
        self.mistake(&mistake, batch, limits);
        true
    }

    /// Turns the peer away if a unit of this length is its first, and too long to say who it is. Says whether it did.
    fn turn_away_stranger(&mut self, length: usize, batch: &mut Batch<'_>) -> bool {
        let Some(guard) = self.guard.as_ref().filter(|guard| !guard.has_admitted()) else { return false };
        if length <= LONGEST_FIRST {
            return false;
        }
        batch.turn_away(ErrorCode::AuthRequired, guard.silent());
        self.stage = Stage::Left;
        true
    }

    /// Decodes what came last, without its end. Says whether it ends the connection.
    fn take_last_unit(&mut self, rest: &[u8], batch: &mut Batch<'_>, limits: &ReaderLimits) -> Result<bool, Mistake> {
        // A unit that says how long it is cannot be whole before it has come.
        if matches!(self.codec.unit(rest, rest.len()), UnitEnd::Announced(_)) {
            return Ok(false);
        }
        if self.turn_away_stranger(rest.len(), batch) {
            return Ok(true);
        }
        if rest.len() > limits.decode.line {
            return Err(refusal::long_line(limits.decode.line));
        }
        match self.take_judged(rest, 0..rest.len(), batch, limits) {
            Ok(done) => Ok(done.unwrap_or(self.stage == Stage::Left)),
            // Most likely the start of a unit whose end was never sent.
            Err(mistake) if mistake.code == ErrorCode::BadJson => Ok(false),
            Err(mistake) => Err(mistake),
        }
    }

    /// Answers a mistake; turns the peer away after too many in a row.
    #[cold]
    fn mistake(&mut self, mistake: &Mistake, batch: &mut Batch<'_>, limits: &ReaderLimits) {
        if holds_secret(&mistake.reason) {
            // As the name of a stream, for instance.
            batch.mistake(&unexplained(mistake.clone()));
        } else {
            batch.mistake(mistake);
        }
        self.errors += 1;
        if self.errors as usize >= limits.errors_in_a_row {
            let reason = format!(
                "{} bad lines in a row, the most allowed (limits.errors_in_a_row); the errors before this line say what was wrong",
                self.errors
            );
            batch.turn_away(ErrorCode::TooManyErrors, &reason);
            self.stage = Stage::Left;
        }
    }
}

/// A mistake of a line that cannot be understood, as it may be told and logged: its reason may repeat some of the line, where there may be a
/// token, whatever that looks like.
#[cold]
fn discreet(mistake: Mistake, line: &[u8]) -> Mistake {
    let has = |sign: &[u8]| memchr::memmem::find(line, sign).is_some();
    // The action and its key, as each encoding has them.
    let shows = |action, key| has(action) && has(key);
    let may_show = has(TOKEN_START.as_bytes()) || shows(b"\"auth\"", b"\"tok") || shows(b"\xa4auth", b"tok");
    if may_show && mistake.reason != refusal::NEEDS_TOKEN { unexplained(mistake) } else { mistake }
}

fn unexplained(mistake: Mistake) -> Mistake {
    let reason = "there may be a token in this line, so it is not said what is wrong with it".to_owned();
    Mistake { reason, ..mistake }
}
