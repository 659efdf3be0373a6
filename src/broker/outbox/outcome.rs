//! What an outbox answers: to the actor that fills it, and to the task that empties it.

use tokio::time::Instant;

/// What became of a frame.
///
/// ```
/// # use std::sync::Arc;
/// # use msgstream::broker::outbox::{Outbox, OutboxLimits, Pushed, Sink};
/// # use msgstream::broker::settings::Policy;
/// # use msgstream::wire::{Event, json_lines};
/// # use std::io::{self, IoSlice};
/// # struct Asleep;
/// # impl Sink for Asleep {
/// #     fn try_write(&self, _: &[IoSlice<'_>]) -> io::Result<usize> {
/// #         Err(io::ErrorKind::WouldBlock.into())
/// #     }
/// #     fn peer(&self) -> String {
/// #         "asleep".to_owned()
/// #     }
/// # }
/// # let limits = OutboxLimits {
/// #     encoder: &json_lines::ENCODER,
/// #     limit: 20,
/// #     policy: Policy::Throttle,
/// #     gauge: Arc::default(),
/// #     translations: Arc::default(),
/// # };
/// // Twenty bytes may wait, under the policy that holds publishers back.
/// let outbox = Outbox::new(Asleep, Arc::new(limits));
/// let pong = outbox.encode(&Event::Pong { receipt: None });
/// assert_eq!(outbox.push(&pong), Pushed::First);
/// assert_eq!(outbox.push(&pong), Pushed::Full);
/// outbox.kill();
/// assert_eq!(outbox.push(&pong), Pushed::Refused);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// It waits, and is the first since the last flush.
    First,
    /// It waits.
    Queued,
    /// It waits, but the outbox is full: the publisher is to be held back.
    Full,
    /// The outbox was over its limit: the frame was not queued, and the connection has been cut off.
    Cut,
    /// The outbox takes no more.
    Refused,
}

/// What [`Outbox::relieve`](super::Outbox::relieve) did.
///
/// ```
/// # use std::sync::Arc;
/// # use msgstream::broker::outbox::{Outbox, OutboxLimits, Relieved, Sink};
/// # use msgstream::broker::settings::Policy;
/// # use msgstream::wire::{Event, json_lines};
/// # use std::io::{self, IoSlice};
/// # struct Asleep;
/// # impl Sink for Asleep {
/// #     fn try_write(&self, _: &[IoSlice<'_>]) -> io::Result<usize> {
/// #         Err(io::ErrorKind::WouldBlock.into())
/// #     }
/// #     fn peer(&self) -> String {
/// #         "asleep".to_owned()
/// #     }
/// # }
/// # let limits = OutboxLimits {
/// #     encoder: &json_lines::ENCODER,
/// #     limit: 1 << 20,
/// #     policy: Policy::Disconnect,
/// #     gauge: Arc::default(),
/// #     translations: Arc::default(),
/// # };
/// let outbox = Outbox::new(Asleep, Arc::new(limits));
/// assert_eq!(outbox.relieve("the memory is needed"), Relieved::Nothing);
/// outbox.push(&outbox.encode(&Event::Pong { receipt: None }));
/// assert_eq!(outbox.relieve("the memory is needed"), Relieved::Cut { promised: 0 });
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relieved {
    /// Nothing waited.
    Nothing,
    /// The connection was cut off; so many bytes are given back only when the rest of a frame has been sent.
    Cut {
        /// The bytes.
        promised: usize,
    },
    /// It had been cut off before, and was ended.
    Ended,
}

/// How an outbox stands, as its task sees it.
///
/// ```
/// # use std::sync::Arc;
/// # use std::task::{Context, Waker};
/// # use msgstream::broker::outbox::{Outbox, OutboxLimits, Sink};
/// # use msgstream::broker::settings::Policy;
/// # use msgstream::wire::{Event, json_lines};
/// # use std::io::{self, IoSlice};
/// # struct Asleep;
/// # impl Sink for Asleep {
/// #     fn try_write(&self, _: &[IoSlice<'_>]) -> io::Result<usize> {
/// #         Err(io::ErrorKind::WouldBlock.into())
/// #     }
/// #     fn peer(&self) -> String {
/// #         "asleep".to_owned()
/// #     }
/// # }
/// # let limits = OutboxLimits {
/// #     encoder: &json_lines::ENCODER,
/// #     limit: 1 << 20,
/// #     policy: Policy::Disconnect,
/// #     gauge: Arc::default(),
/// #     translations: Arc::default(),
/// # };
/// let outbox = Outbox::new(Asleep, Arc::new(limits));
/// outbox.push(&outbox.encode(&Event::Pong { receipt: None }));
/// outbox.flush();
/// outbox.quiesce();
/// let cx = Context::from_waker(Waker::noop());
/// let standing = outbox.standing(&cx);
/// assert!(standing.blocked && !standing.empty && standing.quiesce);
///
/// outbox.quiesced();
/// outbox.kill();
/// assert!(outbox.standing(&cx).dead);
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Standing {
    /// The task is to write when the socket is ready.
    pub blocked: bool,
    /// No more will come; the connection ends when the queue is empty.
    pub finishing: bool,
    /// Nothing waits.
    pub empty: bool,
    /// What waits is of no use: the connection ends now.
    pub dead: bool,
    /// The task is to take in what has been received, and say so.
    pub quiesce: bool,
    /// The task is not to read: a listener of its streams is full.
    pub held: bool,
    /// Since when this outbox holds publishers back.
    pub holding_since: Option<Instant>,
}

/// How far a turn of writing got.
///
/// ```
/// # use std::sync::Arc;
/// # use msgstream::broker::outbox::{Outbox, OutboxLimits, Sink, Written};
/// # use msgstream::broker::settings::Policy;
/// # use msgstream::wire::{Event, json_lines};
/// # use std::io::{self, IoSlice};
/// # struct Asleep;
/// # impl Sink for Asleep {
/// #     fn try_write(&self, _: &[IoSlice<'_>]) -> io::Result<usize> {
/// #         Err(io::ErrorKind::WouldBlock.into())
/// #     }
/// #     fn peer(&self) -> String {
/// #         "asleep".to_owned()
/// #     }
/// # }
/// # let limits = OutboxLimits {
/// #     encoder: &json_lines::ENCODER,
/// #     limit: 1 << 20,
/// #     policy: Policy::Disconnect,
/// #     gauge: Arc::default(),
/// #     translations: Arc::default(),
/// # };
/// let outbox = Outbox::new(Asleep, Arc::new(limits));
/// outbox.push(&outbox.encode(&Event::Pong { receipt: None }));
/// outbox.flush();
/// assert_eq!(outbox.write_turn(), Written::Blocked { progress: false });
/// assert_eq!(outbox.sink().peer(), "asleep");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// Everything was sent.
    All,
    /// The turn is over, and more waits.
    More,
    /// The socket takes no more now; whether it took anything in this turn.
    Blocked {
        /// Something was sent.
        progress: bool,
    },
    /// The peer is gone.
    Gone,
}
