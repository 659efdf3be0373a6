//! The nodes of a space, and its clock, as the log tells of them. All of it is the same on all nodes, but for how connections are named.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::broker::core::Elsewhere;
use crate::broker::rows::milliseconds;
use crate::wire::ids::{ConnectionId, StreamName};

use super::port::RecordId;
use super::status::Status;

/// If nothing comes for longer than this, then nobody could write: that time does not count against anybody.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// No record comes later than this.
const LATEST: Duration = Duration::from_secs(3600);

/// The time of the log: what has passed between its records, as far as it went forward. Another server may store the next with another clock.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Clock {
    /// When the first was stored, since 1970.
    pub began: Option<Duration>,
    /// When the last was stored, since 1970.
    pub last: Duration,
    /// What has passed from the first to the last.
    pub now: Duration,
    /// How much of that was time in which nobody could write.
    pub late: Duration,
}

impl Clock {
    /// A record was stored at this time. Returns how much of the time since the one before was such in which nobody could write.
    pub fn advance(&mut self, at: Duration) -> Duration {
        // As it is kept for newcomers, so that no node has it more exactly than another.
        let at = Duration::from_millis(milliseconds(at));
        let passed = if self.began.is_some() { at.saturating_sub(self.last) } else { Duration::ZERO };
        self.began.get_or_insert(at);
        let late = passed.saturating_sub(LONGEST_PAUSE);
        (self.last, self.now, self.late) = (at, self.now + passed, self.late + late);
        late
    }

    /// The time in which somebody could write.
    pub fn patient(&self) -> Duration {
        self.now.saturating_sub(self.late)
    }
}

/// A node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// The number of its last record.
    pub number: u64,
    /// What it has said of what it has yet to end saying.
    pub begun: Vec<u8>,
    /// When it was heard of last, in time in which it could be.
    pub seen: Duration,
    /// When it came, on the log's clock.
    pub since: Duration,
    /// Its connections that have a session or a will: their number there, and what they are called here.
    pub clients: BTreeMap<u32, ConnectionId>,
    /// How many listen to which streams on it.
    pub counts: BTreeMap<StreamName, u32>,
    /// How it does.
    pub status: Status,
}

/// What a record is, by who says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is the next one of a node.
    Next,
    /// It may be the first one of a node.
    First,
    /// It has been read before, or comes from one that is gone.
    Void,
    /// One of the same node that came before it has not been read. A node says nothing more before that has come back to it, so the log that it
    /// reads has what this one lacks.
    Torn,
}

/// All nodes.
#[derive(Debug, Default)]
pub struct Members {
    by_life: BTreeMap<u64, Member>,
    /// The lives that are over, and since when, on the log's clock: a record of one may come late.
    over: BTreeMap<u64, Duration>,
}

impl Members {
    /// What to make of a record.
    pub fn standing(&self, id: RecordId) -> Standing {
        match self.by_life.get(&id.life) {
            Some(member) if member.number + 1 == id.number => Standing::Next,
            Some(member) if member.number + 1 < id.number => Standing::Torn,
            None if id.number == 1 && !self.over.contains_key(&id.life) => Standing::First,
            Some(_) | None => Standing::Void,
        }
    }

    /// The node of a life.
    pub fn get(&self, life: u64) -> Option<&Member> {
        self.by_life.get(&life)
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, life: u64) -> Option<&mut Member> {
        self.by_life.get_mut(&life)
    }

    /// A node has come.
    pub fn insert(&mut self, life: u64, member: Member) {
        self.by_life.insert(life, member);
    }

    /// A node is gone.
    pub fn remove(&mut self, life: u64, now: Duration) -> Option<Member> {
        self.over.retain(|_, since| *since + LATEST > now);
        let member = self.by_life.remove(&life)?;
        self.over.insert(life, now);
        Some(member)
    }

    /// The lives that are over, and since when.
    pub fn over(&self) -> &BTreeMap<u64, Duration> {
        &self.over
    }

    /// These lives are over.
    pub fn set_over(&mut self, over: BTreeMap<u64, Duration>) {
        self.over = over;
    }

    /// All nodes.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &Member)> {
        self.by_life.iter().map(|(life, member)| (*life, member))
    }

    /// The lives of nodes of which nothing was heard for longer than the lease, in the order in which they came.
    pub fn silent(&self, clock: &Clock, lease: Duration) -> Vec<u64> {
        let now = clock.patient();
        let mut silent: Vec<_> = self.iter().filter(|(_, member)| member.seen + lease < now).collect();
        silent.sort_by_key(|(life, member)| (member.since, *life));
        silent.into_iter().map(|(life, _)| life).collect()
    }

    /// The life that goes by a name.
    pub fn named(&self, name: &str) -> Option<u64> {
        self.iter().find(|(_, member)| member.name == name).map(|(life, _)| life)
    }

    /// The node that has been there for longest. It keeps the state for newcomers.
    pub fn eldest(&self) -> Option<u64> {
        self.iter().min_by_key(|(life, member)| (member.since, *life)).map(|(life, _)| life)
    }

    /// How many listen to a stream on all nodes but this one.
    pub fn elsewhere(&self, stream: &StreamName, own: u64) -> Elsewhere {
        let others = self.iter().filter(|(life, _)| *life != own);
        others.filter_map(|(_, member)| Some((member.name.as_str().into(), *member.counts.get(stream)?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn time_in_which_nobody_could_write_does_not_count() {
        let (mut clock, began) = (Clock::default(), 1000 * SECOND);
        assert_eq!(clock.advance(began), Duration::ZERO);
        assert_eq!((clock.advance(began + SECOND), clock.now), (Duration::ZERO, SECOND));
        assert_eq!(clock.advance(began + 11 * SECOND), 8 * SECOND);
        // Another server's clock.
        assert_eq!(clock.advance(began + 5 * SECOND), Duration::ZERO);
        assert_eq!((clock.now, clock.patient()), (11 * SECOND, 3 * SECOND));
        assert_eq!(clock.advance(began + 6 * SECOND), Duration::ZERO);
        assert_eq!((clock.now, clock.patient()), (12 * SECOND, 4 * SECOND), "it goes on, though that clock is behind");
    }

    #[test]
    fn a_node_is_gone_behind_its_lease_in_the_time_of_the_log() {
        let (mut members, mut clock) = (Members::default(), Clock::default());
        clock.advance(SECOND);
        for (life, name) in [(7, "one"), (3, "other")] {
            members.insert(life, Member { name: name.to_owned(), number: 1, ..Member::default() });
        }
        clock.advance(100 * SECOND);
        assert_eq!(members.silent(&clock, 2 * SECOND), [0; 0], "nobody could write");
        for second in 101..104 {
            clock.advance(second * SECOND);
            members.get_mut(3).unwrap().seen = clock.patient();
        }
        assert_eq!(members.silent(&clock, 4 * SECOND), [7]);
        assert_eq!((members.named("one"), members.eldest()), (Some(7), Some(3)));
    }

    #[test]
    fn a_record_counts_once() {
        let mut members = Members::default();
        let id = |number| RecordId { life: 1, number };
        assert_eq!([1, 2].map(|number| members.standing(id(number))), [Standing::First, Standing::Void]);
        members.insert(1, Member { number: 4, ..Member::default() });
        assert_eq!([4, 5, 6].map(|number| members.standing(id(number))), [Standing::Void, Standing::Next, Standing::Torn]);
    }
}
