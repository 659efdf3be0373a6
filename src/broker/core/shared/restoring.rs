//! What nodes have in common, in values: for a node that comes later, and did not read the log from its beginning.

use std::time::Duration;

use crate::wire::ids::StreamName;

use super::super::machine::Core;
use super::super::saved::{SavedCommon, SavedOwner, SavedSession, SavedShared, SavedStream};
use super::super::saving::saved;
use super::super::sessions::{SESSION, SessionKey};
use super::super::stream::Ended;
use super::super::table::PARTS;
use super::super::wills::Owner;

impl Core {
    /// Some of the streams that all nodes have: those of one of so many [parts](Self::PARTS).
    pub fn common_names(&self, part: usize) -> Vec<StreamName> {
        self.streams.names(part)
    }

    /// How many parts the streams have.
    pub const PARTS: usize = PARTS;

    /// A stream, if all nodes have it.
    pub fn saved_common(&self, name: &StreamName) -> Option<SavedCommon> {
        let stream = self.streams.get(name)?;
        let common = stream.run.common.as_ref()?;
        let is_over = self.is_forgettable(stream) || self.is_expired(stream);
        let runs = stream.run.window.as_ref().map_or(Vec::new(), |window| window.runs().collect());
        (!is_over).then(|| SavedCommon { name: name.clone(), stream: saved(stream), touched: common.touched, runs })
    }

    /// What there is beside streams.
    pub fn saved_shared(&self) -> SavedShared {
        let (keys, sessions): (Vec<SessionKey>, Vec<_>) = self.sessions.saved().unzip();
        let owner = |owner: Owner| match owner {
            Owner::Connection(id) => Some(SavedOwner::Connection(id)),
            Owner::Session(key) => keys.binary_search(&key).ok().map(SavedOwner::Session),
        };
        let wills = self.wills.iter().filter_map(|(name, will)| Some((name.clone(), owner(will.owner)?, will.last.clone()))).collect();
        let fenced = self.sessions.fenced().collect();
        SavedShared { now: self.now, began: self.began, late: self.late, sessions, wills, fenced }
    }

    /// Takes in a stream. To be done before anything else, and behind [`restore_shared`](Self::restore_shared).
    pub fn restore_common(&mut self, SavedCommon { name, stream: saved, touched, runs }: SavedCommon) {
        let SavedStream { position, bytes, since, header_at, header, is_old: _, ended } = saved;
        self.stream(&name);
        let Some(stream) = self.streams.get_mut(&name) else { return };
        let run = &mut stream.run;
        (run.epoch, run.sequence, run.bytes, run.since, run.header_at) = (position.epoch, position.sequence, bytes, since, header_at);
        if let (Some(shared), Some(common)) = (&mut self.shared, &mut run.common) {
            common.touched = touched;
            // Its time runs from there, as on all other nodes.
            if let Some(listed) = common.listed.replace(touched) {
                shared.fleeting.remove(&(listed, name.clone()));
                shared.fleeting.insert((touched, name.clone()));
            }
        }
        if let Some(header) = header {
            self.stored += header.cost();
            header.store(&self.queues);
            stream.header = Some(header);
        }
        if let Some(ended) = ended {
            self.keep_end(&name, Ended { forget_at: ended.forget_at, last: ended.last });
        }
        let now = self.now;
        for (frame, at) in runs {
            if let Some(named) = self.streams.get_named(&name).filter(|_| self.past.is_kept()) {
                self.past.keep(named, &frame, Duration::from_secs(at.into()).min(now), &self.queues);
            }
        }
        self.relieve_windows(&name);
    }

    /// Takes in what there is beside streams.
    pub fn restore_shared(&mut self, saved: SavedShared) {
        (self.now, self.began, self.late) = (saved.now, saved.began, saved.late);
        let keys: Vec<_> = saved.sessions.into_iter().filter_map(|session| self.restore_held(session)).collect();
        for (name, owner, last) in saved.wills {
            let owner = match owner {
                SavedOwner::Connection(id) => Some(Owner::Connection(id)),
                SavedOwner::Session(place) => keys.get(place).copied().map(Owner::Session),
            };
            if let Some(owner) = owner {
                self.enter_will(&name, owner, last, false);
            }
        }
        saved.fenced.into_iter().for_each(|id| self.sessions.fence(id));
    }

    fn restore_held(&mut self, SavedSession { name, taken, holder }: SavedSession) -> Option<SessionKey> {
        let key = self.sessions.restore(name.as_ref(), taken, holder.err().unwrap_or_default())?;
        self.stored += SESSION;
        if let Ok(holder) = holder {
            self.sessions.hold(key, holder);
        }
        Some(key)
    }
}
