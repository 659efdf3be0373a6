//! Where an outbox is emptied to.

use std::io::{self, IoSlice};
use std::sync::Arc;

/// What was held by a sink, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Unsent {
    /// What has been sent of it now.
    pub went: usize,
    /// What is left.
    pub left: usize,
}

/// What kind of way to the peer a sink is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransportKind {
    /// A TCP socket.
    Tcp,
    /// The same, encrypted.
    Tls,
    /// A Unix socket.
    Unix,
    /// A WebSocket, encrypted or not.
    WebSocket,
    /// A response to an HTTP request, such as server-sent events.
    Http,
    /// None: the peer is in this process.
    Local,
}

impl TransportKind {
    /// Every kind, each at the place of its number.
    pub const ALL: [Self; 6] = [Self::Tcp, Self::Tls, Self::Unix, Self::WebSocket, Self::Http, Self::Local];

    /// Its name, in metrics and lists.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Unix => "unix",
            Self::WebSocket => "websocket",
            Self::Http => "http",
            Self::Local => "local",
        }
    }
}

/// Takes what an outbox sends.
pub trait Sink: Send + Sync {
    /// Writes what it takes without waiting. A write that takes less than all means that the next would block, and so does one after
    /// which the sink [holds](Self::holds) some of it.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if it takes nothing now; any other error means that the peer is gone.
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Whether it ever [holds](Self::holds) something.
    fn may_hold(&self) -> bool {
        false
    }

    /// Whether something of what it took is not sent yet. Then it takes no more before that, and
    /// [`try_flush`](Self::try_flush) goes on with it once it is ready.
    fn holds(&self) -> bool {
        false
    }

    /// Sends what it took and still holds, as far as that goes without waiting.
    ///
    /// # Errors
    /// If the peer is gone.
    fn try_flush(&self) -> io::Result<Unsent> {
        Ok(Unsent::default())
    }

    /// Whether it takes anything now, as far as it knows. One that says so in advance is given what is the newest when it does.
    fn is_ready(&self) -> bool {
        true
    }

    /// Whether whoever publishes by this connection waits itself while it is held back, so that nobody has to pause what it has sent.
    fn waits_itself(&self) -> bool {
        false
    }

    /// What it takes is to be on its way soon rather than much: from now on it holds little of what the peer has not read.
    fn hold_little(&self) {}

    /// What kind it is, for those who count.
    fn kind(&self) -> TransportKind {
        TransportKind::Local
    }

    /// Who is at the other end, for logs.
    fn peer(&self) -> String;
}

impl<S: Sink + ?Sized> Sink for Arc<S> {
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        (**self).try_write(slices)
    }

    fn may_hold(&self) -> bool {
        (**self).may_hold()
    }

    fn holds(&self) -> bool {
        (**self).holds()
    }

    fn try_flush(&self) -> io::Result<Unsent> {
        (**self).try_flush()
    }

    fn is_ready(&self) -> bool {
        (**self).is_ready()
    }

    fn waits_itself(&self) -> bool {
        (**self).waits_itself()
    }

    fn hold_little(&self) {
        (**self).hold_little();
    }

    fn kind(&self) -> TransportKind {
        (**self).kind()
    }

    fn peer(&self) -> String {
        (**self).peer()
    }
}
