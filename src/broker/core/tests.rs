//! What the core's tests share.

use super::Deliver;
use crate::wire::ids::ConnectionId;
use crate::wire::{ErrorCode, Event, Frame};

/// How many messages were delivered.
#[derive(Default)]
pub(super) struct Counter(pub(super) u32);

impl Deliver for Counter {
    fn frame(&mut self, _: ConnectionId, frame: &Frame) -> bool {
        self.0 += frame.messages();
        true
    }

    fn event(&mut self, _: ConnectionId, _: &Event<'_>) {}

    fn finish(&mut self, _: ConnectionId, _: Option<&Frame>) {}

    fn end(&mut self, _: ConnectionId, _: ErrorCode, _: &str) {}
}
