//! The nodes as streams: for each node N there is a stream `$nodes/N`, whose header and messages say how the node does, and whose end says that
//! it is gone. They follow from the log as all streams do, so every node tells the same of all.

use serde::Serialize;

use crate::broker::core::{Budget, Input};
use crate::wire::ids::StreamName;
use crate::wire::json_lines::ENCODER;
use crate::wire::{Encode, Event, Frame};

use super::reading::Replay;

/// How the names of these streams begin.
const NODES: &str = "$nodes/";

/// What is told of a node.
#[derive(Serialize)]
struct Told<'a> {
    addresses: &'a [String],
    version: &'a str,
    /// Since when it has been there, in seconds since 1970.
    since: u64,
    connections: u64,
    listeners: u64,
    messages: u64,
    keeps: bool,
}

/// Why a node is gone.
#[derive(Serialize)]
struct Gone<'a> {
    reason: &'a str,
}

impl Replay<'_> {
    /// Tells how a node does.
    pub(super) fn tell_node(&mut self, life: u64) {
        let sharing = &*self.sharing;
        let Some(member) = sharing.members.get(life) else { return };
        let since = (sharing.clock.began.unwrap_or_default() + member.since).as_secs();
        let (status, keeps) = (&member.status, sharing.members.eldest() == Some(life));
        let told = Told {
            addresses: &status.addresses,
            version: &status.version,
            since,
            connections: status.connections,
            listeners: status.listeners,
            messages: status.messages,
            keeps,
        };
        let Some((stream, message)) = name(&member.name).zip(serde_json::to_vec(&told).ok()) else { return };
        let (bytes, encoder) = (line(&Event::Put { stream: &stream, message: &message }), &ENCODER);
        let header = Frame::lasting(bytes.clone(), encoder);
        self.tell(Input::put(stream, Frame::new(bytes, 1, encoder), Some(header), None));
    }

    /// Tells that a node is gone.
    pub(super) fn tell_gone(&mut self, node: &str, reason: &str) {
        let Some((stream, message)) = name(node).zip(serde_json::to_vec(&Gone { reason }).ok()) else { return };
        let last = Frame::lasting(line(&Event::Close { stream: &stream, message: Some(&message) }), &ENCODER);
        self.tell(Input::Close { stream, last, of: None, receipt: None });
    }

    fn tell(&mut self, input: Input) {
        self.core.next_step();
        self.routes.turn_to(self.sharing.flow);
        // One message and one header.
        let mut unlimited = Budget::unlimited();
        self.core.handle(self.sharing.flow, input, &mut unlimited, self.routes);
    }
}

fn name(node: &str) -> Option<StreamName> {
    StreamName::new(&format!("{NODES}{node}")).ok()
}

fn line(event: &Event<'_>) -> Box<[u8]> {
    let mut bytes = Vec::with_capacity(256);
    ENCODER.encode(event, &mut bytes);
    bytes.into_boxed_slice()
}
