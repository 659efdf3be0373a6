//! Whose work is next. Pure: it knows ids and costs, and not what the work is.
//!
//! Connections share the actor as start-time fair queueing has it. Each has a tag, which grows with what its work has cost;
//! the smallest tag is next, and the tag of the one being served is the virtual time. A connection that comes after a pause
//! starts at the virtual time, so nobody saves up a claim. One whose tag is not beyond it has had less than its share: it is
//! *light*, and is served before any other kind of work.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use crate::wire::ids::ConnectionId;

/// Emptied flows that are kept for reuse.
const SPARE: usize = 64;

/// The work that waits, by connection.
#[derive(Debug)]
pub(super) struct Agenda<W> {
    /// Indexed by connection id; none while a connection has nothing to do.
    flows: Vec<Option<Box<Flow<W>>>>,
    /// The tags that connections had when they were last served.
    tags: Vec<u64>,
    /// Who can be served: tag, arrival and connection.
    ready: BinaryHeap<Reverse<(u64, u64, ConnectionId)>>,
    virtual_time: u64,
    arrivals: u64,
    #[expect(clippy::vec_box, reason = "they are moved as boxes")]
    spare: Vec<Box<Flow<W>>>,
}

/// What a connection's work may wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Awaits {
    /// Room in the connection's own queue, for what it asked for.
    Room,
    /// A translation.
    Translation,
    /// What it has said to come back from the log.
    Log,
}

/// How far work has come.
#[derive(Debug)]
pub(super) struct Progress {
    pub(super) done: bool,
    /// What is to be there before anything else is done for this connection.
    pub(super) awaits: Option<Awaits>,
}

/// The work of one connection, in its order.
#[derive(Debug)]
pub(super) struct Flow<W> {
    pub(super) work: VecDeque<W>,
    /// Where it started when it was taken.
    tag: u64,
    /// What it waits for beside its turn.
    awaits: Option<Awaits>,
    /// It comes after a pause and has had no more than its share: what it does first waits for nobody.
    pub(super) fresh: bool,
}

impl<W> Default for Agenda<W> {
    fn default() -> Self {
        Self { flows: Vec::new(), tags: Vec::new(), ready: BinaryHeap::new(), virtual_time: 0, arrivals: 0, spare: Vec::new() }
    }
}

impl<W> Agenda<W> {
    /// Whether nobody can be served now.
    pub(super) fn is_empty(&self) -> bool {
        self.ready.is_empty()
    }

    /// Adds work behind what the connection has already.
    pub(super) fn add(&mut self, id: ConnectionId, work: W) {
        if self.flows.len() <= id.index() {
            self.flows.resize_with(id.index() + 1, || None);
            self.tags.resize(id.index() + 1, 0);
        }
        if let Some(flow) = &mut self.flows[id.index()] {
            flow.work.push_back(work);
            return;
        }
        let mut flow = self.spare.pop().unwrap_or_else(|| Box::new(Flow { work: VecDeque::new(), tag: 0, awaits: None, fresh: true }));
        flow.work.push_back(work);
        flow.fresh = self.tags[id.index()] <= self.virtual_time;
        self.flows[id.index()] = Some(flow);
        self.enter(id);
    }

    /// Time is spent on what is nobody's own work.
    pub(super) fn pass(&mut self, cost: usize) {
        self.virtual_time = self.virtual_time.saturating_add(cost as u64);
    }

    /// Takes the next connection's work out, if that connection is light.
    pub(super) fn take_light(&mut self) -> Option<(ConnectionId, Box<Flow<W>>)> {
        let Reverse((tag, ..)) = self.ready.peek()?;
        if *tag > self.virtual_time { None } else { self.take() }
    }

    /// Takes the next connection's work out. It is to be put back.
    pub(super) fn take(&mut self) -> Option<(ConnectionId, Box<Flow<W>>)> {
        let Reverse((tag, _, id)) = self.ready.pop()?;
        let mut flow = self.flows[id.index()].take()?;
        self.virtual_time = self.virtual_time.max(tag);
        flow.tag = tag;
        Some((id, flow))
    }

    /// Puts back what was taken, after work that has cost so much.
    pub(super) fn put_back(&mut self, id: ConnectionId, mut flow: Box<Flow<W>>, cost: usize) {
        flow.fresh = false;
        self.tags[id.index()] = flow.tag.saturating_add(cost as u64);
        if flow.work.is_empty() && flow.awaits.is_none() {
            if self.spare.len() < SPARE {
                self.spare.push(flow);
            }
            if self.ready.is_empty() {
                // Nobody is waiting, so nobody's share is smaller for what this one took.
                self.virtual_time = self.virtual_time.max(self.tags[id.index()]);
            }
            return;
        }
        let awaits = flow.awaits;
        self.flows[id.index()] = Some(flow);
        if awaits.is_none() {
            self.enter(id);
        }
    }

    /// What a connection waited for is there. Nothing happens if it waits for something else, or for nothing.
    pub(super) fn resume(&mut self, id: ConnectionId, awaited: Awaits) {
        let Some(flow) = self.flows.get_mut(id.index()).and_then(Option::as_mut) else { return };
        if flow.awaits.take_if(|awaits| *awaits == awaited).is_some() {
            self.enter(id);
        }
    }

    /// Whether a connection waits for something else than its turn.
    pub(super) fn waits(&self, id: ConnectionId) -> bool {
        self.flows.get(id.index()).and_then(Option::as_ref).is_some_and(|flow| flow.waits())
    }

    /// What a connection is to do first.
    pub(super) fn first(&mut self, id: ConnectionId) -> Option<&mut W> {
        self.flows.get_mut(id.index())?.as_mut()?.work.front_mut()
    }

    /// Nobody is to wait for room any more.
    pub(super) fn resume_all(&mut self) {
        for index in 0..self.flows.len() {
            // Ids are u32, so that the index of one fits.
            self.resume(ConnectionId(index as u32), Awaits::Room);
        }
    }

    fn enter(&mut self, id: ConnectionId) {
        let tag = self.tags[id.index()].max(self.virtual_time);
        self.arrivals += 1;
        self.ready.push(Reverse((tag, self.arrivals, id)));
    }
}

impl<W> Flow<W> {
    /// Whether it waits for something else than its turn.
    pub(super) fn waits(&self) -> bool {
        self.awaits.is_some()
    }

    /// The connection is to wait for this when it is put back.
    pub(super) fn pause(&mut self, awaits: Awaits) {
        self.awaits = Some(awaits);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u32) -> ConnectionId {
        ConnectionId(number)
    }

    /// Serves one piece of work that costs so much; returns whose it was.
    fn serve(agenda: &mut Agenda<u32>, cost: usize) -> Option<u32> {
        let (id, mut flow) = agenda.take()?;
        flow.work.pop_front();
        agenda.put_back(id, flow, cost);
        Some(id.0)
    }

    #[test]
    fn whoever_cost_less_is_next() {
        let mut agenda = Agenda::default();
        for number in 0..3 {
            (0..4).for_each(|work| agenda.add(id(number), work));
        }
        // Connection 0 is four times as costly.
        let served: Vec<_> = std::iter::from_fn(|| {
            let Reverse((_, _, next)) = agenda.ready.peek()?;
            let cost = if *next == id(0) { 40 } else { 10 };
            serve(&mut agenda, cost)
        })
        .collect();
        assert_eq!(served, [0, 1, 2, 1, 2, 1, 2, 1, 2, 0, 0, 0]);
        assert!(agenda.is_empty());
    }

    #[test]
    fn one_that_was_away_is_light_and_has_saved_nothing_up() {
        let mut agenda = Agenda::default();
        (0..10).for_each(|work| agenda.add(id(0), work));
        for _ in 0..5 {
            serve(&mut agenda, 1000);
        }
        assert!(agenda.take_light().is_none(), "the only one there had its share");
        (0..10).for_each(|work| agenda.add(id(1), work));
        let (light, mut flow) = agenda.take_light().unwrap();
        assert_eq!(light, id(1));
        flow.work.pop_front();
        agenda.put_back(light, flow, 100);
        assert!(agenda.take_light().is_none(), "it has had its share, too");
        // From now on they take turns by cost.
        let served: Vec<_> = (0..12).filter_map(|_| serve(&mut agenda, 1000)).collect();
        assert_eq!(served, [1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 1]);
    }

    #[test]
    fn one_that_waits_is_passed_over_until_it_is_resumed() {
        let mut agenda = Agenda::default();
        agenda.add(id(0), 1);
        let (first, mut flow) = agenda.take().unwrap();
        flow.pause(Awaits::Room);
        agenda.put_back(first, flow, 10);
        assert!(agenda.is_empty());
        agenda.add(id(0), 2);
        assert!(agenda.is_empty(), "more work does not end the wait");
        agenda.resume(id(0), Awaits::Translation);
        assert!(agenda.is_empty(), "nor does what it does not wait for");
        assert_eq!(agenda.first(id(0)), Some(&mut 1));
        agenda.resume(id(0), Awaits::Room);
        agenda.resume(id(0), Awaits::Room);
        agenda.resume(id(7), Awaits::Room);
        assert_eq!([serve(&mut agenda, 1), serve(&mut agenda, 1), serve(&mut agenda, 1)], [Some(0), Some(0), None]);
    }
}
