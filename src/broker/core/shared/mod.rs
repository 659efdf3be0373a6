//! What is different where several nodes have one space of streams.
//!
//! What they have in common follows from the records of one log, and from nothing else, so that it is the same on all of them: which streams
//! there are, their headers, ends, epochs and positions, wills and sessions. Who listens is each node's own, and so are windows.
//! So time is that of the log, epochs are made of places in it, and a stream stays for a time after the last that was done to it,
//! whoever listens.

mod fleeting;
mod restoring;

use std::collections::BTreeSet;
use std::time::Duration;

use crate::wire::ids::{ConnectionId, StreamName};
use crate::wire::{Epoch, Position};

use super::budget::{Budget, FORGET};
use super::common::{Elsewhere, Shared};
use super::directory;
use super::input::{Deliver, Input};
use super::machine::{Core, CoreLimits, Refused};
use super::parts::Parts;
use super::saved::SharedLimits;
use super::stream::{ENDED, LISTENER};
use super::wills::{Owner, place};

impl SharedLimits {
    /// What of a broker's limits all nodes have in common.
    pub fn of(limits: &CoreLimits) -> Self {
        let CoreLimits { streams, sessions, ended_time, session_time, replay, .. } = limits;
        Self {
            streams: *streams as u64,
            sessions: *sessions as u64,
            ended_time: *ended_time,
            session_time: *session_time,
            remember_time: replay.time.max(LEAST_REMEMBERED),
        }
    }
}

/// What nobody listens to is remembered for this long at least, so that nodes have the time to say that somebody does.
const LEAST_REMEMBERED: Duration = Duration::from_secs(60);

impl Core {
    /// The core is that of a node of this name. To be called before anything else happens.
    pub fn share(&mut self, log: u64, node: &str) {
        debug_assert!(self.streams.len() == 0, "what there is already is not in the log");
        self.life = Epoch::new(mix(log));
        self.shared = Some(Box::new(Shared {
            log,
            node: node.into(),
            sequence: 0,
            step: 0,
            applying: false,
            remember_time: Duration::ZERO,
            fleeting: BTreeSet::new(),
            streams: 0,
            counted: BTreeSet::new(),
        }));
    }

    /// Keeps to these limits from now on, as all nodes do.
    pub fn set_shared_limits(&mut self, limits: &SharedLimits) {
        let most = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        (self.limits.streams, self.limits.sessions) = (most(limits.streams), most(limits.sessions));
        (self.limits.ended_time, self.limits.session_time) = (limits.ended_time, limits.session_time);
        // What is over by the former settings is over, also where nobody has had the time to forget it.
        while self.shared.as_ref().is_some_and(|shared| shared.remember_time < limits.remember_time) && self.expire_first() {}
        if let Some(shared) = &mut self.shared {
            shared.remember_time = limits.remember_time;
        }
    }

    /// A record begins, at this time of the log. What is over by then has to be lost before anything of it is done:
    /// see [`lose_sessions`](Self::lose_sessions).
    pub fn begin_record(&mut self, sequence: u64, now: Duration) {
        self.now = self.now.max(now);
        if let Some(shared) = &mut self.shared {
            (shared.sequence, shared.step, shared.applying) = (sequence, 0, true);
        }
    }

    /// The next of what a record says is to be done. All nodes call this as often for each record.
    pub fn next_step(&mut self) {
        if let Some(shared) = &mut self.shared {
            shared.step += 1;
            shared.applying = true;
        }
    }

    /// What follows goes on with what was begun of a record.
    pub fn enter_log(&mut self) {
        if let Some(shared) = &mut self.shared {
            shared.applying = true;
        }
    }

    /// What follows is not in the log, and changes nothing that nodes have in common.
    pub fn leave_log(&mut self) {
        if let Some(shared) = &mut self.shared {
            shared.applying = false;
        }
    }

    /// Whether what is done now has to be done on all nodes alike.
    pub(super) fn is_applying(&self) -> bool {
        self.shared.as_ref().is_some_and(|shared| shared.applying)
    }

    /// The epoch of a run that begins now, if all nodes have its stream.
    pub(super) fn shared_epoch(&self, name: &StreamName) -> Option<Epoch> {
        let Shared { log, sequence, step, .. } = &**self.shared.as_ref().filter(|_| !directory::is_entry(name))?;
        let text =
            name.as_str().bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
        let place = [*log, *sequence, u64::from(*step), text];
        Some(Epoch::new(place.into_iter().fold(0, |mixed, number| mix(mixed ^ number))))
    }

    /// Why an action of a client cannot be taken, for lack of room here. To be asked before it goes into the log: from there on all nodes
    /// have to take it.
    pub fn refusal(&mut self, from: ConnectionId, input: &Input) -> Option<Refusal> {
        let room = match input {
            Input::Header { stream, header, .. } => self.room_for_header(stream, header.cost()),
            Input::Put { stream, extras, .. } => {
                let largest = extras.iter().filter_map(|extra| extra.header.as_ref()).map(|header| header.cost()).max();
                largest.map_or(Ok(()), |largest| self.room_for_header(stream, largest))
            }
            Input::Close { stream, .. } if self.streams.get(stream).is_none() => self.room_to_keep(stream, false, ENDED),
            Input::Will { stream, last: Some(last), .. } => {
                let before = self.wills.get(stream).map_or(0, |will| place(stream) + will.last.cost());
                self.room_for(Some(stream), (place(stream) + last.cost()).saturating_sub(before))
            }
            Input::Session { .. } if self.sessions.held_by(from).is_none() => self.room_for(None, super::sessions::SESSION),
            _ => Ok(()),
        };
        room.err().map(Refusal)
    }

    /// Whether there is room here for one more stream, which is to be on all nodes.
    pub fn has_room_to_touch(&mut self, name: &StreamName) -> bool {
        self.streams.get(name).is_some() || self.room_to_keep(name, false, LISTENER).is_ok()
    }

    fn room_for_header(&mut self, name: &StreamName, cost: usize) -> Result<(), Refused> {
        let stream = self.streams.get(name);
        let before = stream.and_then(|stream| stream.header.as_ref()).map_or(0, |header| header.cost());
        let known = stream.is_some();
        self.room_to_keep(name, known, cost.saturating_sub(before))
    }

    /// Refuses an action for a reason that was found before it went into the log.
    pub fn refuse(&self, from: ConnectionId, input: &Input, Refusal(refused): &Refusal, deliver: &mut impl Deliver) {
        let (stream, receipt) = match input {
            Input::Header { stream, receipt, .. } | Input::Close { stream, receipt, .. } | Input::Will { stream, receipt, .. } => {
                (Some(stream), receipt.as_ref())
            }
            Input::Put { stream, extras, .. } => (Some(stream), extras.first().and_then(|extra| extra.receipt.as_ref())),
            Input::Session { receipt, .. } => (None, receipt.as_ref()),
            _ => (None, None),
        };
        super::machine::refuse(from, refused, stream, receipt, deliver);
    }

    /// The messages of a run one by one, since not all of them can be taken.
    pub fn apart(input: Input) -> Vec<Input> {
        match input {
            Input::Put { stream, run, of, extras } if run.messages() > 1 => {
                let mut parts = Parts::new(&stream, &run, extras);
                std::iter::from_fn(|| parts.next()).map(|part| part.of(of)).collect()
            }
            input => vec![input],
        }
    }

    /// Whether the stream is one that all nodes have: then a connection can join it at once.
    pub fn is_common(&self, name: &StreamName) -> bool {
        directory::is_entry(name) || self.streams.get(name).is_some_and(|stream| !self.is_forgettable(stream) && !self.is_expired(stream))
    }

    /// Whether a stream is in the run of this position, and has come as far.
    pub fn has_had(&self, name: &StreamName, Position { epoch, sequence }: Position) -> bool {
        self.streams.get(name).is_some_and(|stream| stream.run.epoch == epoch && stream.run.sequence >= sequence)
    }

    /// A connection's node is gone: whoever it was may come back to another one. False if the budget was spent before that.
    pub fn depart(&mut self, connection: ConnectionId, budget: &mut Budget) -> bool {
        let done = self.hand_on(Owner::Connection(connection), budget);
        if done {
            self.sessions.leave(connection, self.patient_now());
        }
        done
    }

    /// Those who have no session and depart from now on are given their time together.
    pub fn begin_departing(&mut self) {
        self.nameless = None;
    }

    /// So many listen to a stream on other nodes.
    pub fn set_elsewhere(&mut self, name: &StreamName, listeners: Elsewhere) {
        if let Some(common) = self.streams.get_mut(name).and_then(|stream| stream.run.common.as_mut())
            && common.elsewhere != listeners
        {
            common.elsewhere = listeners;
            self.directory.note(name);
        }
    }

    /// The number of a stream's listeners may have changed.
    #[inline]
    pub(super) fn note_listeners(&mut self, name: &StreamName) {
        if self.shared.is_some() {
            self.note_shared_listeners(name);
        }
    }

    /// A broker on its own never comes here.
    #[cold]
    fn note_shared_listeners(&mut self, name: &StreamName) {
        if let Some(shared) = self.shared.as_mut().filter(|_| !directory::is_entry(name)) {
            shared.counted.insert(name.clone());
        }
    }

    /// Nothing is known any more of what was told of listeners here.
    pub fn count_again(&mut self) {
        let listened = self.streams.iter().filter(|named| !named.stream.listeners.is_empty() && !directory::is_entry(&named.name));
        if let Some(shared) = &mut self.shared {
            shared.counted.extend(listened.map(|named| named.name.clone()));
        }
    }

    /// A stream whose number of listeners has changed since this was last asked, and how many there are now.
    pub fn next_count(&mut self) -> Option<(StreamName, u32)> {
        let name = self.shared.as_mut()?.counted.pop_first()?;
        let Some(stream) = self.streams.get_mut(&name) else { return Some((name, 0)) };
        let count = stream.listeners.len();
        if let Some(common) = &mut stream.run.common {
            common.is_told = count > 0;
        }
        Some((name, u32::try_from(count).unwrap_or(u32::MAX)))
    }

    /// Whether the number of any stream's listeners has changed.
    pub fn has_counts(&self) -> bool {
        self.shared.as_ref().is_some_and(|shared| !shared.counted.is_empty())
    }

    /// Whether there may be one more stream, if that is for all nodes to decide. Streams whose time is over take no room.
    #[cold]
    pub(super) fn has_shared_room(&mut self, name: &StreamName) -> bool {
        let most = self.limits.streams;
        let count = |core: &Self| core.shared.as_ref().map_or(0, |shared| shared.streams);
        if directory::is_entry(name) {
            // They are this node's own.
            return self.streams.len().saturating_sub(count(self)) < most;
        }
        if !self.is_applying() {
            // Nothing comes into being here that other nodes do not know.
            return false;
        }
        if name.is_reserved() {
            // Those that tell of nodes take nobody's room.
            return true;
        }
        while count(self) >= most && (self.forget_first() || self.expire_first()) {}
        count(self) < most
    }

    /// What must hold of what nodes have in common.
    #[cfg(test)]
    pub fn assert_common(&self) {
        let Some(shared) = &self.shared else { return };
        let common = self.streams.iter().filter_map(|named| Some((&named.name, named.stream.run.common.as_ref()?)));
        let (mut count, mut listed) = (0, 0);
        for (name, common) in common {
            count += usize::from(!common.is_over && !name.is_reserved());
            if let Some(second) = common.listed {
                assert!(shared.fleeting.contains(&(second, name.clone())), "{name} is not listed");
                listed += 1;
            }
        }
        assert_eq!((count, listed), (shared.streams, shared.fleeting.len()), "streams are miscounted");
        self.sessions.assert_invariants();
        self.wills.assert_invariants();
    }

    /// Forgets what nobody can ask for any more, for the sake of memory: it cannot be seen.
    pub(super) fn forget_fleeting(&mut self, budget: &mut Budget) {
        while !budget.is_spent() && self.expire_first() {
            budget.spend(FORGET);
        }
    }
}

/// Why an action was not taken.
pub struct Refusal(Refused);

impl Refusal {
    /// A message is for a stream for which there was no room here, and that others have made meanwhile.
    pub fn no_room() -> Self {
        Self(Refused::limit(
            "this node had no room for one more stream (limits.headers_total), so nobody was given the message; send it again, or raise the limit".to_owned(),
        ))
    }

    /// It cannot be said to other nodes.
    pub fn unwritable() -> Self {
        Self(Refused::limit("this node cannot pass it on to the others, so nothing was done; please report it".to_owned()))
    }
}

/// SplitMix64: numbers that follow one another come out as if drawn at random.
fn mix(number: u64) -> u64 {
    let mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}
