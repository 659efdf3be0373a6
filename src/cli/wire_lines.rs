//! Events as the lines that they came in.

use std::io::{self, Write};

use crate::client::Event;
use crate::wire::ids::StreamName;
use crate::wire::json_lines::ENCODER;
use crate::wire::{Encode, Event as WireEvent};

/// Prints lines to standard output. What is printed together is flushed together, and never later than the next wait.
pub(super) struct WireLines {
    lines: Vec<u8>,
    out: io::StdoutLock<'static>,
}

/// Beyond it lines are not gathered any further.
const GATHERED: usize = 64 << 10;

impl WireLines {
    pub(super) fn new() -> Self {
        Self { lines: Vec::new(), out: io::stdout().lock() }
    }

    /// Adds the line of an event. Events that did not come as a line are left out.
    pub(super) fn event(&mut self, stream: &StreamName, event: &Event) -> io::Result<()> {
        let event = match event {
            Event::Header(content) | Event::Message(content) => WireEvent::Put { stream, message: content.as_str().as_bytes() },
            Event::Skipped { messages } => WireEvent::Skipped { stream, messages: *messages },
            Event::Ended { message } => WireEvent::Close { stream, message: message.as_ref().map(|content| content.as_str().as_bytes()) },
            Event::CutOff(_) | Event::Lost { .. } | Event::Reconnected { .. } => return Ok(()),
        };
        ENCODER.encode(&event, &mut self.lines);
        if self.lines.len() >= GATHERED { self.flush() } else { Ok(()) }
    }

    /// Whether something was added and not printed.
    pub(super) fn has_some(&self) -> bool {
        !self.lines.is_empty()
    }

    /// Prints what was added.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        if self.lines.is_empty() {
            return Ok(());
        }
        self.out.write_all(&self.lines)?;
        self.lines.clear();
        self.out.flush()
    }
}
