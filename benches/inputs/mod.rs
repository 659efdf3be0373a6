//! What the benchmarks work on: contents of several kinds, lines, and connections that take everything.
#![allow(dead_code, reason = "each benchmark uses some of it")]
#![allow(clippy::expect_used, reason = "a benchmark with no input has nothing to measure")]

use std::hint::black_box;
use std::io::{self, IoSlice};
use std::sync::Arc;

use msgstream::broker::Policy;
use msgstream::internal::broker::core::Deliver;
use msgstream::internal::broker::outbox::{Outbox, OutboxLimits, Sink};
use msgstream::internal::wire::ids::{ConnectionId, StreamName};
use msgstream::internal::wire::json_lines::ENCODER;
use msgstream::internal::wire::{ErrorCode, Event, Frame, Gauge};

/// A small progress object of about 108 bytes.
pub(crate) const PROGRESS: &str =
    r#"{"step":123,"chisq":1.2345,"params":[1.5,0.25,-3.75,100.125],"text":"fit is converging","eta":12.5,"ok":true}"#;

/// Floats of a curve with 15 to 18 digits, as Python prints them: their lengths differ, which is what costs time. Fixed
/// digits if there are any.
pub(crate) fn floats(bytes: usize, digits: usize) -> String {
    let mut text = String::from("[");
    let mut seed = 1_u64;
    while text.len() < bytes {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let number = (seed >> 11) as f64 / (1_u64 << 50) as f64 - 3.0;
        let text_of = if digits == 0 { format!("{number}") } else { format!("{number:.digits$}") };
        text.push_str(&text_of);
        text.push(',');
    }
    text.pop();
    text + "]"
}

pub(crate) fn put_line(message: &str) -> String {
    format!("{{\"action\":\"put\",\"stream\":\"job-1\",\"message\":{message}}}\n")
}

pub(crate) fn python_line(message: &str) -> String {
    format!("{{\"action\": \"put\", \"stream\": \"job-1\", \"message\": {message}}}\n")
}

/// A line in an order of keys that only the general decoder takes.
pub(crate) fn any_order_line(message: &str) -> String {
    format!("{{\"message\":{message},\"stream\":\"job-1\",\"action\":\"put\"}}\n")
}

pub(crate) fn name(name: &str) -> StreamName {
    StreamName::new(name).expect("a name")
}

/// A run of so many messages.
pub(crate) fn run(messages: u32) -> Frame {
    let bytes = put_line(PROGRESS).repeat(messages as usize).into_bytes();
    Frame::new(bytes.into_boxed_slice(), messages, &ENCODER)
}

/// A socket that takes everything at once.
pub(crate) struct Void;

impl Sink for Void {
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        Ok(slices.iter().map(|slice| slice.len()).sum())
    }

    fn peer(&self) -> String {
        "void".to_owned()
    }
}

/// An outbox over such a socket.
pub(crate) fn outbox(gauge: &Arc<Gauge>) -> Arc<Outbox<dyn Sink>> {
    let limits = OutboxLimits {
        limit: 64 << 20,
        policy: Policy::default(),
        encoder: &ENCODER,
        gauge: Arc::clone(gauge),
        translations: Arc::default(),
        permits: Arc::default(),
        sent: Arc::default(),
    };
    Arc::new(Outbox::new(Void, Arc::new(limits)))
}

/// Takes deliveries and does nothing with them, so that only the core's own work remains.
#[derive(Default)]
pub(crate) struct Nowhere {
    pub(crate) frames: u64,
}

impl Deliver for Nowhere {
    fn frame(&mut self, to: ConnectionId, frame: &Frame) -> bool {
        // Seen by the compiler as used, so that it keeps the walk over the listeners.
        black_box((to, frame));
        self.frames += 1;
        true
    }

    fn latest(&mut self, to: ConnectionId, _: &StreamName, newest: &Frame, _: u64) -> bool {
        self.frame(to, newest)
    }

    fn begin_latest(&mut self, _: ConnectionId, _: &StreamName) {}

    fn event(&mut self, _: ConnectionId, _: &Event<'_>) {}

    fn finish(&mut self, _: ConnectionId, _: Option<&Frame>) {}

    fn end(&mut self, _: ConnectionId, _: ErrorCode, _: &str) {}
}

/// Queues deliveries in real outboxes, one for each connection id.
pub(crate) struct Outboxes(pub(crate) Vec<Arc<Outbox<dyn Sink>>>);

impl Outboxes {
    pub(crate) fn new(count: u32, gauge: &Arc<Gauge>) -> Self {
        Self((0..count).map(|_| outbox(gauge)).collect())
    }

    /// Writes what waits, as the actor does at the end of a round.
    pub(crate) fn flush(&self) {
        for outbox in &self.0 {
            outbox.flush();
        }
    }
}

impl Deliver for Outboxes {
    fn frame(&mut self, to: ConnectionId, frame: &Frame) -> bool {
        self.0[to.index()].push(frame);
        true
    }

    fn latest(&mut self, to: ConnectionId, stream: &StreamName, newest: &Frame, messages: u64) -> bool {
        self.0[to.index()].push_latest(stream, newest, messages);
        true
    }

    fn begin_latest(&mut self, to: ConnectionId, stream: &StreamName) {
        self.0[to.index()].begin_latest(stream);
    }

    fn event(&mut self, to: ConnectionId, event: &Event<'_>) {
        let frame = self.0[to.index()].encode(event);
        self.frame(to, &frame);
    }

    fn event_again(&mut self, to: ConnectionId, event: &Event<'_>, encoded: &mut Option<Frame>) {
        let frame = encoded.get_or_insert_with(|| self.0[to.index()].encode(event));
        self.0[to.index()].push(frame);
    }

    fn finish(&mut self, to: ConnectionId, last: Option<&Frame>) {
        self.0[to.index()].finish(last);
    }

    fn end(&mut self, to: ConnectionId, _: ErrorCode, _: &str) {
        self.finish(to, None);
    }
}
