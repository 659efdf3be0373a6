//! Streams that have neither a header nor an end: a node alone keeps them as long as somebody listens, but nodes do not know each other's
//! listeners. So they stay for a time after the last that was done to them, on all nodes alike. Nodes with listeners say in time that they
//! are to stay. Time in which nobody could write does not count, since nobody could say so then.

use std::time::Duration;

use crate::wire::ids::StreamName;

use super::super::budget::Budget;
use super::super::common::{Common, Shared};
use super::super::input::Deliver;
use super::super::machine::Core;
use super::super::past::seconds;
use super::super::stream::{Run, Stream, millis};
use super::super::table::Named;

impl Shared {
    /// A stream has come into being on all nodes.
    pub(in crate::broker::core) fn list(&mut self, Named { name, stream }: &mut Named, patient: Duration) {
        let second = seconds(patient);
        self.streams += usize::from(!name.is_reserved());
        self.fleeting.insert((second, name.clone()));
        let (elsewhere, was_told) = stream.run.common.take().map(|common| (common.elsewhere, common.is_told)).unwrap_or_default();
        // Of the one before it that was told is yet to be taken back, if it is noted here.
        let is_told = was_told || self.counted.contains(name);
        stream.run.common = Some(Box::new(Common { touched: second, listed: Some(second), elsewhere, is_told, is_over: false }));
    }
}

impl Run {
    /// How many listen to it on other nodes.
    pub(in crate::broker::core) fn elsewhere(&self) -> usize {
        self.common.as_ref().map_or(0, |common| common.elsewhere.iter().map(|(_, count)| *count as usize).sum())
    }
}

impl Run {
    /// Whether it is here only since somebody listens, and not there for all other nodes.
    pub(in crate::broker::core) fn is_over(&self) -> bool {
        self.common.as_ref().is_some_and(|common| common.is_over)
    }
}

impl Core {
    /// Something is done to a stream, which comes into being if it is not there or its time is over.
    pub fn touch(&mut self, name: &StreamName, budget: &mut Budget, deliver: &mut impl Deliver) {
        self.forget_if_over(name);
        if !self.is_there(name) && self.room_for_stream(name, false).is_ok() {
            self.stream(name);
            self.announce(name, budget, deliver);
        }
    }

    /// Something is done to a stream. If its time is over, it is not there any more.
    #[cold]
    pub(in crate::broker::core) fn renew(&mut self, name: &StreamName) {
        let Some(stream) = self.streams.get(name) else { return };
        if self.is_expired(stream) {
            self.expire(name);
        }
        let now = seconds(self.patient_now());
        if let Some(common) = self.streams.get_mut(name).and_then(|stream| stream.run.common.as_mut()) {
            common.touched = now;
        }
    }

    /// A stream has been taken out of the table.
    #[cold]
    pub(in crate::broker::core) fn unlist_fleeting(&mut self, name: &StreamName, stream: &Stream) {
        let (Some(shared), Some(common)) = (&mut self.shared, &stream.run.common) else { return };
        if let Some(listed) = common.listed {
            shared.fleeting.remove(&(listed, name.clone()));
        }
        shared.streams -= usize::from(!common.is_over && !name.is_reserved());
        if !common.is_told {
            // Nobody has heard of its listeners, and nobody has to: names that come and go fast do not pile up.
            shared.counted.remove(name);
        }
    }

    /// Whether the time of a stream is over that has neither a header nor an end.
    pub(super) fn is_expired(&self, Stream { header, run, .. }: &Stream) -> bool {
        let Some((shared, common)) = self.shared.as_ref().zip(run.common.as_ref()) else { return false };
        header.is_none() && run.ended.is_none() && (common.is_over || self.is_past(shared, common.touched))
    }

    fn is_past(&self, shared: &Shared, second: u32) -> bool {
        Duration::from_secs(second.into()) + shared.remember_time <= self.patient_now()
    }

    /// Looks at the stream to which nothing has been done for longest, and forgets it if its time is over. False if there is none
    /// to look at.
    pub(in crate::broker::core) fn expire_first(&mut self) -> bool {
        let Some(shared) = &self.shared else { return false };
        if !shared.fleeting.first().is_some_and(|(second, _)| self.is_past(shared, *second)) {
            return false;
        }
        let Some((_, name)) = self.shared.as_mut().and_then(|shared| shared.fleeting.pop_first()) else { return false };
        let Some(common) = self.streams.get_mut(&name).and_then(|stream| stream.run.common.as_mut()) else { return true };
        common.listed = None;
        let touched = common.touched;
        match self.streams.get(&name) {
            Some(stream) if self.is_expired(stream) => self.expire(&name),
            // It is kept for something else now, and is forgotten with that.
            Some(stream) if stream.header.is_some() || stream.run.ended.is_some() => {}
            _ => self.list_again(&name, touched),
        }
        true
    }

    /// Whether there is a stream whose time may be over.
    pub(in crate::broker::core) fn has_expired(&self) -> bool {
        let Some(shared) = &self.shared else { return false };
        shared.fleeting.first().is_some_and(|(second, _)| self.is_past(shared, *second))
    }

    pub(super) fn list_again(&mut self, name: &StreamName, second: u32) {
        let (Some(shared), Some(stream)) = (&mut self.shared, self.streams.get_mut(name)) else { return };
        if let Some(common) = stream.run.common.as_mut().filter(|common| common.listed.is_none()) {
            common.listed = Some(second);
            shared.fleeting.insert((second, name.clone()));
        }
    }

    /// The time of a stream is over. Those who listen here stay, and hear of the next of its name.
    fn expire(&mut self, name: &StreamName) {
        let Some(stream) = self.streams.get_mut(name) else { return };
        if stream.is_empty() {
            return self.remove(name);
        }
        self.past.clear(&mut stream.run, &self.queues);
        let (Some(shared), Some(common)) = (&mut self.shared, stream.run.common.as_mut()) else { return };
        if let Some(listed) = common.listed.take() {
            shared.fleeting.remove(&(listed, name.clone()));
        }
        shared.streams -= usize::from(!std::mem::replace(&mut common.is_over, true) && !name.is_reserved());
    }

    /// Whether a stream is there, for all nodes.
    pub(in crate::broker::core) fn is_there(&self, name: &StreamName) -> bool {
        self.streams.get(name).is_some_and(|stream| !stream.run.is_over())
    }

    /// A stream comes into being. If it was over on all nodes, and somebody has stayed with it here, it is another one from now on.
    pub(in crate::broker::core) fn bear_again(&mut self, name: &StreamName) {
        if !self.is_applying() || self.is_there(name) {
            return;
        }
        let (epoch, now, patient) = (self.shared_epoch(name), millis(self.now), self.patient_now());
        let (Some(named), Some(shared)) = (self.streams.get_named(name), &mut self.shared) else { return };
        let run = &mut named.stream.run;
        (run.epoch, run.sequence, run.bytes, run.since) = (epoch.unwrap_or(run.epoch), 0, 0, now);
        shared.list(named, patient);
    }

    /// The streams that are to stay since somebody listens to them here, and to which nothing has been done for half of their time. Looks at
    /// no more than `most`, behind `at`; returns where it has come to, or none if there are no more.
    pub fn to_touch(&self, at: Option<(u32, StreamName)>, most: usize, wanted: &mut Vec<StreamName>) -> Option<(u32, StreamName)> {
        let shared = self.shared.as_ref()?;
        let due = seconds(self.patient_now().saturating_sub(shared.remember_time / 2));
        let from = at.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        let mut looked = shared.fleeting.range((from, std::ops::Bound::Unbounded)).take_while(|(second, _)| *second <= due);
        let mut last = None;
        for place in looked.by_ref().take(most) {
            let stream = self.streams.get(&place.1);
            let is_wanted = |stream: &Stream| {
                let is_due = stream.run.common.as_ref().is_some_and(|common| common.touched <= due);
                is_due && !stream.is_empty() && stream.header.is_none() && stream.run.ended.is_none()
            };
            wanted.extend(stream.filter(|stream| is_wanted(stream)).map(|_| place.1.clone()));
            last = Some(place.clone());
        }
        last.filter(|_| looked.next().is_some())
    }
}
