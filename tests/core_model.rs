//! The core against a naive model: random histories, and after each step the same deliveries in the same order.
//!
//! The model is as simple as the contract's words: maps, lists, no positions, no sharing, no shrinking.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use msgstream::broker::{Core, CoreLimits, Deliver, Input};
use msgstream::ids::{ConnectionId, StreamName};
use msgstream::protocol::json_lines::ENCODER;
use msgstream::protocol::{Encode, Event, Frame, Receipt};
use proptest::prelude::{Just, Strategy, any, prop, prop_oneof};
use proptest::test_runner::{Config, TestRunner};

/// One step of a history; streams and connections are small numbers, so that they meet.
#[derive(Debug, Clone)]
enum Step {
    Put {
        from: u32,
        stream: usize,
        text: u16,
        header: Option<u16>,
        receipt: bool,
    },
    Header {
        from: u32,
        stream: usize,
        text: u16,
        receipt: bool,
    },
    Listen {
        from: u32,
        stream: usize,
        receipt: bool,
    },
    Hangup {
        from: u32,
        stream: Option<usize>,
        receipt: bool,
    },
    Close {
        from: u32,
        stream: usize,
        text: u16,
        receipt: bool,
    },
    Delete {
        from: u32,
        stream: usize,
        text: u16,
        receipt: bool,
    },
    Answer {
        from: u32,
        text: u16,
    },
    Leave {
        from: u32,
        last: bool,
    },
    /// The connection takes no more from now on, as one that was cut off.
    Deafen {
        from: u32,
    },
    /// A new connection with the same id.
    Reconnect {
        from: u32,
    },
    Tick {
        seconds: u64,
    },
}

const CONNECTIONS: u32 = 5;
const STREAMS: usize = 5;
const MOST_STREAMS: usize = 4;
const MOST_LISTENS: usize = 3;
const ENDED_TIME: Duration = Duration::from_secs(10);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (from, stream, text, receipt) = (0..CONNECTIONS, 0..STREAMS, any::<u16>(), any::<bool>());
    let addressed = (from.clone(), stream.clone(), text, receipt);
    let step = prop_oneof![
        6 => (addressed.clone(), prop::option::of(any::<u16>()))
            .prop_map(|((from, stream, text, receipt), header)| Step::Put { from, stream, text, header, receipt }),
        3 => addressed.clone().prop_map(|(from, stream, text, receipt)| Step::Header { from, stream, text, receipt }),
        6 => (from.clone(), stream, receipt).prop_map(|(from, stream, receipt)| Step::Listen { from, stream, receipt }),
        2 => (from.clone(), prop::option::of(0..STREAMS), receipt).prop_map(|(from, stream, receipt)| Step::Hangup { from, stream, receipt }),
        2 => addressed.clone().prop_map(|(from, stream, text, receipt)| Step::Close { from, stream, text, receipt }),
        2 => addressed.prop_map(|(from, stream, text, receipt)| Step::Delete { from, stream, text, receipt }),
        1 => (from.clone(), text).prop_map(|(from, text)| Step::Answer { from, text }),
        1 => (from.clone(), any::<bool>()).prop_map(|(from, last)| Step::Leave { from, last }),
        1 => from.clone().prop_map(|from| Step::Deafen { from }),
        2 => from.prop_map(|from| Step::Reconnect { from }),
        1 => prop_oneof![Just(1_u64), Just(5), Just(10)].prop_map(|seconds| Step::Tick { seconds }),
    ];
    prop::collection::vec(step, 1..60)
}

/// What was delivered, in order: to whom, and the text.
#[derive(Debug, Default)]
struct Delivered {
    log: Vec<(u32, String)>,
    deaf: BTreeSet<u32>,
}

impl Delivered {
    fn deliver(&mut self, to: u32, text: String) -> bool {
        if self.deaf.contains(&to) {
            return false;
        }
        self.log.push((to, text));
        true
    }
}

impl Deliver for Delivered {
    fn frame(&mut self, to: ConnectionId, frame: &Frame) -> bool {
        self.deliver(to.0, String::from_utf8(frame.bytes().to_vec()).unwrap())
    }

    fn event(&mut self, to: ConnectionId, event: &Event<'_>) {
        let text = match event {
            Event::Receipt { receipt, listeners, state } => {
                format!("receipt {} {listeners:?} {:?}", receipt.0, state.map(|state| state.as_str()))
            }
            Event::Error { code, stream, receipt, .. } => format!("error {code} {stream:?} {:?}", receipt.map(|receipt| &*receipt.0)),
            Event::Close { stream, message: None } => format!("close {stream}"),
            Event::Put { .. } | Event::Close { .. } | Event::CloseConnection { .. } | Event::Pong { .. } => format!("unexpected {event:?}"),
        };
        self.deliver(to.0, text);
    }

    fn finish(&mut self, to: ConnectionId, last: Option<&Frame>) {
        self.deliver(to.0, format!("finish {last:?}"));
        self.deaf.insert(to.0);
    }
}

#[derive(Debug, Default, Clone)]
struct ModelStream {
    header: Option<String>,
    /// What late listeners are told, and when it is forgotten.
    ended: Option<(String, Duration)>,
    listeners: BTreeSet<u32>,
}

/// The contract in plain maps.
#[derive(Debug, Default)]
struct Model {
    streams: BTreeMap<String, ModelStream>,
    delivered: Delivered,
    now: Duration,
}

fn name(stream: usize) -> String {
    format!("s{stream}")
}

fn put_line(stream: &str, text: u16) -> String {
    format!("put {stream} {text}\n")
}

fn close_line(stream: &str, text: u16) -> String {
    format!("end {stream} {text}\n")
}

impl Model {
    fn answer(&mut self, to: u32, receipt: bool, listeners: Option<usize>, state: Option<&str>) {
        if receipt {
            self.delivered.deliver(to, format!("receipt 7 {listeners:?} {state:?}"));
        }
    }

    fn refuse(&mut self, to: u32, stream: &str, receipt: bool) {
        let receipt = receipt.then_some("7");
        self.delivered.deliver(to, format!("error limit {:?} {receipt:?}", Some(stream)));
    }

    fn room(&self, stream: &str) -> bool {
        self.streams.contains_key(stream) || self.streams.len() < MOST_STREAMS
    }

    fn store(&mut self, stream: &str, text: u16) -> bool {
        if !self.room(stream) {
            return false;
        }
        let entry = self.streams.entry(stream.to_owned()).or_default();
        entry.header = Some(put_line(stream, text));
        entry.ended = None;
        true
    }

    fn broadcast(&mut self, stream: &str, line: &str) -> usize {
        let listeners = self.streams.get(stream).map(|stream| stream.listeners.clone()).unwrap_or_default();
        listeners.iter().filter(|listener| self.delivered.deliver(**listener, line.to_owned())).count()
    }

    fn hang_up(&mut self, from: u32, stream: Option<&str>) {
        for (name, state) in &mut self.streams {
            if stream.is_none_or(|wanted| wanted == name) {
                state.listeners.remove(&from);
            }
        }
        self.streams.retain(|_, stream| stream.header.is_some() || stream.ended.is_some() || !stream.listeners.is_empty());
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Put { from, stream, text, header, receipt } => {
                let stream = name(*stream);
                if header.is_some_and(|header| !self.store(&stream, header)) {
                    return self.refuse(*from, &stream, *receipt);
                }
                let reached = self.broadcast(&stream, &put_line(&stream, *text));
                self.answer(*from, *receipt, Some(reached), None);
            }
            Step::Header { from, stream, text, receipt } => {
                let stream = name(*stream);
                if !self.store(&stream, *text) {
                    return self.refuse(*from, &stream, *receipt);
                }
                self.answer(*from, *receipt, None, None);
            }
            Step::Listen { from, stream, receipt } => self.listen(*from, &name(*stream), *receipt),
            Step::Hangup { from, stream, receipt } => {
                self.hang_up(*from, stream.map(name).as_deref());
                self.answer(*from, *receipt, None, None);
            }
            Step::Close { from, stream, text, receipt } => {
                let stream = name(*stream);
                if !self.room(&stream) {
                    return self.refuse(*from, &stream, *receipt);
                }
                let line = close_line(&stream, *text);
                let reached = self.broadcast(&stream, &line);
                let entry = self.streams.entry(stream).or_default();
                entry.listeners.clear();
                entry.ended = Some((line, self.now + ENDED_TIME));
                self.answer(*from, *receipt, Some(reached), None);
            }
            Step::Delete { from, stream, text, receipt } => {
                let stream = name(*stream);
                let reached = self.broadcast(&stream, &close_line(&stream, *text));
                self.streams.remove(&stream);
                self.answer(*from, *receipt, Some(reached), None);
            }
            Step::Answer { from, text } => {
                self.delivered.deliver(*from, format!("answer {text}\n"));
            }
            Step::Leave { from, last } => {
                self.hang_up(*from, None);
                self.delivered.deliver(*from, format!("finish {:?}", last.then_some("bye\n")));
                self.delivered.deaf.insert(*from);
            }
            Step::Deafen { from } => {
                self.delivered.deaf.insert(*from);
            }
            Step::Reconnect { from } => {
                self.hang_up(*from, None);
                self.delivered.deaf.remove(from);
            }
            Step::Tick { seconds } => {
                self.now += Duration::from_secs(*seconds);
                let now = self.now;
                self.streams.retain(|_, stream| stream.ended.as_ref().is_none_or(|(_, forget_at)| *forget_at > now));
            }
        }
    }

    fn listen(&mut self, from: u32, stream: &str, receipt: bool) {
        let state = self.streams.get(stream).cloned().unwrap_or_default();
        if let Some((last, _)) = state.ended {
            for line in state.header.into_iter().chain([last]) {
                self.delivered.deliver(from, line);
            }
            return self.answer(from, receipt, None, Some("ended"));
        }
        let listens = self.streams.values().filter(|stream| stream.listeners.contains(&from)).count();
        let known = state.listeners.contains(&from);
        if !known && (listens >= MOST_LISTENS || !self.room(stream)) {
            return self.refuse(from, stream, receipt);
        }
        self.streams.entry(stream.to_owned()).or_default().listeners.insert(from);
        let word = if state.header.is_some() { "running" } else { "waiting" };
        if let Some(header) = state.header {
            self.delivered.deliver(from, header);
        }
        self.answer(from, receipt, None, Some(word));
    }
}

struct Real {
    core: Core,
    delivered: Delivered,
    now: Duration,
}

impl Real {
    fn new(streams: usize, stored: usize) -> Self {
        let limits = CoreLimits { streams, listens: MOST_LISTENS, stored, ended_time: ENDED_TIME };
        Self { core: Core::new(limits), delivered: Delivered::default(), now: Duration::ZERO }
    }

    fn frame(&self, text: String) -> Frame {
        let encoder: &'static dyn Encode = &ENCODER;
        Frame::new(text.into_bytes().into_boxed_slice(), 1, encoder)
    }

    fn step(&mut self, step: &Step) {
        let receipt = |wanted: &bool| wanted.then(|| Receipt("7".into()));
        let stream_name = |stream: &usize| StreamName::new(&name(*stream)).unwrap();
        let (from, input) = match step {
            Step::Put { from, stream, text, header, receipt: wanted } => {
                let run = self.frame(put_line(&name(*stream), *text));
                let header = header.map(|header| self.frame(put_line(&name(*stream), header)));
                (from, Input::Put { stream: stream_name(stream), run, header, receipt: receipt(wanted) })
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
            Step::Answer { from, text } => (from, Input::Answer(self.frame(format!("answer {text}\n")))),
            Step::Leave { from, last } => (from, Input::Leave { last: last.then(|| self.frame("bye\n".into())), receipt: None }),
            Step::Deafen { from } => {
                self.delivered.deaf.insert(*from);
                return;
            }
            Step::Reconnect { from } => {
                self.core.hang_up_all(ConnectionId(*from));
                self.delivered.deaf.remove(from);
                return;
            }
            Step::Tick { seconds } => {
                self.now += Duration::from_secs(*seconds);
                self.core.tick(self.now);
                return;
            }
        };
        self.core.handle(ConnectionId(*from), input, &mut self.delivered);
    }
}

/// Deliveries of one step: each connection's in order; between connections the order is free.
fn by_connection(log: &mut Vec<(u32, String)>) -> BTreeMap<u32, Vec<String>> {
    let mut all = BTreeMap::<u32, Vec<String>>::new();
    for (to, text) in log.drain(..) {
        all.entry(to).or_default().push(text);
    }
    all
}

fn run(history: &[Step]) {
    let mut real = Real::new(MOST_STREAMS, usize::MAX);
    let mut model = Model::default();
    for (number, step) in history.iter().enumerate() {
        real.step(step);
        model.step(step);
        let (got, wanted) = (by_connection(&mut real.delivered.log), by_connection(&mut model.delivered.log));
        assert_eq!(got, wanted, "step {number}: {step:?}");
        assert_eq!(real.core.streams(), model.streams.len(), "step {number}: {step:?}");
        #[cfg(debug_assertions)]
        real.core.assert_invariants();
    }
}

#[test]
fn core_does_as_the_naive_model_does() {
    let mut runner = TestRunner::new(Config { cases: 10_000, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&steps(), |history| {
        run(&history);
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

/// Headers count against their limit; an end never does.
#[test]
fn stored_bytes_are_limited_and_given_back() {
    let mut real = Real::new(100, 1000);
    for stream in 0..20 {
        real.step(&Step::Header { from: 0, stream, text: 1, receipt: true });
    }
    let refused = real.delivered.log.iter().filter(|(_, text)| text.starts_with("error limit")).count();
    let stored = real.core.stored();
    assert!(refused > 5 && stored <= 1000 && stored > 800, "{refused} refused, {stored} bytes stored");

    for stream in 0..20 {
        real.step(&Step::Close { from: 0, stream, text: 1, receipt: false });
    }
    assert!(real.core.stored() <= 1000);
    real.delivered.log.clear();
    real.step(&Step::Listen { from: 1, stream: 19, receipt: true });
    let told: Vec<&str> = real.delivered.log.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(told, ["close s19", "receipt 7 None Some(\"ended\")"]);

    real.step(&Step::Tick { seconds: 10 });
    assert_eq!((real.core.streams(), real.core.stored()), (0, 0));
}
