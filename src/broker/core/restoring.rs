//! How a broker begins with what another life of it has left.

use std::time::Duration;

use crate::wire::ids::StreamName;
use crate::wire::{Epoch, SessionName};

use super::machine::Core;
use super::saved::{Restored, SavedRun, SavedStream, SavedWill};
use super::sessions::{SESSION, SessionKey};
use super::stream::Ended;
use super::wills::Owner;

impl Core {
    /// Goes on with the clock of another life: its time now, and how long after 1970 that clock began.
    pub fn restore_clock(&mut self, now: Duration, began: Duration) {
        (self.now, self.began) = (now, began);
    }

    /// This broker goes on as if it were the one before: nothing has been lost between.
    pub fn restore_life(&mut self, life: Epoch) {
        self.life = life;
    }

    /// The name of this life.
    pub fn life(&self) -> Epoch {
        self.life
    }

    /// Takes in what another life has left. To be done before anything else happens, and behind the clock. What is more than the limits
    /// allow stays, as it does when limits are lowered.
    pub fn restore(&mut self, restored: Restored) {
        match restored {
            Restored::Stream { name, stream, runs } => self.restore_stream(&name, stream, runs),
            Restored::Session { name, taken } => self.restore_session(&name, taken),
            Restored::Will { name, will } => self.restore_will(&name, will),
        }
    }

    fn restore_stream(&mut self, name: &StreamName, saved: SavedStream, runs: Option<Vec<SavedRun>>) {
        let SavedStream { position, bytes, since, header_at, header, is_old, ended } = saved;
        let is_over = ended.as_ref().is_some_and(|ended| ended.forget_at <= self.now);
        let is_empty = header.is_none() && ended.is_none() && runs.as_ref().is_none_or(Vec::is_empty);
        if is_over || is_empty || self.streams.get(name).is_some() {
            // What is left of it is to be taken back.
            return self.note_gone(name, true);
        }
        // Without its messages nobody can tell how many it has had since: what comes now is another epoch. One that has ended has had none.
        let is_vouched_for = runs.is_some() || ended.is_some();
        let now = self.now;
        let run = &mut self.stream(name).stream.run;
        (run.sequence, run.bytes, run.since, run.header_at) = (position.sequence, bytes, since, header_at);
        (run.is_stored, run.is_old) = (true, is_old);
        if is_vouched_for {
            run.epoch = position.epoch;
        }
        if runs.is_none() {
            // A later header may have been lost, or the one that began the run behind this end.
            run.is_old = true;
            self.note_change(name);
        }
        if let Some(header) = header {
            self.stored += header.cost();
            header.store(&self.queues);
            self.stream(name).stream.header = Some(header);
        }
        if let Some(ended) = ended {
            self.keep_end(name, Ended { forget_at: ended.forget_at, last: ended.last });
        }
        for (frame, at) in runs.into_iter().flatten() {
            if let Some(named) = self.streams.get_named(name).filter(|_| self.past.is_kept()) {
                self.past.keep(named, &frame, Duration::from_secs(at.into()).min(now), &self.queues);
            }
        }
        self.relieve_windows(name);
        if let Some(named) = self.streams.get_named(name).filter(|named| named.stream.is_empty()) {
            // Its past is all that there is of it.
            self.past.list(named, now);
        }
    }

    /// A session of another life, to which its client may come back. It is there already if it has a will.
    fn restore_session(&mut self, name: &SessionName, taken: u64) {
        let left = self.patient_now();
        if !self.sessions.restore_taken(name, taken) && self.sessions.restore(Some(name), Some(taken), left).is_some() {
            self.stored += SESSION;
        }
    }

    /// The session of all those who had none. Its time is that of the first of them.
    pub(super) fn nameless_session(&mut self) -> Option<SessionKey> {
        if self.nameless.is_none() {
            self.nameless = self.enter_session(None);
        }
        self.nameless
    }

    /// A session that nobody holds. Without the number of lines that were taken it is not known to its client, but may have wills.
    fn enter_session(&mut self, name: Option<&SessionName>) -> Option<SessionKey> {
        let left = self.patient_now();
        let key = self.sessions.restore(name, None, left)?;
        self.stored += SESSION;
        Some(key)
    }

    fn restore_will(&mut self, name: &StreamName, SavedWill { session, last }: SavedWill) {
        // Whoever had no session cannot come back as such; it is given the same time to say another will.
        let session = session.as_ref();
        let key = match &session {
            Some(session) => self.sessions.find(session, |_| false).or_else(|| self.enter_session(Some(session))),
            None => self.nameless_session(),
        };
        if let Some(key) = key {
            self.take_back_will(name);
            self.enter_will(name, Owner::Session(key), last, true);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::broker::core::budget::Budget;
    use crate::broker::core::tests::Told;
    use crate::broker::core::{CoreLimits, Epochs, Input};
    use crate::wire::Frame;
    use crate::wire::ids::ConnectionId;
    use crate::wire::json_lines::ENCODER;

    fn session(letter: &str) -> SessionName {
        SessionName::new(&letter.repeat(16)).unwrap()
    }

    /// A core to which somebody listens, with the wills of two sessions that were left at once, as a store hands them over.
    fn restored() -> (Core, Told) {
        let limits =
            CoreLimits { streams: 9, listens: 9, stored: 9000, sessions: 9, session_time: Duration::from_secs(5), ..CoreLimits::default() };
        let (mut core, mut told) = (Core::new(limits, Arc::default(), Epochs::new(0)), Told::default());
        for (name, letter) in [("one", "z"), ("two", "a")] {
            let name = StreamName::new(name).unwrap();
            let last = Frame::lasting(format!("{name}\n").into_bytes().into_boxed_slice(), &ENCODER);
            core.restore(Restored::Will { name: name.clone(), will: SavedWill { session: Some(session(letter)), last } });
            core.handle(ConnectionId(0), Input::Listen { stream: name, start: None, receipt: None }, &mut Budget::unlimited(), &mut told);
        }
        for (letter, taken) in [("a", 1), ("m", 2), ("z", 3)] {
            core.restore(Restored::Session { name: session(letter), taken });
        }
        core.assert_invariants();
        (core, told)
    }

    /// Names of sessions are made at random, and decide nothing.
    #[test]
    fn those_who_do_not_come_back_are_lost_in_the_order_of_the_streams_of_their_wills() {
        let (mut core, mut told) = restored();
        core.set_time(Duration::from_secs(5));
        core.lose_sessions(&mut Budget::unlimited(), &mut told);
        let ends: Vec<&str> = told.0.iter().map(|(_, line)| &**line).collect();
        assert_eq!(ends, ["one\n", "two\n"]);
        assert!(!core.has_lost_session());
        core.assert_invariants();
    }

    #[test]
    fn a_session_that_comes_behind_its_will_is_known() {
        for (letter, taken) in [("a", 1), ("m", 2), ("z", 3)] {
            let (mut core, mut told) = restored();
            let begin = Input::Session { session: session(letter), former: None, receipt: None };
            core.handle(ConnectionId(1), begin, &mut Budget::unlimited(), &mut told);
            let (_, line) = told.0.last().unwrap();
            assert!(line.contains(&format!("\"known\":true,\"taken\":{taken}")), "{line}");
            core.assert_invariants();
        }
    }
}
