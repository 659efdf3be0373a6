//! From a connection's bytes to batches of inputs.
//!
//! While idle a reader holds no buffer: it reads into a block of the thread, decodes what is complete, and keeps only the
//! start of a unit whose end has yet to come.

use std::cell::RefCell;
use std::task::{Context, Poll};

use crate::wire::Codec;

use super::carry::Carry;
use super::guard::{Guarded, LastChance};
use super::limits::ReaderLimits;
use super::read::{After, Read};
use super::transport::Transport;

/// What is read at once: more is a little cheaper and much less fair to other connections.
const READ: usize = 128 << 10;

/// What is read at once while much waits for the actor.
const CROWDED_READ: usize = 4 << 10;

/// The reading side of one connection.
#[derive(Debug)]
pub(super) struct Reader<C> {
    pub(super) codec: C,
    pub(super) carry: Carry,
    /// Holds what it says to its rights.
    pub(super) guard: Guarded,
    /// Mistakes since the last good unit.
    pub(super) errors: u32,
    pub(super) stage: Stage,
    /// The rest of a refused unit is still to be thrown away, up to its end, wherever that is.
    pub(super) skipping: bool,
    /// About how long large units are, in reads.
    expected: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Nothing has come.
    Silent,
    /// Bytes have come, but no unit that says anything.
    Begun,
    /// It has said who it is, and nothing else.
    Named,
    /// It speaks this protocol.
    Open,
    /// The same, and each of its units is held to its rights.
    Held,
    /// It has left, or is turned away: no more is taken from it.
    Left,
}

/// Buffers of the thread, in use only while it reads.
#[derive(Default)]
struct Scratch {
    block: Vec<u8>,
    built: Vec<u8>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl<C: Codec> Reader<C> {
    pub(super) fn new(codec: C, guard: Guarded) -> Self {
        Self { codec, carry: Carry::default(), guard, errors: 0, stage: Stage::Silent, skipping: false, expected: 0 }
    }

    /// Whether bytes have come, and no complete unit yet.
    pub(super) fn awaits_first_unit(&self) -> bool {
        self.stage == Stage::Begun
    }

    /// Lets in who is known without a token.
    pub(super) fn recognise(&mut self, transport: &impl Transport) {
        if let Some(guard) = &mut self.guard {
            guard.recognise(transport);
        }
    }

    /// Whether the client has yet to say who it is.
    pub(super) fn awaits_token(&self) -> bool {
        self.stage != Stage::Left && self.guard.as_ref().is_some_and(|guard| !guard.has_admitted())
    }

    /// Ready when the client has yet to say who it is, and others are to have its place.
    pub(super) fn poll_evicted(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.guard.as_mut().map_or(Poll::Pending, |guard| guard.poll_evicted(cx))
    }

    /// Whether a client that is to make room still has this chance to say who it is. It has it no more, after this.
    pub(super) fn takes_chance(&mut self, chance: LastChance) -> bool {
        self.guard.as_mut().is_some_and(|guard| guard.takes_chance(chance))
    }

    /// The connection ends: its id may be given to another one after this, and nothing more is taken from it.
    pub(super) fn leave(&mut self) {
        self.stage = Stage::Left;
        if let Some(guard) = &mut self.guard {
            guard.leave();
        }
    }

    /// Whether units have come that are yet to be decoded.
    pub(super) fn has_backlog(&self) -> bool {
        self.carry.has_backlog()
    }

    /// Gives back what an unfinished unit counts for.
    pub(super) fn drop_carry(&mut self, limits: &ReaderLimits) {
        self.carry.clear(&limits.intake);
    }

    /// Reads once and decodes what is complete, as far as there is room for it.
    pub(super) fn read(&mut self, transport: &impl Transport, limits: &ReaderLimits) -> Read {
        SCRATCH.with_borrow_mut(|Scratch { block, built }| {
            let read = if let Some((bytes, at)) = self.carry.take_backlog(&limits.intake) {
                self.decode_backlog(bytes, at, built, limits)
            } else if let Some(bytes) = self.carry.take_large(&limits.intake) {
                self.read_large(bytes, built, transport, limits)
            } else if limits.intake.is_crowded() {
                self.read_small(&mut Vec::new(), CROWDED_READ, built, transport, limits)
            } else {
                self.read_small(block, READ, built, transport, limits)
            };
            // What one large unit needed is not kept for all that follow.
            for buffer in [block, built] {
                if buffer.capacity() > 4 * READ {
                    *buffer = Vec::new();
                }
            }
            read
        })
    }

    /// The usual read: the start of a unit, if there is one, and what comes now stand in the thread's block.
    fn read_small(
        &mut self,
        block: &mut Vec<u8>,
        read: usize,
        built: &mut Vec<u8>,
        transport: &impl Transport,
        limits: &ReaderLimits,
    ) -> Read {
        block.clear();
        let searched = self.carry.bytes().len();
        block.reserve_exact(searched + read);
        block.extend_from_slice(self.carry.bytes());
        match transport.try_read(block) {
            Ok(0) => self.end_of_file(block, built, limits),
            Ok(count) => {
                limits.intake.note_read(count);
                let full = block.len() == block.capacity();
                let discard = self.carry.discard();
                self.carry.clear(&limits.intake);
                self.carry.discard_next(discard.saturating_sub(block.len()));
                let block = block.get(discard..).unwrap_or_default();
                let mut decoded = self.decode(block, searched, full, built, limits);
                if let Some(whole) = decoded.whole {
                    decoded.read.inputs.push(whole.input(Box::from(block), self.codec.encoder()));
                }
                self.keep(block[decoded.consumed..].to_vec(), decoded.read.next, limits);
                decoded.read
            }
            Err(error) => Read::failed(&error),
        }
    }

    /// A read within a large unit, which grows in its own buffer.
    fn read_large(&mut self, mut bytes: Vec<u8>, built: &mut Vec<u8>, transport: &impl Transport, limits: &ReaderLimits) -> Read {
        let searched = bytes.len();
        if bytes.capacity() - searched < READ / 2 {
            // As much as the last one took, so that a publisher of large messages does not have each copied as it grows.
            let expected = usize::from(self.expected) * READ;
            bytes.reserve(READ.max(searched).max(expected.saturating_sub(searched)));
        }
        match transport.try_read(&mut bytes) {
            Ok(0) => self.end_of_file(&bytes, built, limits),
            Ok(count) => {
                limits.intake.note_read(count);
                let full = bytes.len() == bytes.capacity();
                let mut decoded = self.decode(&bytes, searched, full, built, limits);
                let consumed = decoded.consumed;
                if consumed > 0 {
                    self.expected = u16::try_from(consumed / READ + 2).unwrap_or(u16::MAX);
                }
                match decoded.whole {
                    Some(whole) => decoded.read.inputs.push(whole.input(bytes.into_boxed_slice(), self.codec.encoder())),
                    None => self.keep(if consumed == 0 { bytes } else { bytes[consumed..].to_vec() }, decoded.read.next, limits),
                }
                decoded.read
            }
            Err(error) => {
                self.keep(bytes, After::Nothing, limits);
                Read::failed(&error)
            }
        }
    }

    /// Reads nothing: units have come that are yet to be decoded.
    fn decode_backlog(&mut self, bytes: Vec<u8>, at: usize, built: &mut Vec<u8>, limits: &ReaderLimits) -> Read {
        let block = &bytes[at..];
        let mut decoded = self.decode(block, 0, true, built, limits);
        if let Some(whole) = decoded.whole {
            decoded.read.inputs.push(whole.input(Box::from(block), self.codec.encoder()));
        }
        let at = at + decoded.consumed;
        match decoded.read.next {
            // The rest stays where it is: moving it each time would cost more than decoding it.
            After::Backlog => self.carry.keep(bytes, Some(at), &limits.intake),
            next => self.keep(bytes[at..].to_vec(), next, limits),
        }
        decoded.read
    }

    /// Keeps what has not been decoded.
    fn keep(&mut self, bytes: Vec<u8>, next: After, limits: &ReaderLimits) {
        if !bytes.is_empty() && self.stage != Stage::Left {
            self.carry.keep(bytes, (next == After::Backlog).then_some(0), &limits.intake);
        }
    }
}
