//! What a node has to say, in its order. One record is on its way at a time, and what is said meanwhile goes into the next one: so the order
//! survives whatever fails, and records grow as the way gets longer.

use std::collections::VecDeque;

use crate::broker::core::Refusal;
use crate::broker::rows::{Fault, Row};
use crate::broker::space::{Envelope, LARGEST, Log, Op, RecordId};

use super::entry::Entry;

/// What a record says is no more than this, unless one thing alone is.
const FULL: usize = LARGEST / 2;

/// A record on its way.
struct UnderWay {
    id: RecordId,
    /// What it goes on with.
    rest: VecDeque<Vec<u8>>,
    entries: VecDeque<Entry>,
}

/// What a node has to say.
#[derive(Default)]
pub(super) struct Outgoing {
    waiting: VecDeque<Entry>,
    under_way: Option<UnderWay>,
    last: RecordId,
}

impl Outgoing {
    /// Nothing that was said counts any more.
    pub(super) fn begin_life(&mut self, life: u64) {
        self.last = RecordId { life, number: 0 };
    }

    pub(super) fn push(&mut self, entry: Entry) {
        self.waiting.push_back(entry);
    }

    /// This is to be said before all that waits.
    pub(super) fn push_first(&mut self, entry: Entry) {
        self.waiting.push_front(entry);
    }

    /// Whether nothing is on its way, and nothing waits.
    pub(super) fn is_free(&self) -> bool {
        self.under_way.is_none() && self.waiting.is_empty()
    }

    /// Sends the next record, if there is something to say and nothing on its way.
    pub(super) fn send(&mut self, port: &mut dyn Log) {
        if self.under_way.is_some() || self.waiting.is_empty() {
            return;
        }
        let (mut content, mut entries) = (Vec::new(), VecDeque::new());
        while content.len() < FULL {
            let Some(entry) = self.waiting.pop_front() else { break };
            entries.extend(write(entry, &mut content));
        }
        let first = RecordId { number: self.last.number + 1, ..self.last };
        let mut records: VecDeque<_> = Envelope::write(first, &content).into();
        if let Some(record) = records.pop_front() {
            self.last = first;
            self.under_way = Some(UnderWay { id: first, rest: records, entries });
            port.append(first, record);
        }
    }

    /// A record has come back. Returns what waits for it, if it is the last of what was on its way.
    pub(super) fn came_back(&mut self, id: RecordId, port: &mut dyn Log) -> Option<VecDeque<Entry>> {
        let under_way = self.under_way.as_mut().filter(|under_way| under_way.id == id)?;
        if let Some(record) = under_way.rest.pop_front() {
            under_way.id.number += 1;
            self.last = under_way.id;
            port.append(under_way.id, record);
            return None;
        }
        self.under_way.take().map(|under_way| under_way.entries)
    }

    /// Takes out all that has not come back.
    pub(super) fn give_up(&mut self) -> VecDeque<Entry> {
        let mut given_up = self.under_way.take().map_or(VecDeque::new(), |under_way| under_way.entries);
        given_up.append(&mut self.waiting);
        given_up
    }
}

/// Writes what a record says of one thing. Nobody does what cannot be read, so it is refused here.
fn write(entry: Entry, content: &mut Vec<u8>) -> Option<Entry> {
    let Entry::Step(of, op) = entry else { return Some(entry) };
    let start = content.len();
    op.write(content);
    let Err(fault) = read(content.get(start..).unwrap_or_default()) else { return Some(Entry::Step(of, op)) };
    debug_assert!(false, "{fault}: {op:?}");
    content.truncate(start);
    tracing::error!(%fault, "an action cannot be written to the log: this is a bug, please report it");
    match (of, op) {
        (Some(from), Op::Client(_, input)) => Some(Entry::Refused(from, input, Refusal::unwritable())),
        _ => None,
    }
}

/// Whether what is written of one thing can be read.
fn read(written: &[u8]) -> Result<(), Fault> {
    let mut row = Row::new(written);
    Op::read(&mut row)?;
    row.end()
}
