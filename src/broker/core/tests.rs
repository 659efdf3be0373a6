//! What the core's tests share.

use super::Deliver;
use crate::wire::ids::{ConnectionId, StreamName};
use crate::wire::{Event, Frame};

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
}
