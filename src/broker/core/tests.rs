//! What the core's tests share.

use super::Deliver;
use crate::wire::ids::{ConnectionId, StreamName};
use crate::wire::json_lines::ENCODER;
use crate::wire::{Encode, ErrorCode, Event, Frame};

/// How many messages were delivered.
#[derive(Default)]
pub(super) struct Counter(pub(super) u32);

impl Deliver for Counter {
    fn frame(&mut self, _: ConnectionId, frame: &Frame) -> bool {
        self.0 += frame.messages();
        true
    }

    fn latest(&mut self, _: ConnectionId, _: &StreamName, _: &Frame, messages: u64) -> bool {
        self.0 += u32::try_from(messages).unwrap_or(u32::MAX);
        true
    }

    fn begin_latest(&mut self, _: ConnectionId, _: &StreamName) {}

    fn event(&mut self, _: ConnectionId, _: &Event<'_>) {}

    fn finish(&mut self, _: ConnectionId, _: Option<&Frame>) {}

    fn end(&mut self, _: ConnectionId, _: ErrorCode, _: &str) {}
}

/// What was told, as lines.
#[derive(Default)]
pub(super) struct Told(pub(super) Vec<(ConnectionId, String)>);

impl Told {
    fn push(&mut self, to: ConnectionId, bytes: &[u8]) {
        self.0.push((to, String::from_utf8_lossy(bytes).into_owned()));
    }
}

impl Deliver for Told {
    fn frame(&mut self, to: ConnectionId, frame: &Frame) -> bool {
        self.push(to, frame.bytes());
        true
    }

    fn latest(&mut self, to: ConnectionId, _: &StreamName, newest: &Frame, _: u64) -> bool {
        self.frame(to, newest)
    }

    fn begin_latest(&mut self, _: ConnectionId, _: &StreamName) {}

    fn event(&mut self, to: ConnectionId, event: &Event<'_>) {
        let mut line = Vec::new();
        ENCODER.encode(event, &mut line);
        self.push(to, &line);
    }

    fn finish(&mut self, _: ConnectionId, _: Option<&Frame>) {}

    fn end(&mut self, _: ConnectionId, _: ErrorCode, _: &str) {}
}
