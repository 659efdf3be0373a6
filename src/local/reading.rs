//! The near end of such a pipe: asks for lines, and has the outbox send them.

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use crate::broker::actor::Command;
use crate::broker::connection::ConnectionContext;
use crate::broker::outbox::Outbox;
use crate::wire::ids::ConnectionId;

use super::pipe::Pipe;

/// Reads what comes for one listener. Dropped, the listener is gone.
pub(super) struct Reading {
    context: Arc<ConnectionContext>,
    id: ConnectionId,
    outbox: Arc<Outbox<Pipe>>,
    /// Whole lines, of which those before `at` were read.
    lines: Vec<u8>,
    at: usize,
}

impl Reading {
    pub(super) fn new(context: Arc<ConnectionContext>, id: ConnectionId, outbox: Arc<Outbox<Pipe>>) -> Self {
        Self { context, id, outbox, lines: Vec::new(), at: 0 }
    }

    /// What may wait for the listener, in bytes.
    pub(super) fn limit(&self) -> usize {
        self.outbox.limit()
    }

    /// The next line; none after the last.
    pub(super) fn poll_line(&mut self, cx: &Context<'_>) -> Poll<Option<&[u8]>> {
        if self.at == self.lines.len() {
            match ready!(self.poll_lines(cx)) {
                Some(lines) => (self.lines, self.at) = (lines, 0),
                None => return Poll::Ready(None),
            }
        }
        let rest = self.lines.get(self.at..).unwrap_or_default();
        let length = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |end| end + 1);
        self.at += length;
        Poll::Ready(rest.get(..length))
    }

    fn poll_lines(&self, cx: &Context<'_>) -> Poll<Option<Vec<u8>>> {
        let pipe = self.outbox.sink();
        if let Poll::Ready(lines) = pipe.poll_lines(cx) {
            return Poll::Ready(lines);
        }
        // They were asked for. If some wait, the actor does not write them; if none do, it writes what comes.
        self.outbox.write_some();
        if self.outbox.take_room() {
            self.context.mailbox.send(Command::Room(self.id));
        }
        pipe.poll_lines(cx)
    }

    /// Nobody waits for more now: so what comes next is the newest when somebody does.
    pub(super) fn rest(&self) {
        self.outbox.sink().rest();
    }

    /// Hangs up.
    pub(super) fn end(&self) {
        self.outbox.kill();
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.end();
    }
}
