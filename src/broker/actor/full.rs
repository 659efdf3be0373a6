//! Whose outboxes were too full, so that publishers were held back.

use crate::wire::ids::ConnectionId;

/// A set of connections. To ask costs next to nothing, since that is done for each listener of each message.
#[derive(Debug, Default)]
pub(super) struct Full {
    /// Indexed by connection id, up to the highest that was ever in the set.
    marks: Vec<bool>,
    count: usize,
}

impl Full {
    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(super) fn contains(&self, id: ConnectionId) -> bool {
        self.marks.get(id.index()).is_some_and(|mark| *mark)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = ConnectionId> {
        let marked = self.marks.iter().take(if self.is_empty() { 0 } else { self.marks.len() }).enumerate();
        // Ids are u32, so that the index of one fits.
        marked.filter(|(_, mark)| **mark).map(|(index, _)| ConnectionId(index as u32))
    }

    pub(super) fn insert(&mut self, id: ConnectionId) {
        if self.marks.len() <= id.index() {
            self.marks.resize(id.index() + 1, false);
        }
        if !std::mem::replace(&mut self.marks[id.index()], true) {
            self.count += 1;
        }
    }

    pub(super) fn remove(&mut self, id: ConnectionId) {
        if let Some(mark) = self.marks.get_mut(id.index())
            && std::mem::take(mark)
        {
            self.count -= 1;
        }
    }
}
