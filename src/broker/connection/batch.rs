//! From decoded actions to the core's inputs: consecutive messages to one stream become one run.

use std::ops::Range;

use super::limits::ReaderLimits;
use super::mistake_log::Told;
use crate::broker::core::{Extra, Input};
use crate::wire::ids::StreamName;
use crate::wire::refusal;
use crate::wire::{
    Action, Effect, Encode, Epoch, ErrorCode, Event, Frame, Mistake, Name, Payload, Position, Positions, ReceiptId, Starts, allocated,
    allocated_name,
};

/// The inputs of one read, in the order of the bytes they came from.
pub(super) struct Batch<'b> {
    /// The bytes that the units are decoded from.
    block: &'b [u8],
    /// Room for runs that are not one piece of the block.
    built: &'b mut Vec<u8>,
    encoder: &'static dyn Encode,
    /// The largest header and the largest last message, in bytes.
    header: usize,
    /// A run of several messages stays shorter than this, in bytes.
    long: usize,
    /// Whether anything can be durable.
    has_store: bool,
    /// Whether the client may say who it is and which session it has.
    pub(super) may_begin: bool,
    run: Option<Run>,
    /// Answers to this connection that stand together, encoded.
    answers: Vec<u8>,
    answered: u32,
    inputs: Vec<Input>,
    /// What the inputs take, in bytes of memory.
    memory: usize,
    /// What the units weigh, by the time that they took.
    weight: usize,
    /// What the client was told about its first mistake.
    pub(super) first_mistake: Option<Box<Told>>,
}

/// What a unit weighs that gives an input or an answer of its own; a plain message weighs 1.
const ACTION: usize = 2;
/// What a unit weighs that is refused, as the reason is found.
const MISTAKE: usize = 16;

/// Consecutive messages of this read to one stream.
struct Run {
    stream: StreamName,
    /// Only for this epoch of the stream.
    of: Option<Epoch>,
    /// Whether the last message's name is the one that the codec keeps.
    kept: bool,
    messages: u32,
    /// Its messages end before this place in the block, if there are several.
    before: usize,
    /// Where they stand in the block, as long as they can be passed on as they stand.
    piece: Range<usize>,
    /// Whether they have been copied to `built` instead.
    copied: bool,
    /// Headers and receipts, which some of them carry.
    extras: Vec<Extra>,
}

/// A run that is the whole block, as it stands.
#[derive(Debug)]
pub(super) struct Whole {
    stream: StreamName,
    messages: u32,
}

impl Whole {
    /// The input, with the block's bytes.
    pub(super) fn input(self, block: Box<[u8]>, encoder: &'static dyn Encode) -> Input {
        Input::Put { stream: self.stream, run: Frame::new(block, self.messages, encoder), of: None, extras: Vec::new() }
    }
}

impl<'b> Batch<'b> {
    pub(super) fn new(block: &'b [u8], built: &'b mut Vec<u8>, encoder: &'static dyn Encode, limits: &ReaderLimits) -> Self {
        Self {
            block,
            built,
            encoder,
            header: limits.header,
            long: limits.run,
            has_store: limits.saves.is_kept(),
            may_begin: false,
            run: None,
            answers: Vec::new(),
            answered: 0,
            inputs: Vec::new(),
            memory: 0,
            weight: 0,
            first_mistake: None,
        }
    }

    /// Takes one action, decoded from the given part of the block. True if it ends the connection.
    pub(super) fn action(&mut self, action: Action<'_>, unit: Range<usize>) -> Result<bool, Mistake> {
        match action {
            Action::Put { stream, message, header: None, of, receipt: None } => {
                self.message(&stream, message, of, unit);
            }
            Action::Put { stream, message, header, of, receipt } => {
                let header = match header {
                    Some(header) => Some(self.header(stream.as_name(), header, receipt.as_ref())?),
                    None => None,
                };
                self.message_with(&stream, message, of, unit, header, receipt);
            }
            Action::Header { stream, message, of, absent, receipt } => {
                self.check_durable(stream.as_name(), receipt.as_ref())?;
                let header = self.header(stream.as_name(), message, receipt.as_ref())?;
                self.input(Input::Header { stream: stream.into_name(), header, of, absent, receipt });
            }
            Action::Listen { stream, start, receipt } => self.input(Input::Listen { stream: stream.into_name(), start, receipt }),
            Action::ListenPrefix { prefix, start, receipt } => self.input(Input::ListenPrefix { prefix, start, receipt, begun: false }),
            Action::HangupPrefix { prefix, receipt } => self.input(Input::HangupPrefix { prefix, at: None, receipt }),
            Action::Hangup { stream, receipt } => self.input(Input::Hangup { stream: stream.map(Name::into_name), receipt }),
            Action::Close { stream, message, of, receipt } => {
                self.check_durable(stream.as_name(), receipt.as_ref())?;
                let last = self.close(stream.as_name(), message, receipt.as_ref())?;
                self.input(Input::Close { stream: stream.into_name(), last, of, receipt });
            }
            Action::Delete { stream, message, of, receipt } => {
                self.check_durable(stream.as_name(), receipt.as_ref())?;
                let last = self.close(stream.as_name(), message, receipt.as_ref())?;
                self.input(Input::Delete { stream: stream.into_name(), last, of, receipt });
            }
            Action::Will { stream, message, receipt } => {
                let last = match message {
                    Some(message) => Some(self.close(stream.as_name(), Some(message), receipt.as_ref())?),
                    None => None,
                };
                self.input(Input::Will { stream: stream.into_name(), last, receipt });
            }
            Action::Session { receipt, .. } if !self.may_begin => return Err(refusal::late_session(receipt)),
            Action::Auth { receipt, .. } if !self.may_begin => return Err(refusal::late_token(receipt)),
            Action::Session { session, receipt } => self.input(Input::Session { session, former: None, receipt }),
            Action::Auth { receipt, .. } => self.admitted(receipt.as_ref()),
            Action::Ping { receipt } => {
                self.answer(&Event::Pong { receipt: receipt.as_ref() });
            }
            Action::CloseConnection { receipt } => {
                let last = Some(self.encode(&Event::CloseConnection { why: None }));
                self.input(Input::Leave { orderly: true, last, receipt });
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether the receipt can be given that is asked for.
    fn check_durable(&self, stream: &StreamName, receipt: Option<&ReceiptId>) -> Result<(), Mistake> {
        match receipt.filter(|receipt| receipt.is_durable() && !self.has_store) {
            Some(receipt) => Err(refusal::not_durable(stream, receipt)),
            None => Ok(()),
        }
    }

    /// The client is let in, and told if it asks for that.
    pub(super) fn admitted(&mut self, receipt: Option<&ReceiptId>) {
        if let Some(receipt) = receipt {
            self.answer(&Event::Receipt { receipt, effect: Effect::default() });
        }
    }

    /// Answers a mistake, in its place among the actions.
    pub(super) fn mistake(&mut self, mistake: &Mistake) {
        self.weight += MISTAKE;
        let Mistake { code, reason, stream, receipt } = mistake;
        self.note(*code, reason);
        self.answer(&Event::Error { code: *code, reason, stream: stream.as_deref(), receipt: receipt.as_ref() });
    }

    /// Ends the connection though its client did not ask for that.
    pub(super) fn turn_away(&mut self, code: ErrorCode, reason: &str) {
        self.note(code, reason).away = Some((code, reason.to_owned()));
        let last = Some(self.encode(&Event::CloseConnection { why: Some((code, reason)) }));
        self.input(Input::Leave { orderly: false, last, receipt: None });
    }

    /// Keeps what is said about the first mistake, for the log, and counts all of them.
    fn note(&mut self, code: ErrorCode, reason: &str) -> &mut Told {
        let first = || Box::new(Told { code, reason: reason.to_owned(), codes: [0; ErrorCode::ALL.len()], away: None });
        let told = self.first_mistake.get_or_insert_with(first);
        told.codes[code.index()] += 1;
        told
    }

    /// Ends the connection after its client has said that no more comes.
    pub(super) fn end_of_file(&mut self) {
        self.input(Input::Leave { orderly: false, last: None, receipt: None });
    }

    /// Whether the units weigh `weight`, or what they give beside plain messages takes `memory` bytes. Plain messages take about what was
    /// read.
    #[inline]
    pub(super) fn is_full(&self, weight: usize, memory: usize) -> bool {
        self.weight >= weight || self.memory + self.answers.len() >= memory
    }

    /// What the inputs take so far, in bytes of memory.
    pub(super) fn memory(&self) -> usize {
        let run = self.run.as_ref().map_or(0, |run| run.piece.len() + run.extras.len() * size_of::<Extra>());
        self.memory + run + self.built.len() + self.answers.len()
    }

    /// The inputs. A run that is all there is and the whole block is returned as such, for the block to become its frame.
    pub(super) fn finish(mut self) -> (Vec<Input>, Option<Whole>) {
        if self.inputs.is_empty()
            && let Some(Run { stream, messages, .. }) =
                self.run.take_if(|run| !run.copied && run.of.is_none() && run.piece == (0..self.block.len()))
        {
            return (self.inputs, Some(Whole { stream, messages }));
        }
        self.end_run();
        self.end_answers();
        (self.inputs, None)
    }

    /// Adds a message to the run, or begins another. Returns where it stands in the run, if the run is copied.
    fn message(&mut self, stream: &Name<'_>, message: Payload<'_>, of: Option<Epoch>, unit: Range<usize>) -> usize {
        self.weight += 1;
        if self.answered > 0 {
            self.end_answers();
        }
        let name = stream.as_name();
        // Only puts leave a run open, so that a name that is kept again is the run's if the run's was kept.
        let again =
            |run: &Run| unit.end < run.before && run.of == of && (run.kept && matches!(stream, Name::Again(_)) || run.stream == *name);
        if !self.run.as_ref().is_some_and(again) {
            self.end_run();
            self.built.clear();
            let (copied, piece, before) = (!message.verbatim, unit.start..unit.start, unit.start.saturating_add(self.long));
            self.run = Some(Run { stream: name.clone(), of, kept: false, messages: 0, before, piece, copied, extras: Vec::new() });
        }
        let Some(run) = &mut self.run else { return 0 };
        run.kept = !matches!(stream, Name::New(_));
        run.messages += 1;
        if message.verbatim && !run.copied && run.piece.end == unit.start {
            run.piece.end = unit.end;
            return 0;
        }
        if !run.copied {
            run.copied = true;
            self.built.extend_from_slice(&self.block[std::mem::take(&mut run.piece)]);
        }
        let start = self.built.len();
        if message.verbatim {
            self.built.extend_from_slice(&self.block[unit]);
        } else {
            self.encoder.encode(&Event::Put { stream: name, message: message.content }, self.built);
        }
        start
    }

    /// The same for a message that comes with a header or asks for a receipt: it is never passed on as it stands.
    fn message_with(
        &mut self,
        stream: &Name<'_>,
        message: Payload<'_>,
        of: Option<Epoch>,
        unit: Range<usize>,
        header: Option<Frame>,
        receipt: Option<ReceiptId>,
    ) {
        self.memory += place_of(receipt.as_ref());
        let start = self.message(stream, Payload { verbatim: false, ..message }, of, unit);
        let Some(run) = &mut self.run else { return };
        run.extras.push(Extra { unit: start..self.built.len(), index: run.messages - 1, header, receipt });
    }

    fn end_run(&mut self) {
        let Some(run) = self.run.take() else { return };
        let bytes = if run.copied { &self.built[..] } else { &self.block[run.piece] };
        let frame = Frame::new(Box::from(bytes), run.messages, self.encoder);
        self.built.clear();
        self.memory += frame.cost() + allocated_name(&run.stream) + run.extras.capacity() * size_of::<Extra>();
        self.push(Input::Put { stream: run.stream, run: frame, of: run.of, extras: run.extras });
    }

    /// Answers this connection, behind all that it has said before.
    fn answer(&mut self, event: &Event<'_>) {
        self.weight += ACTION;
        self.end_run();
        self.encoder.encode(event, &mut self.answers);
        self.answered += 1;
    }

    fn end_answers(&mut self) {
        if self.answered > 0 {
            let bytes = Box::from(&self.answers[..]);
            self.answers.clear();
            let frame = Frame::new(bytes, std::mem::take(&mut self.answered), self.encoder);
            self.memory += frame.cost();
            self.push(Input::Answer(frame));
        }
    }

    fn input(&mut self, input: Input) {
        self.weight += ACTION;
        self.memory += match &input {
            Input::Header { stream, receipt, .. }
            | Input::Close { stream, receipt, .. }
            | Input::Delete { stream, receipt, .. }
            | Input::Will { stream, receipt, .. } => allocated_name(stream) + place_of(receipt.as_ref()),
            Input::Session { session, receipt, .. } => allocated(session.as_str().len()) + place_of(receipt.as_ref()),
            Input::Listen { stream, start, receipt } => {
                allocated_name(stream) + start.as_ref().map_or(0, |start| allocated(size_of_val(&**start))) + place_of(receipt.as_ref())
            }
            Input::ListenPrefix { prefix, start, receipt, .. } => {
                allocated(prefix.as_str().len()) + start.as_ref().map_or(0, |start| place_of_starts(start)) + place_of(receipt.as_ref())
            }
            Input::HangupPrefix { prefix, receipt, .. } => allocated(prefix.as_str().len()) + place_of(receipt.as_ref()),
            Input::Hangup { stream, receipt } => stream.as_ref().map_or(0, allocated_name) + place_of(receipt.as_ref()),
            Input::Leave { receipt, .. } => place_of(receipt.as_ref()),
            Input::Put { .. } | Input::Answer(_) => 0,
        };
        self.end_run();
        self.end_answers();
        self.push(input);
    }

    fn push(&mut self, input: Input) {
        self.memory += size_of::<Input>();
        self.inputs.push(input);
    }

    fn header(&mut self, stream: &StreamName, message: Payload<'_>, receipt: Option<&ReceiptId>) -> Result<Frame, Mistake> {
        let (length, most) = (message.content.len(), self.header);
        if length > most {
            return Err(refusal::long_header(length, most).on(stream, receipt));
        }
        Ok(self.lasting(&Event::Put { stream, message: message.content }))
    }

    /// The end of a stream, whose message is stored as a header is.
    fn close(&mut self, stream: &StreamName, message: Option<Payload<'_>>, receipt: Option<&ReceiptId>) -> Result<Frame, Mistake> {
        let message = message.map(|message| message.content);
        let (length, most) = (message.map_or(0, <[u8]>::len), self.header);
        if length > most {
            return Err(refusal::long_last_message(length, most).on(stream, receipt));
        }
        Ok(self.lasting(&Event::Close { stream, message }))
    }

    /// A frame that the core may store.
    fn lasting(&mut self, event: &Event<'_>) -> Frame {
        let frame = Frame::lasting(self.bytes_of(event), self.encoder);
        self.memory += frame.cost();
        frame
    }

    fn encode(&mut self, event: &Event<'_>) -> Frame {
        Frame::new(self.bytes_of(event), 1, self.encoder)
    }

    fn bytes_of(&mut self, event: &Event<'_>) -> Box<[u8]> {
        let mut bytes = Vec::with_capacity(128);
        self.encoder.encode(event, &mut bytes);
        bytes.into_boxed_slice()
    }
}

/// What the positions of the listener of a prefix take, in bytes of memory.
fn place_of_starts(start: &Starts) -> usize {
    let names = start.after.iter().flat_map(Positions::streams);
    allocated(size_of_val(start)) + names.map(|name| size_of::<(StreamName, Position)>() + allocated_name(name)).sum::<usize>()
}

/// What a receipt takes beside its place in an input, in bytes of memory.
fn place_of(receipt: Option<&ReceiptId>) -> usize {
    receipt.map_or(0, |receipt| allocated(receipt.text().len() + 1))
}

#[cfg(test)]
mod tests;
