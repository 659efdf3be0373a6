//! The members of a unit's object that the protocol knows, by their places in the unit.

use std::collections::HashSet;
use std::ops::Range;

/// Where the value of a member stands in the unit; none, if the unit has no such member.
pub(super) type Member = Option<Range<usize>>;

/// The members of one unit, each the range of its value.
#[derive(Debug, Default)]
pub(super) struct Members {
    pub(super) action: Member,
    pub(super) stream: Member,
    pub(super) message: Member,
    pub(super) header: Member,
    pub(super) receipt: Member,
    pub(super) after: Member,
    pub(super) last: Member,
    pub(super) condition: Member,
    pub(super) of: Member,
    pub(super) session: Member,
    pub(super) token: Member,
    pub(super) mode: Member,
    pub(super) prefix: Member,
    pub(super) durable: Member,
}

impl Members {
    /// Adds a member. If its key was given before, both values are dropped: there is no telling which one was meant.
    #[inline]
    pub(super) fn take(&mut self, key: &[u8], value: Range<usize>, others: &mut Others) -> Result<(), Surplus> {
        let member = match key {
            b"action" => &mut self.action,
            b"stream" => &mut self.stream,
            b"message" => &mut self.message,
            b"header" => &mut self.header,
            b"receipt" => &mut self.receipt,
            b"after" => &mut self.after,
            b"last" => &mut self.last,
            b"if" => &mut self.condition,
            b"of" => &mut self.of,
            b"session" => &mut self.session,
            b"token" => &mut self.token,
            b"mode" => &mut self.mode,
            b"prefix" => &mut self.prefix,
            b"durable" => &mut self.durable,
            _ => return others.insert(key),
        };
        if member.is_none() {
            *member = Some(value);
            return Ok(());
        }
        *member = None;
        Err(Surplus::Twice)
    }
}

/// Why a key is one too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Surplus {
    /// It was given before.
    Twice,
    /// It is unknown to the protocol, as were [`MOST_UNKNOWN`] keys before it.
    Many,
}

/// The most keys of one unit that the protocol does not know. Each has to be compared with all others, while other connections
/// wait; content with more keys belongs in the message.
pub(super) const MOST_UNKNOWN: usize = 1000;

/// The keys that the protocol does not know, to find one that is given twice. A few are compared one by one; hostile
/// thousands go into a set.
#[derive(Default)]
pub(super) struct Others {
    listed: Vec<Vec<u8>>,
    hashed: HashSet<Vec<u8>>,
}

impl Others {
    const MOST_LISTED: usize = 8;

    fn insert(&mut self, key: &[u8]) -> Result<(), Surplus> {
        if self.listed.len() + self.hashed.len() == MOST_UNKNOWN {
            return Err(Surplus::Many);
        }
        if self.listed.iter().any(|other| other == key) {
            return Err(Surplus::Twice);
        }
        if self.listed.len() < Self::MOST_LISTED {
            self.listed.push(key.to_vec());
            return Ok(());
        }
        if self.hashed.insert(key.to_vec()) { Ok(()) } else { Err(Surplus::Twice) }
    }
}
