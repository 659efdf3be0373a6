//! Limits on everything that a peer can make grow, with their defaults and reasons.

use serde::Deserialize;

use crate::wire::setters;
use crate::wire::units::{ByteSize, Span};

/// The `[limits]` section of the configuration.
///
/// ```
/// # use msgstream::broker::Limits;
/// # use msgstream::units::{ByteSize, Span};
/// let limits = Limits::default().line(ByteSize(1 << 20)).ended_time(Span::from_secs(60));
/// assert_eq!(limits.header, ByteSize(1 << 20));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Limits {
    /// The longest line, in bytes without the LF. A longer one is skipped without being stored. Default: 16 MiB.
    pub line: ByteSize,
    /// The longest stream name, in bytes of UTF-8. Default: 1 KiB.
    pub name: ByteSize,
    /// The largest header, and the largest last message of a stream, in bytes. Default: 1 MiB.
    pub header: ByteSize,
    /// What all streams, wills and sessions together may take, in bytes of memory: headers, last messages, names, 80 bytes for each
    /// listener of a stream, and 448 for each session.
    /// 0: a quarter of the machine's or cgroup's memory. Default: 0.
    pub headers_total: ByteSize,
    /// The most streams that exist at once: with a header, with a listener, or ended. Default: 1,000,000.
    pub streams: usize,
    /// How long an ended stream is remembered. Default: 1 h.
    pub ended_time: Span,
    /// The most streams and prefixes that one connection listens to at once; a stream that is joined by a prefix counts too. Default: 10,000.
    pub listens: usize,
    /// The most sessions at once. Default: 100,000.
    pub sessions: usize,
    /// How long a session waits for its client to come back. Then it is forgotten, and its wills take effect. Default: 5 min.
    pub session_time: Span,
    /// The most connections at once. 0: as many as there are descriptors, less the reserve. Default: 0.
    pub connections: usize,
    /// Descriptors that connections never take, so that turning connections away, and everything else, still works. Default: 16.
    pub reserved_descriptors: usize,
    /// Bad lines in a row after which a connection is closed. Default: 64.
    pub errors_in_a_row: usize,
    /// The time from a connection's first byte to the end of its first line. Default: 10 s.
    pub first_line_time: Span,
    /// What has been received and has not taken effect, in bytes of memory: unfinished lines, and actions that wait. 0: an eighth of the
    /// machine's or cgroup's memory. Default: 0.
    pub unfinished_lines: ByteSize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            line: ByteSize(16 << 20),
            name: ByteSize(1 << 10),
            header: ByteSize(1 << 20),
            headers_total: ByteSize(0),
            streams: 1_000_000,
            ended_time: Span::from_secs(3600),
            listens: 10_000,
            sessions: 100_000,
            session_time: Span::from_secs(300),
            connections: 0,
            reserved_descriptors: 16,
            errors_in_a_row: 64,
            first_line_time: Span::from_secs(10),
            unfinished_lines: ByteSize(0),
        }
    }
}

setters! {
    "msgstream::{broker::*, units::*}";
    Limits {
        line: ByteSize, "ByteSize(1 << 20)";
        name: ByteSize, "ByteSize(100)";
        header: ByteSize, "ByteSize(1 << 16)";
        headers_total: ByteSize, "ByteSize(1 << 30)";
        streams: usize, "1000";
        ended_time: Span, "Span::from_secs(60)";
        listens: usize, "100";
        sessions: usize, "1000";
        session_time: Span, "Span::from_secs(60)";
        connections: usize, "100";
        reserved_descriptors: usize, "100";
        errors_in_a_row: usize, "5";
        first_line_time: Span, "Span::from_secs(60)";
        unfinished_lines: ByteSize, "ByteSize(1 << 30)";
    }
}
