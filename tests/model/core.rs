//! The model's steps, taken by the core alone.

use std::sync::Arc;
use std::time::Duration;

use msgstream::internal::broker::core::{Budget, Core, CoreLimits, Deliver, Input};
use msgstream::internal::wire::ids::{ConnectionId, StreamName};
use msgstream::internal::wire::json_lines::ENCODER;
use msgstream::internal::wire::{Encode, Event, Frame, Receipt};

use super::{
    BYE, Delivered, ENDED_TIME, MOST_LISTENS, MOST_STORED, MOST_STREAMS, Model, Step, close_line, name, pong_line, put_line, without_reason,
};

/// What it costs to keep a line.
pub(crate) fn cost(line: &str) -> usize {
    frame(line.to_owned()).cost()
}

/// Takes a history step by step and compares.
pub(crate) fn run(history: &[Step]) {
    let mut real = Real::new();
    let mut model = Model::new();
    for (number, step) in history.iter().enumerate() {
        real.step(step);
        model.step(step);
        assert_eq!(real.delivered.take(), model.delivered.take(), "step {number}: {step:?}");
        assert_eq!(real.core.streams(), model.streams(), "step {number}: {step:?}");
        assert_eq!(real.core.stored(), model.stored(), "step {number}: {step:?}");
        #[cfg(debug_assertions)]
        real.core.assert_invariants();
    }
}

struct Real {
    core: Core,
    delivered: Delivered,
    now: Duration,
    /// Each second step is taken with next to no budget, again and again, until it is done.
    hurries: bool,
}

impl Real {
    fn new() -> Self {
        let limits = CoreLimits { streams: MOST_STREAMS, listens: MOST_LISTENS, stored: MOST_STORED, ended_time: ENDED_TIME };
        Self { core: Core::new(limits, Arc::default()), delivered: Delivered::default(), now: Duration::ZERO, hurries: false }
    }

    fn frame(&self, line: String) -> Frame {
        frame(line)
    }

    fn step(&mut self, step: &Step) {
        let receipt = |wanted: &bool| wanted.then(|| Receipt("7".into()));
        let stream_name = |stream: &usize| StreamName::new(&name(*stream)).unwrap();
        let (from, input) = match step {
            Step::Put { from, stream, text, header, receipt: wanted } => {
                let run = self.frame(put_line(&name(*stream), *text));
                let header = header.map(|header| self.frame(put_line(&name(*stream), header)));
                (from, Input::put(stream_name(stream), run, header, receipt(wanted)))
            }
            Step::Header { from, stream, text, receipt: wanted } => {
                let header = self.frame(put_line(&name(*stream), *text));
                (from, Input::Header { stream: stream_name(stream), header, receipt: receipt(wanted) })
            }
            Step::Listen { from, stream, receipt: wanted } => {
                (from, Input::Listen { stream: stream_name(stream), receipt: receipt(wanted) })
            }
            Step::Hangup { from, stream, receipt: wanted } => {
                (from, Input::Hangup { stream: stream.as_ref().map(stream_name), receipt: receipt(wanted) })
            }
            Step::Close { from, stream, text, receipt: wanted } => {
                let last = self.frame(close_line(&name(*stream), *text));
                (from, Input::Close { stream: stream_name(stream), last, receipt: receipt(wanted) })
            }
            Step::Delete { from, stream, text, receipt: wanted } => {
                let last = self.frame(close_line(&name(*stream), *text));
                (from, Input::Delete { stream: stream_name(stream), last, receipt: receipt(wanted) })
            }
            Step::Ping { from, text } => (from, Input::Answer(self.frame(pong_line(*text)))),
            Step::Leave { from, last } => (from, Input::Leave { last: last.then(|| self.frame(BYE.into())), receipt: None }),
            Step::Deafen { from } => {
                self.delivered.deaf.insert(*from);
                return;
            }
            Step::Reconnect { from } => {
                self.core.hang_up_all(ConnectionId(*from), &mut Budget::unlimited());
                self.delivered.deaf.remove(from);
                return;
            }
            Step::Tick { seconds } => {
                self.now += Duration::from_secs(*seconds);
                self.core.set_time(self.now);
                self.core.forget(&mut Budget::unlimited());
                return;
            }
        };
        self.hurries = !self.hurries;
        let mut left = Some(input);
        while let Some(input) = left.take() {
            let mut budget = if self.hurries { Budget::new(1) } else { Budget::unlimited() };
            left = self.core.handle(ConnectionId(*from), input, &mut budget, &mut self.delivered);
        }
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

    fn event(&mut self, to: ConnectionId, event: &Event<'_>) {
        let mut line = Vec::new();
        ENCODER.encode(event, &mut line);
        self.deliver(to.0, without_reason(&text(line)));
    }

    fn finish(&mut self, to: ConnectionId, last: Option<&Frame>) {
        self.finish(to.0, last.map(|last| text(last.bytes().to_vec())));
    }
}
