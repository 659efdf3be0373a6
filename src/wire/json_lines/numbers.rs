//! Long runs of numbers in an array, 64 bytes at a time.
//!
//! Read byte by byte, nearly every number ends with a branch that the processor predicts wrongly. Here no branch depends on
//! where numbers end: a class of bytes is a mask with one bit a byte, and a rule of the grammar is a few operations on masks.
//! Addition finds the ends of runs: a bit added at the first place of a run carries to the place after its last.
//!
//! Mistakes, and all that is not a number, are left to the scanner, which knows what to say of them.

use super::block::{BLOCK, Block};

#[cfg(test)]
mod tests;

/// The places of each class of bytes in a block.
struct Masks {
    digits: u64,
    zeros: u64,
    dots: u64,
    minus: u64,
    commas: u64,
    rare: Rare,
}

/// The classes that do not occur in most arrays.
#[derive(Default)]
struct Rare {
    spaces: u64,
    letters: u64,
    plus: u64,
    opening: u64,
    closing: u64,
}

// The kind of an array: which rare classes it may hold.
const SPACES: u8 = 1;
const EXPONENTS: u8 = 2;
const BRACKETS: u8 = 4;
const SPACED_BRACKETS: u8 = SPACES | BRACKETS;
const ALL: u8 = SPACES | EXPONENTS | BRACKETS;

impl Masks {
    /// The places of the classes that this kind of array may hold, and those of all other bytes.
    #[inline(always)]
    fn of<const KIND: u8>(block: &Block) -> (Self, u64) {
        let (digits, zeros) = block.digits();
        let (dots, minus, commas) = (block.equal(b'.'), block.equal(b'-'), block.equal(b','));
        let mut known = digits | dots | minus | commas;
        let mut rare = Rare::default();
        if KIND & SPACES != 0 {
            rare.spaces = block.equal(b' ');
            known |= rare.spaces;
        }
        if KIND & EXPONENTS != 0 {
            (rare.letters, rare.plus) = (block.letter(b'e'), block.equal(b'+'));
            known |= rare.letters | rare.plus;
        }
        if KIND & BRACKETS != 0 {
            (rare.opening, rare.closing) = (block.equal(b'['), block.equal(b']'));
            known |= rare.opening | rare.closing;
        }
        (Self { digits, zeros, dots, minus, commas, rare }, !known)
    }

    fn brackets(&self) -> u64 {
        self.rare.opening | self.rare.closing
    }
}

/// All places before the first one of a mask.
#[inline(always)]
fn before_first(mask: u64) -> u64 {
    (mask & mask.wrapping_neg()).wrapping_sub(1)
}

/// What a block carries into the next one: in each field one bit, for the first place of the next block.
#[derive(Clone, Copy, Default)]
struct Carry {
    after_digit: u64,
    /// After a dot or the sign of a number or exponent.
    wants_digit: u64,
    after_minus: u64,
    /// After a zero that begins a number.
    after_zero: u64,
    /// In a fraction or an exponent, or where one begins.
    fraction: u64,
    /// Where a value begins, perhaps after white space.
    value: u64,
    rare: RareCarry,
}

/// What only blocks with rare classes carry.
#[derive(Clone, Copy, Default)]
struct RareCarry {
    /// In the white space after a number.
    ended: u64,
    after_letter: u64,
    after_sign: u64,
    /// In the digits of an exponent, or where they begin.
    exponent: u64,
    after_closing: u64,
    /// After an array, perhaps with white space.
    closed: u64,
    /// After an array and a comma, perhaps with white space.
    reopens: u64,
}

impl RareCarry {
    /// The same. All blocks so far were of this kind, so the other fields are 0; this shows it to the compiler.
    #[inline(always)]
    fn of<const KIND: u8>(self) -> Self {
        let of = |class: u8, carry: u64| if KIND & class != 0 { carry } else { 0 };
        Self {
            ended: of(SPACES, self.ended),
            after_letter: of(EXPONENTS, self.after_letter),
            after_sign: of(EXPONENTS, self.after_sign),
            exponent: of(EXPONENTS, self.exponent),
            after_closing: of(BRACKETS, self.after_closing),
            closed: of(BRACKETS, self.closed),
            reopens: of(BRACKETS, self.reopens),
        }
    }
}

/// How far the numbers have been read.
struct Lane {
    nested: bool,
    carry: Carry,
    /// Where the next block begins.
    at: usize,
    /// The last place where a value begins.
    reached: usize,
}

/// Skips numbers in an array. `start` is a place where a value begins, perhaps after white space; the result is the last such
/// place that can be reached over numbers alone. If the array is `nested` in another one, it may lie in a later array of that:
/// arrays of numbers side by side are read as one.
#[inline(never)]
pub(super) fn skip_numbers(bytes: &[u8], start: usize, nested: bool) -> usize {
    let (mut blocks, rest) = bytes.get(start..).unwrap_or_default().as_chunks();
    let mut lane = Lane { nested, carry: Carry { value: 1, ..Carry::default() }, at: start, reached: start };
    let mut kind = 0;
    loop {
        blocks = match kind {
            0 => lane.read::<0>(blocks),
            SPACES => lane.read::<SPACES>(blocks),
            EXPONENTS => lane.read::<EXPONENTS>(blocks),
            BRACKETS => lane.read::<BRACKETS>(blocks),
            SPACED_BRACKETS => lane.read::<SPACED_BRACKETS>(blocks),
            _ => lane.read::<ALL>(blocks),
        };
        let Some(block) = blocks.first() else { break };
        // The kind only ever grows: an array with a bit of everything would otherwise change it at each block.
        let more = kind | lane.finish(block, kind);
        if more == kind {
            return lane.reached;
        }
        kind = more;
    }
    let mut last = [0; BLOCK];
    if let Some(part) = last.get_mut(..rest.len()) {
        part.copy_from_slice(rest);
        lane.finish(&last, ALL);
    }
    lane.reached
}

impl Lane {
    /// Reads blocks up to the first one that has a mistake or is not of this kind, and gives the rest back.
    #[inline(never)]
    fn read<'a, const KIND: u8>(&mut self, mut blocks: &'a [[u8; BLOCK]]) -> &'a [[u8; BLOCK]] {
        let Self { nested, mut at, mut reached, .. } = *self;
        let mut carry = Carry { rare: self.carry.rare.of::<KIND>(), ..self.carry };
        while let Some((block, after)) = blocks.split_first() {
            let (masks, others) = Masks::of::<KIND>(&Block::of(block));
            if others != 0 || (KIND == ALL && !nested && masks.brackets() != 0) {
                break;
            }
            let mut next = carry;
            let (faults, values) = judge(&masks, &mut next);
            if faults != 0 {
                break;
            }
            carry = next;
            if values != 0 {
                reached = at + BLOCK - values.leading_zeros() as usize;
            }
            at += BLOCK;
            blocks = after;
        }
        *self = Self { nested, carry, at, reached };
        blocks
    }

    /// Reads a block up to its first mistake or other byte, and gives 0. A block that is not of this `kind` is not read: the
    /// result is what it holds.
    #[inline(always)]
    fn finish(&mut self, block: &[u8; BLOCK], kind: u8) -> u8 {
        let (masks, mut stops) = Masks::of::<ALL>(&Block::of(block));
        if !self.nested {
            stops |= masks.brackets();
        }
        let has = |mask: u64, kind: u8| if mask & before_first(stops) == 0 { 0 } else { kind };
        let Rare { spaces, letters, plus, .. } = masks.rare;
        let held = has(spaces, SPACES) | has(letters | plus, EXPONENTS) | has(masks.brackets(), BRACKETS);
        if held & !kind != 0 {
            return held;
        }
        let (faults, values) = judge(&masks, &mut self.carry);
        // Only what comes before the first stop is sure.
        let values = values & before_first(stops | faults);
        if values != 0 {
            self.reached = self.at + BLOCK - values.leading_zeros() as usize;
        }
        0
    }
}

/// The place after each place of a mask. The one beyond the block goes to the carry.
#[inline(always)]
fn after(mask: u64, carry: &mut u64) -> u64 {
    let places = mask << 1 | *carry;
    *carry = mask >> 63;
    places
}

/// For each start, the first place from there on that is not in a run. Beyond the block, it goes to the carry.
#[inline(always)]
fn ends(run: u64, starts: u64, carry: &mut u64) -> u64 {
    let (sum, over) = run.overflowing_add(starts);
    *carry |= u64::from(over);
    sum & !run
}

/// The faults in a block, of which only the first is certain to be one, and the places after which a value begins.
#[inline(always)]
fn judge(masks: &Masks, carry: &mut Carry) -> (u64, u64) {
    let Masks { digits, zeros, dots, minus, commas, rare: Rare { spaces, letters, plus, opening, closing } } = *masks;
    let after_digit = after(digits, &mut carry.after_digit);
    let after_closing = after(closing, &mut carry.rare.after_closing);

    // After an array comes a comma, and then another array.
    let closed_starts = after_closing | carry.rare.closed;
    carry.rare.closed = 0;
    let closed = ends(spaces, closed_starts, &mut carry.rare.closed);
    let between = commas & closed;
    let reopens_starts = after(between, &mut carry.rare.reopens);
    let reopens = ends(spaces, reopens_starts, &mut carry.rare.reopens);
    // After any other comma, and after an opening bracket, comes a number.
    let before_values = commas & !between | opening;
    let value_starts = after(before_values, &mut carry.value);
    let values = ends(spaces, value_starts, &mut carry.value);
    // After a number, white space leads to the next comma of the array or to its end.
    let ended_starts = after_digit & spaces | carry.rare.ended;
    carry.rare.ended = 0;
    let ended = ends(spaces, ended_starts, &mut carry.rare.ended);

    let after_letter = after(letters, &mut carry.rare.after_letter);
    let negative = minus & values;
    let signs = minus & !values | plus;
    let after_sign = after(signs, &mut carry.rare.after_sign);
    let wants_digit = after(dots | minus | plus, &mut carry.wants_digit);

    let leading = zeros & (values | after(negative, &mut carry.after_minus));
    let after_zero = after(leading, &mut carry.after_zero);

    let exponents = (after_letter | after_sign) & digits | carry.rare.exponent;
    carry.rare.exponent = 0;
    let exponent_ends = ends(digits, exponents, &mut carry.rare.exponent);
    let fraction_starts = after(dots, &mut carry.fraction) | exponents;
    let fraction_ends = ends(digits, fraction_starts, &mut carry.fraction);

    // Each rule says what may follow. That settles what may precede as well: whatever is not a digit has to lead to a digit or
    // a comma.
    let faults = (values & !(digits | minus))
        | (signs & !after_letter)
        | (after_letter & !(digits | minus | plus))
        | (wants_digit & !digits)
        | (after_zero & digits)
        | (fraction_ends & dots)
        | (exponent_ends & letters)
        | (ended & !(commas | closing))
        | (closed & !commas)
        | (reopens ^ opening);
    (faults, before_values)
}
