//! What a new connection may repeat.
//!
//! What changes a stream's header or ends it may have taken effect although its confirmation was lost, and somebody may have
//! begun a later run since. So the broker is asked how each such stream stands first. Pure.

use std::ops::Range;

use bytes::Bytes;

use crate::wire::subscriber::Reason;
use crate::wire::{Epoch, StreamState};

/// What an action does to its stream, beside its message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// Sets the header: here the action, as a line, that sets it alone.
    Header(Bytes),
    Close,
    Delete,
}

impl Change {
    /// The header that the stream has behind it, as the line that sets it.
    pub(super) fn header(&self) -> Option<Bytes> {
        match self {
            Self::Header(line) => Some(line.clone()),
            Self::Close | Self::Delete => None,
        }
    }
}

/// An action that changes its stream.
#[derive(Debug, Clone)]
pub(super) struct Mark {
    pub(super) stream: String,
    pub(super) change: Change,
    /// The receipt, if somebody waits for one, or the line was given one when it was repeated.
    pub(super) receipt: Option<u64>,
    /// Whether it says itself how the stream must stand.
    pub(super) is_conditional: bool,
    /// What its line was given when it was repeated.
    pub(super) added: Option<Added>,
}

/// What was put at the end of a line, so that it touches one run alone.
#[derive(Debug, Clone, Copy)]
pub(super) struct Added {
    bytes: usize,
    has_receipt: bool,
}

/// What every line ends with.
const END: &[u8] = b"}\n";

/// A part of what was queued that a new connection does not simply repeat.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) at: Range<usize>,
    pub(super) kind: Kind,
}

impl Part {
    /// What it does to its stream, if it changes one.
    pub(super) fn mark(&self) -> Option<&Mark> {
        if let Kind::Change(mark) = &self.kind { Some(mark) } else { None }
    }

    /// The receipt that it asks for.
    pub(super) fn receipt(&self) -> Option<u64> {
        match &self.kind {
            Kind::Change(mark) => mark.receipt,
            Kind::Asks(receipt) => Some(*receipt),
            Kind::Own | Kind::Will => None,
        }
    }
}

/// What a part is.
#[derive(Debug, Clone)]
pub(super) enum Kind {
    /// Listen, hangup, a header that was sent again: a new connection has its own.
    Own,
    /// It changes its stream.
    Change(Mark),
    /// Somebody waits for its receipt.
    Asks(u64),
    /// How a stream is to end: if the broker has forgotten that, it is told the latest anew.
    Will,
}

/// Lines, and the parts among them.
#[derive(Debug, Default)]
pub(super) struct Lines {
    pub(super) bytes: Vec<u8>,
    pub(super) parts: Vec<Part>,
}

impl Lines {
    /// Appends a line that is a part.
    pub(super) fn push_part(&mut self, line: &[u8], kind: Kind) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(line);
        self.parts.push(Part { at: start..self.bytes.len(), kind });
    }

    /// Appends a line that changes its stream and is repeated: for this run of the stream alone, and with a receipt, so that it is known
    /// if it comes too late.
    pub(super) fn push_of(&mut self, line: &[u8], mut mark: Mark, run: Epoch, receipt: impl FnOnce() -> u64) {
        let mut added = format!(",\"of\":\"{run}\"");
        let has_receipt = mark.receipt.is_none();
        if has_receipt {
            let receipt = receipt();
            added.push_str(&format!(",\"receipt\":{receipt}"));
            mark.receipt = Some(receipt);
        }
        mark.added = Some(Added { bytes: added.len(), has_receipt });
        self.push_part(&[line.strip_suffix(END).unwrap_or(line), added.as_bytes(), END].concat(), Kind::Change(mark));
    }

    /// Appends a line for a broker to which its run means nothing: without what was added for that.
    pub(super) fn push_as_it_was(&mut self, line: &[u8], kind: Kind) {
        let Kind::Change(Mark { added: Some(Added { bytes, has_receipt }), mut receipt, stream, change, is_conditional }) = kind else {
            return self.push_part(line, kind);
        };
        receipt = receipt.filter(|_| !has_receipt);
        let before = line.get(..line.len().saturating_sub(END.len() + bytes)).unwrap_or_default();
        self.push_part(&[before, END].concat(), Kind::Change(Mark { stream, change, receipt, is_conditional, added: None }));
    }

    /// Appends a line of what was sent and was not taken, unless it concerns only the connection on which it was sent.
    pub(super) fn push_again(&mut self, line: &[u8], kind: Kind) {
        if !matches!(kind, Kind::Own) {
            self.push_part(line, kind);
        }
    }

    /// The same for a broker to which its run means nothing.
    pub(super) fn push_again_as_it_was(&mut self, line: &[u8], kind: Kind) {
        if !matches!(kind, Kind::Own) {
            self.push_as_it_was(line, kind);
        }
    }

    /// Appends other lines; of each part among them, what `push` does with it.
    pub(super) fn extend(&mut self, bytes: &[u8], parts: Vec<Part>, mut push: impl FnMut(&mut Self, &[u8], Kind)) {
        let mut at = 0;
        for Part { at: part, kind } in parts {
            self.bytes.extend_from_slice(bytes.get(at..part.start).unwrap_or_default());
            push(self, bytes.get(part.clone()).unwrap_or_default(), kind);
            at = part.end;
        }
        self.bytes.extend_from_slice(bytes.get(at..).unwrap_or_default());
    }
}

/// How a new connection found a stream.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// None if the broker did not tell.
    pub(super) state: Option<StreamState>,
    /// The header, as the line that sets it.
    pub(super) header: Option<Vec<u8>>,
    /// The run that it tells of.
    pub(super) run: Option<Epoch>,
    /// The broker has refused to tell how the stream stands.
    pub(super) is_untold: bool,
    /// It did, since this client may publish and not listen.
    pub(super) is_denied: bool,
    /// The broker has lost this client's header, or may have, and was asked to take it again.
    pub(super) is_set_again: bool,
    /// Why the broker has not taken it, unless somebody else has begun the stream.
    pub(super) refused: Option<Reason>,
}

/// What becomes of an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Repeat,
    /// It has taken effect already.
    Done,
    /// It would change what somebody else has begun, or has ended, since.
    Stale,
}

/// What becomes of this client's changes of one stream, in their order, that were not confirmed. `confirmed` is the last header
/// that was.
pub(super) fn judge(found: &Found, confirmed: Option<&[u8]>, changes: &[Change]) -> Vec<Verdict> {
    let has_set = |change: &Change| matches!((change, &found.header), (Change::Header(line), Some(header)) if line == header);
    // All up to the change that set the header that is there.
    let done = changes.iter().position(has_set).map_or(0, |at| at + 1);
    let is_begun = confirmed.is_some() || done > 0;
    // Whether the stream is this client's at this point of its changes, and whether it has ended.
    let mut is_ours = done > 0 || (confirmed.is_some() && confirmed == found.header.as_deref());
    let mut has_ended = found.state == Some(StreamState::Ended);
    let mut was_ended_here = false;
    let judge_one = |(at, change): (usize, &Change)| match (found.state, change) {
        _ if at < done => Verdict::Done,
        // The broker has forgotten all, or never had any.
        (Some(StreamState::Waiting) | None, _) => Verdict::Repeat,
        (_, Change::Header(_)) if has_ended && is_begun && !was_ended_here => Verdict::Stale,
        (_, Change::Header(_)) if !has_ended && is_begun && !is_ours => Verdict::Stale,
        (_, Change::Header(_)) => {
            (is_ours, has_ended) = (true, false);
            Verdict::Repeat
        }
        (_, Change::Close | Change::Delete) if !is_ours => Verdict::Stale,
        (_, Change::Close) if has_ended => {
            was_ended_here = true;
            Verdict::Done
        }
        (_, Change::Close | Change::Delete) => {
            (has_ended, was_ended_here) = (true, true);
            Verdict::Repeat
        }
    };
    changes.iter().enumerate().map(judge_one).collect()
}

#[cfg(test)]
mod tests {
    use super::Verdict::{Done, Repeat, Stale};
    use super::*;

    fn header(text: &str) -> Change {
        Change::Header(Bytes::from(text.to_owned()))
    }

    fn found(state: StreamState, header: &str) -> Found {
        Found { state: Some(state), header: (!header.is_empty()).then(|| header.into()), ..Found::default() }
    }

    #[test]
    fn what_was_applied_is_not_repeated_and_no_later_run_is_touched() {
        use Change::{Close, Delete};
        use StreamState::{Ended, Running, Waiting};
        let (mine, next) = (Some(&b"mine"[..]), header("next"));
        for (what, found, confirmed, changes, verdicts) in [
            ("the broker has forgotten all", found(Waiting, ""), mine, vec![next.clone(), Close], vec![Repeat, Repeat]),
            ("nothing was applied", found(Running, "mine"), mine, vec![next.clone(), Close], vec![Repeat, Repeat]),
            ("the header was applied", found(Running, "next"), mine, vec![next.clone(), Close], vec![Done, Repeat]),
            ("all was applied", found(Ended, "next"), mine, vec![next.clone(), Close], vec![Done, Done]),
            ("closed, and run by somebody else", found(Running, "theirs"), mine, vec![Close], vec![Stale]),
            ("theirs, with more of ours", found(Running, "theirs"), mine, vec![next.clone(), Close], vec![Stale, Stale]),
            ("ended by somebody else", found(Ended, "mine"), mine, vec![next.clone()], vec![Stale]),
            ("ended and begun again here", found(Ended, "mine"), mine, vec![Close, next.clone(), Close], vec![Done, Repeat, Repeat]),
            ("the second run has begun", found(Running, "next"), mine, vec![Close, next.clone(), Close], vec![Done, Done, Repeat]),
            ("begun over an old end", found(Ended, "old"), None, vec![next.clone(), Close], vec![Repeat, Repeat]),
            ("begun over a job that died", found(Running, "old"), None, vec![next.clone(), Close], vec![Repeat, Repeat]),
            ("not ours to end", found(Running, "theirs"), None, vec![Close], vec![Stale]),
            ("forgotten after its end", found(Ended, "mine"), mine, vec![Delete], vec![Repeat]),
            ("theirs to forget", found(Ended, "theirs"), mine, vec![Delete], vec![Stale]),
            ("not told", Found::default(), mine, vec![Close], vec![Repeat]),
        ] {
            assert_eq!(judge(&found, confirmed, &changes), verdicts, "{what}");
        }
    }

    #[test]
    fn parts_move_with_their_lines() {
        let mut lines = Lines::default();
        lines.bytes.extend_from_slice(b"one\n");
        lines.push_part(b"own\n", Kind::Own);
        lines.push_part(b"close\n", Kind::Change(close(None)));
        lines.bytes.extend_from_slice(b"two\n");
        let mut again = Lines::default();
        again.push_part(b"first\n", Kind::Own);
        again.extend(&lines.bytes, lines.parts, Lines::push_again);
        assert_eq!(again.bytes, b"first\none\nclose\ntwo\n");
        assert_eq!(again.parts[1].at, 10..16);
    }

    fn close(receipt: Option<u64>) -> Mark {
        Mark { stream: "s".to_owned(), change: Change::Close, receipt, is_conditional: false, added: None }
    }

    #[test]
    fn a_line_is_given_its_run_and_loses_it_again() {
        for (receipt, before, after) in [
            (None, "{\"a\":1}\n", "{\"a\":1,\"of\":\"000000000000000a\",\"receipt\":7}\n"),
            (Some(3), "{\"a\":1,\"receipt\":3}\n", "{\"a\":1,\"receipt\":3,\"of\":\"000000000000000a\"}\n"),
        ] {
            let (mut lines, mut again) = (Lines::default(), Lines::default());
            lines.push_of(before.as_bytes(), close(receipt), Epoch::new(10), || 7);
            assert_eq!(lines.bytes, after.as_bytes());
            assert_eq!(lines.parts[0].mark().unwrap().receipt, receipt.or(Some(7)));
            again.extend(&lines.bytes, lines.parts, Lines::push_as_it_was);
            assert_eq!(again.bytes, before.as_bytes());
            assert_eq!(again.parts[0].at, 0..before.len());
            let mark = again.parts[0].mark().unwrap();
            assert!(mark.receipt == receipt && mark.added.is_none());
        }
    }
}
