//! What can happen in a history.

/// A run of a stream, as a client may name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    Current,
    /// The one before that.
    Former,
    /// None that there ever was.
    Foreign,
}

/// Where a listener begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Begin {
    /// So many messages before where the stream stands, in a run.
    pub(crate) back: Option<(Which, u64)>,
    pub(crate) last: Option<u64>,
    /// Only the newest message is wanted.
    pub(crate) latest: bool,
}

/// One step of a history; streams and connections are small numbers, so that they meet.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Put {
        from: u32,
        stream: usize,
        text: u16,
        header: Option<u16>,
        of: Option<Which>,
        receipt: bool,
    },
    Header {
        from: u32,
        stream: usize,
        text: u16,
        of: Option<Which>,
        absent: bool,
        receipt: bool,
    },
    Listen {
        from: u32,
        stream: usize,
        begin: Option<Begin>,
        receipt: bool,
    },
    Hangup {
        from: u32,
        stream: Option<usize>,
        receipt: bool,
    },
    Close {
        from: u32,
        stream: usize,
        text: u16,
        of: Option<Which>,
        receipt: bool,
    },
    Delete {
        from: u32,
        stream: usize,
        text: u16,
        of: Option<Which>,
        receipt: bool,
    },
    Ping {
        from: u32,
        text: u16,
    },
    /// The connection ends, asking for a last line or not.
    Leave {
        from: u32,
        last: bool,
    },
    /// The connection takes no more from now on, as one that was cut off.
    Deafen {
        from: u32,
    },
    /// How the stream is to end if the connection is lost, or that it is not.
    Will {
        from: u32,
        stream: usize,
        text: Option<u16>,
        receipt: bool,
    },
    /// A new connection in place of the one before, which says nothing more. It may begin with a session.
    Reconnect {
        from: u32,
        session: Option<usize>,
    },
    Tick {
        seconds: u64,
    },
}

impl Step {
    /// Whose step it is; time is nobody's.
    pub(crate) fn from(&self) -> Option<u32> {
        match self {
            Self::Put { from, .. }
            | Self::Header { from, .. }
            | Self::Listen { from, .. }
            | Self::Hangup { from, .. }
            | Self::Close { from, .. }
            | Self::Delete { from, .. }
            | Self::Ping { from, .. }
            | Self::Will { from, .. }
            | Self::Leave { from, .. }
            | Self::Deafen { from }
            | Self::Reconnect { from, .. } => Some(*from),
            Self::Tick { .. } => None,
        }
    }
}
