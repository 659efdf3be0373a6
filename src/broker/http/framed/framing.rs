//! What a frame looks like: each framing tells how lines travel, and knows no sockets.

use crate::broker::outbox::TransportKind;

/// A piece of a line. Most lines are one piece.
#[derive(Debug, Clone, Copy)]
pub(in crate::broker::http) struct Piece<'a> {
    /// Its bytes, without the LF.
    pub(in crate::broker::http) bytes: &'a [u8],
    /// The line begins with it.
    pub(in crate::broker::http) starts: bool,
    /// The line ends with it.
    pub(in crate::broker::http) ends: bool,
}

/// What has come from the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::broker::http) enum Came {
    /// It may say more.
    Open,
    /// It says no more, or does not keep to the rules: nothing more is taken from it.
    End,
}

/// How lines travel.
pub(in crate::broker::http) trait Framing: Send + Unpin + 'static {
    /// What it makes of a socket.
    const KIND: TransportKind;

    /// Appends a piece of a line that is sent to the peer. False if nothing of interest comes after it.
    fn frame(&mut self, piece: Piece<'_>, out: &mut Vec<u8>) -> bool;

    /// Appends the lines in what has come from the peer: at most as many bytes as have come, and one. What is to be answered takes the
    /// place of what `answer` has, which could not be sent yet: so there is never more than one answer.
    fn unframe(&mut self, came: &mut [u8], lines: &mut Vec<u8>, answer: &mut Vec<u8>) -> Came;

    /// Called with the length of `out` before pieces were framed into it, and after.
    fn wrap(&mut self, out: &mut Vec<u8>, wrapped: Wrapped);

    /// Appends what shows that the connection is alive.
    fn beat(&mut self, out: &mut Vec<u8>);

    /// Appends what says that nothing more comes.
    fn end(&mut self, out: &mut Vec<u8>);
}

/// Where one write begins and ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::broker::http) enum Wrapped {
    /// Nothing has been framed for it.
    Begins,
    /// All of it has.
    Ends,
}
