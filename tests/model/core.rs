//! The model's steps, taken by the core alone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use msgstream::internal::broker::core::{Budget, Core, CoreLimits, Deliver, Epochs, Input};
use msgstream::internal::wire::ids::{ConnectionId, Prefix, StreamName};
use msgstream::internal::wire::json_lines::ENCODER;
use msgstream::internal::wire::{Encode, ErrorCode, Event, Frame, ReceiptId, SessionName};

use super::directory::BEGINNING;
use super::prefixes::PREFIXES;
use super::{
    BYE, CONNECTIONS, Delivered, Model, Step, Terms, begin_latest_line, close_line, latest_line, name, pong_line, put_line, session_name,
    without_life, without_reason,
};

/// What it costs to keep a line.
pub(crate) fn cost(line: &str) -> usize {
    frame(line.to_owned()).cost()
}

/// Takes a history step by step and compares.
pub(crate) fn run(history: &[Step], limits: &CoreLimits) {
    let mut real = Real::new(limits);
    let mut model = Model::new(limits.clone());
    for (number, step) in history.iter().enumerate() {
        let terms = model.terms(step);
        let from = step.from().unwrap_or(CONNECTIONS);
        assert_eq!(real.core.is_fenced(ConnectionId(from)), model.is_fenced(from), "step {number}: {step:?}");
        if !model.is_fenced(from) || matches!(step, Step::Reconnect { .. }) {
            real.step(step, &terms);
            model.step(step, &terms);
            let is_line = !matches!(step, Step::Leave { .. } | Step::Deafen { .. } | Step::Reconnect { .. } | Step::Tick { .. });
            model.count(from, is_line.into());
        }
        assert_eq!(real.delivered.take(), model.delivered.take(), "step {number}: {step:?}");
        assert_eq!(real.core.streams(), model.streams(), "step {number}: {step:?}");
        assert_eq!(real.core.stored(), model.stored(), "step {number}: {step:?}");
        #[cfg(debug_assertions)]
        real.core.assert_invariants();
    }
}

/// Takes a history in turns: a connection that hangs up on all it listens to leaves one stream in each turn, what is over is
/// forgotten one stream in each turn, and others come between. With each step comes whether those who are not done go on before it.
pub(crate) fn run_in_turns(history: &[(Step, bool)], limits: &CoreLimits) {
    let mut real = Real::new(limits);
    let mut model = Model::new(limits.clone());
    // What was begun, by connection.
    let mut begun: BTreeMap<u32, (Step, Input)> = BTreeMap::new();
    for (number, (step, go_on)) in history.iter().enumerate() {
        let own = step.from().filter(|from| begun.contains_key(from));
        let first: Vec<u32> = if *go_on { begun.keys().copied().collect() } else { own.into_iter().collect() };
        for from in first {
            // The one whose step is next has to be done with what it has begun.
            while let Some((step, input)) = begun.remove(&from) {
                piece(&mut real, &mut model, from, step, input, &mut begun, number);
                if own != Some(from) {
                    break;
                }
            }
        }
        let terms = model.terms(step);
        match (step, real.input(step, &terms)) {
            (Step::ListenPrefix { from, prefix, receipt, .. }, Some(input)) => {
                let before = real.delivered.count();
                // What is over would be passed over in silence, so that nobody could tell how far the listener is.
                real.core.forget(&mut Budget::unlimited());
                // Of one that hears nothing nobody can tell how far it is.
                let at_once = if model.is_deaf(*from) { Budget::unlimited() } else { Budget::new(1) };
                let mut left = real.core.handle(ConnectionId(*from), input, &mut at_once.clone(), &mut real.delivered);
                let is_begun = model.begin_walk(*from, PREFIXES[*prefix], terms.starts.clone(), *receipt);
                // Nothing is joined before the order of names is made, so that what comes until then is ahead.
                if is_begun && (left.is_none() || real.delivered.count() > before) {
                    left = model_follows(&mut real, &mut model, *from, left);
                }
                if let Some(input) = left {
                    begun.insert(*from, (step.clone(), input));
                }
            }
            (Step::Hangup { from, stream: None, .. } | Step::Leave { from, .. }, Some(input)) => {
                piece(&mut real, &mut model, *from, step.clone(), input, &mut begun, number);
            }
            (Step::Tick { seconds }, _) => {
                real.now += Duration::from_secs(*seconds);
                real.core.set_time(real.now);
                real.core.forget(&mut Budget::new(1));
                model.step(step, &terms);
            }
            _ => {
                real.step(step, &terms);
                model.step(step, &terms);
            }
        }
        assert_eq!(real.delivered.take(), model.delivered.take(), "step {number}: {step:?}");
        // What is over and not forgotten yet still counts, though nobody sees it.
        if !real.core.has_forgettable() {
            assert_eq!((real.core.streams(), real.core.stored()), (model.streams(), model.stored()), "step {number}: {step:?}");
        }
        #[cfg(debug_assertions)]
        real.core.assert_invariants();
    }
}

/// Leaves one stream, and is done with the step if that was the last.
fn piece(real: &mut Real, model: &mut Model, from: u32, step: Step, input: Input, begun: &mut BTreeMap<u32, (Step, Input)>, number: usize) {
    if matches!(step, Step::ListenPrefix { .. }) {
        return walk(real, model, from, step, input, begun);
    }
    let left = real.core.handle(ConnectionId(from), input, &mut Budget::new(ONE_STREAM), &mut real.delivered);
    let is_last = model.hang_up_first(from);
    assert_eq!(left.is_none(), is_last, "step {number}: {step:?} of {from}");
    match left {
        Some(input) => drop(begun.insert(from, (step, input))),
        None => model.step(&step, &Terms::default()),
    }
}

/// Joins one stream, or all if none of it can be heard.
fn walk(real: &mut Real, model: &mut Model, from: u32, step: Step, input: Input, begun: &mut BTreeMap<u32, (Step, Input)>) {
    let (mut left, before) = (Some(input), real.delivered.count());
    while let Some(input) = left.take_if(|_| real.delivered.count() == before) {
        left = real.core.handle(ConnectionId(from), input, &mut Budget::new(1), &mut real.delivered);
    }
    if let Some(input) = model_follows(real, model, from, left) {
        begun.insert(from, (step, input));
    }
}

/// The model joins what the core has joined. What is left to do for the core, if there is anything.
fn model_follows(real: &mut Real, model: &mut Model, from: u32, mut left: Option<Input>) -> Option<Input> {
    let mut is_done = model.walk_on(from);
    while !is_done && left.is_none() {
        is_done = model.walk_on(from);
    }
    // What is over and not forgotten yet may still be ahead.
    while let Some(input) = left.take_if(|_| is_done) {
        left = real.core.handle(ConnectionId(from), input, &mut Budget::new(1), &mut real.delivered);
    }
    left
}

/// More than an action costs by itself, so that one stream is left and not two.
const ONE_STREAM: usize = 200;

struct Real {
    core: Core,
    delivered: Delivered,
    now: Duration,
}

impl Real {
    fn new(limits: &CoreLimits) -> Self {
        let mut core = Core::new(limits.clone(), Arc::default(), Epochs::new(0));
        core.set_beginning(BEGINNING);
        Self { core, delivered: Delivered::default(), now: Duration::ZERO }
    }

    fn frame(&self, line: String) -> Frame {
        frame(line)
    }

    fn step(&mut self, step: &Step, terms: &Terms) {
        if let (Some(from), Some(input)) = (step.from().map(ConnectionId), self.input(step, terms)) {
            // The actor does so.
            let lines = input.lines();
            self.core.handle(from, input, &mut Budget::unlimited(), &mut self.delivered);
            self.core.taken(from, lines);
            self.core.publish(&mut Budget::unlimited(), &mut self.delivered);
            return;
        }
        match step {
            Step::Deafen { from } => {
                self.delivered.deaf.insert(*from);
            }
            Step::Reconnect { from, session } => {
                let id = ConnectionId(*from);
                self.delivered.deaf.insert(*from);
                self.core.lose(id, &mut Budget::unlimited(), &mut self.delivered);
                self.core.forget_connection(id, &mut Budget::unlimited());
                self.delivered.deaf.remove(from);
                let session = session.and_then(|number| SessionName::new(&session_name(number)));
                if let Some(session) = session {
                    self.core.handle(
                        id,
                        Input::Session { session, former: None, receipt: None },
                        &mut Budget::unlimited(),
                        &mut self.delivered,
                    );
                }
                self.core.publish(&mut Budget::unlimited(), &mut self.delivered);
            }
            Step::Tick { seconds } => {
                for _ in 0..2 * seconds {
                    self.now += Duration::from_millis(500);
                    self.core.set_time(self.now);
                    self.core.forget(&mut Budget::unlimited());
                    self.core.lose_sessions(&mut Budget::unlimited(), &mut self.delivered);
                    self.core.publish(&mut Budget::unlimited(), &mut self.delivered);
                }
            }
            _ => unreachable!("every other step is an input"),
        }
    }

    /// What the core is given for a step, if it is an input.
    fn input(&self, step: &Step, terms: &Terms) -> Option<Input> {
        let receipt = |wanted: &bool| wanted.then(|| ReceiptId::new("7"));
        let stream_name = |stream: &usize| StreamName::new(&name(*stream)).unwrap();
        Some(match step {
            Step::Put { from: _, stream, text, header, of: _, receipt: wanted } => {
                let run = self.frame(put_line(&name(*stream), *text));
                let header = header.map(|header| self.frame(put_line(&name(*stream), header)));
                match Input::put(stream_name(stream), run, header, receipt(wanted)) {
                    Input::Put { stream, run, extras, .. } => Input::Put { stream, run, of: terms.of, extras },
                    other => other,
                }
            }
            Step::Header { from: _, stream, text, of: _, absent: _, receipt: wanted } => {
                let header = self.frame(put_line(&name(*stream), *text));
                let Terms { of, absent, .. } = *terms;
                Input::Header { stream: stream_name(stream), header, of, absent, receipt: receipt(wanted) }
            }
            Step::Listen { from: _, stream, begin: _, receipt: wanted } => {
                Input::Listen { stream: stream_name(stream), start: terms.start.map(Box::new), receipt: receipt(wanted) }
            }
            Step::ListenPrefix { from: _, prefix, begin: _, receipt: wanted } => {
                let (prefix, start) = (Prefix::new(PREFIXES[*prefix]), terms.starts.clone().map(Box::new));
                Input::ListenPrefix { prefix, start, receipt: receipt(wanted), begun: false }
            }
            Step::HangupPrefix { from: _, prefix, receipt: wanted } => {
                Input::HangupPrefix { prefix: Prefix::new(PREFIXES[*prefix]), at: None, receipt: receipt(wanted) }
            }
            Step::Hangup { from: _, stream, receipt: wanted } => {
                Input::Hangup { stream: stream.as_ref().map(stream_name), receipt: receipt(wanted) }
            }
            Step::Close { from: _, stream, text, of: _, receipt: wanted } => {
                let last = self.frame(close_line(&name(*stream), *text));
                Input::Close { stream: stream_name(stream), last, of: terms.of, receipt: receipt(wanted) }
            }
            Step::Delete { from: _, stream, text, of: _, receipt: wanted } => {
                let last = self.frame(close_line(&name(*stream), *text));
                Input::Delete { stream: stream_name(stream), last, of: terms.of, receipt: receipt(wanted) }
            }
            Step::Ping { from: _, text } => Input::Answer(self.frame(pong_line(*text))),
            Step::Will { from: _, stream, text, receipt: wanted } => {
                let last = text.map(|text| self.frame(close_line(&name(*stream), text)));
                Input::Will { stream: stream_name(stream), last, receipt: receipt(wanted) }
            }
            Step::Leave { from: _, last } => Input::Leave { orderly: *last, last: last.then(|| self.frame(BYE.into())), receipt: None },
            Step::Deafen { .. } | Step::Reconnect { .. } | Step::Tick { .. } => return None,
        })
    }
}

fn frame(line: String) -> Frame {
    let encoder: &'static dyn Encode = &ENCODER;
    Frame::new(line.into_bytes().into_boxed_slice(), 1, encoder)
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

impl Deliver for Delivered {
    fn frame(&mut self, to: ConnectionId, frame: &Frame) -> bool {
        self.deliver(to.0, text(frame.bytes().to_vec()))
    }

    fn latest(&mut self, to: ConnectionId, _: &StreamName, newest: &Frame, messages: u64) -> bool {
        self.deliver(to.0, latest_line(&text(newest.bytes().to_vec()), messages))
    }

    fn begin_latest(&mut self, to: ConnectionId, stream: &StreamName) {
        self.deliver(to.0, begin_latest_line(stream.as_str()));
    }

    fn event(&mut self, to: ConnectionId, event: &Event<'_>) {
        let mut line = Vec::new();
        ENCODER.encode(event, &mut line);
        self.deliver(to.0, without_life(&without_reason(&text(line))));
    }

    fn end(&mut self, to: ConnectionId, code: ErrorCode, _: &str) {
        self.finish(to.0, Some(format!("{{\"action\":\"close\",\"message\":{{\"code\":\"{code}\"}}}}\n")));
    }

    fn finish(&mut self, to: ConnectionId, last: Option<&Frame>) {
        self.finish(to.0, last.map(|last| text(last.bytes().to_vec())));
    }
}
