//! What goes into the core and what comes out of it.

use crate::wire::ids::{ConnectionId, StreamName};
use crate::wire::{Event, Frame, Receipt};

/// One step of one connection. Frames are encoded already: the core passes them on and stores them, it never reads them.
///
/// ```
/// # use std::time::Duration;
/// # use msgstream::broker::core::{Core, CoreLimits, Deliver, Input};
/// # use msgstream::wire::ids::{ConnectionId, StreamName};
/// # use msgstream::wire::{Event, Frame, json_lines};
/// # #[derive(Default)]
/// # struct Notes(Vec<Vec<u8>>);
/// # impl Deliver for Notes {
/// #     fn frame(&mut self, _: ConnectionId, frame: &Frame) -> bool {
/// #         self.0.push(frame.bytes().to_vec());
/// #         true
/// #     }
/// #     fn event(&mut self, _: ConnectionId, _: &Event<'_>) {}
/// #     fn finish(&mut self, _: ConnectionId, _: Option<&Frame>) {}
/// # }
/// # let limits = CoreLimits { streams: 10, listens: 10, stored: 1 << 20, ended_time: Duration::from_secs(60) };
/// # let (mut core, mut notes) = (Core::new(limits), Notes::default());
/// let (job, listener, stream) = (ConnectionId(0), ConnectionId(1), StreamName::new("job-1")?);
/// // A header is kept for whoever joins later.
/// let header = Frame::lasting(b"half done".as_slice().into(), &json_lines::ENCODER);
/// core.handle(job, Input::Header { stream: stream.clone(), header, receipt: None }, &mut notes);
/// assert!(notes.0.is_empty());
/// core.handle(listener, Input::Listen { stream, receipt: None }, &mut notes);
/// assert_eq!(notes.0, [b"half done"]);
/// # Ok::<(), msgstream::wire::ids::EmptyName>(())
/// ```
#[derive(Debug, Clone)]
pub enum Input {
    /// A run of messages for every current listener; with a new header in the same step, if there is one.
    Put {
        /// The stream.
        stream: StreamName,
        /// One or more messages of one publisher, in the order it sent them.
        run: Frame,
        /// The new header, as the listeners who join will get it.
        header: Option<Frame>,
        /// Answered with how many listeners were reached.
        receipt: Option<Receipt>,
    },
    /// Replaces the stream's header; reopens an ended stream.
    Header {
        /// The stream.
        stream: StreamName,
        /// The new header, as the listeners who join will get it.
        header: Frame,
        /// Answered once it is stored.
        receipt: Option<Receipt>,
    },
    /// The connection becomes a listener.
    Listen {
        /// The stream.
        stream: StreamName,
        /// Answered with the stream's state.
        receipt: Option<Receipt>,
    },
    /// The connection stops listening to one stream, or to all.
    Hangup {
        /// The stream; none means all.
        stream: Option<StreamName>,
        /// Answered once no more will come.
        receipt: Option<Receipt>,
    },
    /// Ends the stream; its header stays for a time.
    Close {
        /// The stream.
        stream: StreamName,
        /// The `close` that its listeners get, and those who come later.
        last: Frame,
        /// Answered with how many listeners were reached.
        receipt: Option<Receipt>,
    },
    /// Forgets the stream.
    Delete {
        /// The stream.
        stream: StreamName,
        /// The `close` that its listeners get.
        last: Frame,
        /// Answered with how many listeners were reached.
        receipt: Option<Receipt>,
    },
    /// An answer to this connection that needs nothing but its place in the order: a pong, an error.
    Answer(Frame),
    /// The connection ends, on its own wish or for a mistake: it hangs up everywhere, and nothing is queued for it after
    /// the last frame.
    Leave {
        /// The `close` that tells it; none after an end of file.
        last: Option<Frame>,
        /// Answered before the last frame.
        receipt: Option<Receipt>,
    },
}

/// Where the core's output goes. Nothing here may wait.
///
/// ```
/// use std::time::Duration;
///
/// use msgstream::broker::core::{Core, CoreLimits, Deliver, Input};
/// use msgstream::wire::ids::{ConnectionId, StreamName};
/// use msgstream::wire::{Event, Frame, json_lines};
///
/// /// One line for each thing that is delivered.
/// #[derive(Default)]
/// struct Log(Vec<String>);
///
/// impl Deliver for Log {
///     fn frame(&mut self, to: ConnectionId, frame: &Frame) -> bool {
///         self.0.push(format!("{to} gets {} bytes", frame.bytes().len()));
///         true
///     }
///
///     fn event(&mut self, to: ConnectionId, event: &Event<'_>) {
///         self.0.push(format!("{to} is told {event:?}"));
///     }
///
///     fn finish(&mut self, to: ConnectionId, last: Option<&Frame>) {
///         self.0.push(format!("{to} ends, with a last word: {}", last.is_some()));
///     }
/// }
///
/// let limits = CoreLimits { streams: 10, listens: 10, stored: 1 << 20, ended_time: Duration::from_secs(60) };
/// let (mut core, mut log) = (Core::new(limits), Log::default());
/// let pong = Frame::new(b"pong".as_slice().into(), 1, &json_lines::ENCODER);
/// core.handle(ConnectionId(0), Input::Answer(pong), &mut log);
/// core.handle(ConnectionId(0), Input::Leave { last: None, receipt: None }, &mut log);
/// assert_eq!(log.0, ["0 gets 4 bytes", "0 ends, with a last word: false"]);
/// ```
pub trait Deliver {
    /// Queues a frame. False if the connection takes no more: it was cut off, or is gone.
    fn frame(&mut self, to: ConnectionId, frame: &Frame) -> bool;

    /// Encodes an event for this connection and queues it.
    fn event(&mut self, to: ConnectionId, event: &Event<'_>);

    /// Queues the last frame, if there is one, and nothing after it: the connection ends when its queue is sent.
    fn finish(&mut self, to: ConnectionId, last: Option<&Frame>);
}
