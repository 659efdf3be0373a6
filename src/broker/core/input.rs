//! What goes into the core and what comes out of it.

use std::ops::Range;

use crate::wire::ids::{ConnectionId, Prefix, StreamName};
use crate::wire::{Epoch, ErrorCode, Event, Frame, ReceiptId, SessionName, Start, Starts};

/// One step of one connection. Frames are encoded already: the core passes them on and stores them, it never reads them.
#[derive(Debug, Clone)]
pub enum Input {
    /// A run of messages for every current listener.
    Put {
        /// The stream.
        stream: StreamName,
        /// One or more messages of one publisher, in the order it sent them.
        run: Frame,
        /// Only if this is the stream's epoch.
        of: Option<Epoch>,
        /// Headers and receipts, which some of the messages carry, in their order.
        extras: Vec<Extra>,
    },
    /// Replaces the stream's header; reopens an ended stream.
    Header {
        /// The stream.
        stream: StreamName,
        /// The new header, as the listeners who join will get it.
        header: Frame,
        /// Only if this is the stream's epoch.
        of: Option<Epoch>,
        /// Only if the stream has no header and has not ended.
        absent: bool,
        /// Answered once it is stored.
        receipt: Option<ReceiptId>,
    },
    /// The connection becomes a listener.
    Listen {
        /// The stream.
        stream: StreamName,
        /// Where it begins; none means with what comes next.
        start: Option<Box<Start>>,
        /// Answered with the stream's state.
        receipt: Option<ReceiptId>,
    },
    /// The connection becomes a listener of all streams whose names begin so, those that there are and those to come.
    ListenPrefix {
        /// How the names begin.
        prefix: Prefix,
        /// Where it begins in them; none means with what comes next.
        start: Option<Box<Starts>>,
        /// Answered once all streams that there are have been joined.
        receipt: Option<ReceiptId>,
        /// Whether it goes on with what it has begun: the core says so in what it leaves to do.
        begun: bool,
    },
    /// The connection stops listening to one stream, or to all.
    Hangup {
        /// The stream; none means all.
        stream: Option<StreamName>,
        /// Answered once no more will come.
        receipt: Option<ReceiptId>,
    },
    /// The connection stops listening to a prefix.
    HangupPrefix {
        /// How the names begin.
        prefix: Prefix,
        /// The last stream that was looked at: the core says so in what it leaves to do.
        at: Option<StreamName>,
        /// Answered once no more will come.
        receipt: Option<ReceiptId>,
    },
    /// Ends the stream; its header stays for a time.
    Close {
        /// The stream.
        stream: StreamName,
        /// The `close` that its listeners get, and those who come later.
        last: Frame,
        /// Only if this is the stream's epoch.
        of: Option<Epoch>,
        /// Answered with how many listeners were reached.
        receipt: Option<ReceiptId>,
    },
    /// Forgets the stream.
    Delete {
        /// The stream.
        stream: StreamName,
        /// The `close` that its listeners get.
        last: Frame,
        /// Only if this is the stream's epoch.
        of: Option<Epoch>,
        /// Answered with how many listeners were reached.
        receipt: Option<ReceiptId>,
    },
    /// How the stream is to end if whoever says this is lost; or that this is not to be any more.
    Will {
        /// The stream.
        stream: StreamName,
        /// The `close` that its listeners get then, and those who come later.
        last: Option<Frame>,
        /// Answered once it is stored.
        receipt: Option<ReceiptId>,
    },
    /// The connection belongs to a session from now on. It is the first that the connection says.
    Session {
        /// The session.
        session: SessionName,
        /// The connection that it was taken from and that has yet to be taken out of all lists. None at first.
        former: Option<ConnectionId>,
        /// Goes into the answer.
        receipt: Option<ReceiptId>,
    },
    /// An answer to this connection that needs nothing but its place in the order: a pong, an error.
    Answer(Frame),
    /// The connection ends, on its own wish or for a mistake: it hangs up everywhere, and nothing is queued for it after
    /// the last frame.
    Leave {
        /// It has said that it ends, so it is not lost.
        orderly: bool,
        /// The `close` that tells it; none after an end of file.
        last: Option<Frame>,
        /// Answered before the last frame.
        receipt: Option<ReceiptId>,
    },
}

impl Input {
    /// One message, with a header and a receipt if there are.
    pub fn put(stream: StreamName, message: Frame, header: Option<Frame>, receipt: Option<ReceiptId>) -> Self {
        let has_more = header.is_some() || receipt.is_some();
        let extra = has_more.then(|| Extra { unit: 0..message.bytes().len(), index: 0, header, receipt });
        Self::Put { stream, run: message, of: None, extras: Vec::from_iter(extra) }
    }

    /// The same put, only if this is the stream's epoch.
    #[must_use]
    pub fn of(mut self, epoch: Option<Epoch>) -> Self {
        if let Self::Put { of, .. } = &mut self {
            *of = epoch;
        }
        self
    }

    /// How many messages it puts.
    pub fn messages(&self) -> u64 {
        if let Self::Put { run, .. } = self { run.messages().into() } else { 0 }
    }

    /// How many lines of its connection this is, as sessions count them: each that takes effect or is refused.
    pub fn lines(&self) -> u64 {
        match self {
            Self::Put { run: frame, .. } | Self::Answer(frame) => frame.messages().into(),
            Self::Header { .. }
            | Self::Listen { .. }
            | Self::ListenPrefix { .. }
            | Self::Hangup { .. }
            | Self::HangupPrefix { .. }
            | Self::Close { .. }
            | Self::Delete { .. }
            | Self::Will { .. } => 1,
            // Nobody comes back after an orderly end, and any other is no line.
            Self::Session { .. } | Self::Leave { .. } => 0,
        }
    }
}

/// What one message of a run carries beside its content.
#[derive(Debug, Clone)]
pub struct Extra {
    /// Where the message stands in the run's bytes.
    pub unit: Range<usize>,
    /// How many messages of the run stand before it.
    pub index: u32,
    /// The new header, as listeners who join get it.
    pub header: Option<Frame>,
    /// Answered with how many listeners were reached.
    pub receipt: Option<ReceiptId>,
}

/// Where the core's output goes. Nothing here may wait.
pub trait Deliver {
    /// Queues a frame. False if the connection takes no more: it was cut off, or is gone.
    fn frame(&mut self, to: ConnectionId, frame: &Frame) -> bool;

    /// Queues the newest message of a stream for a listener who wants no other, in place of what waits for it of this stream. `messages`
    /// have come since the one before, with this one. False if the connection takes no more.
    fn latest(&mut self, to: ConnectionId, stream: &StreamName, newest: &Frame, messages: u64) -> bool;

    /// The connection begins to listen so, or begins again: what waits for it of this stream stays as it is.
    fn begin_latest(&mut self, to: ConnectionId, stream: &StreamName);

    /// Encodes an event for this connection and queues it.
    fn event(&mut self, to: ConnectionId, event: &Event<'_>);

    /// The same for one of several connections. `encoded` is the event as it was encoded for the one before.
    fn event_again(&mut self, to: ConnectionId, event: &Event<'_>, encoded: &mut Option<Frame>) {
        let _ = encoded;
        self.event(to, event);
    }

    /// Queues the last frame, if there is one, and nothing after it: the connection ends when its queue is sent.
    fn finish(&mut self, to: ConnectionId, last: Option<&Frame>);

    /// Ends a connection that has not asked for it, and tells it why.
    fn end(&mut self, to: ConnectionId, code: ErrorCode, reason: &str);
}
