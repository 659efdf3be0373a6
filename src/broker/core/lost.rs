//! Sessions and wills: who speaks for a session, who is lost, and how the streams of the lost end.

use std::time::Duration;

use crate::wire::ids::{ConnectionId, StreamName};
use crate::wire::{ErrorCode, Event, Frame, ReceiptId, SessionName};

use super::budget::{Budget, INPUT};
use super::input::{Deliver, Input};
use super::machine::{Comes, Core, Refused, refuse};
use super::sessions::{SESSION, SessionKey, Standing};
use super::wills::{Owner, Will, place};

impl Core {
    /// Whether the connection's session belongs to another one now: nothing that it sent is to be taken any more.
    pub fn is_fenced(&self, connection: ConnectionId) -> bool {
        self.sessions.standing(connection) == Standing::Fenced
    }

    /// So many lines of the connection have taken effect or been refused.
    pub fn taken(&mut self, connection: ConnectionId, lines: u64) {
        self.sessions.count(connection, lines);
    }

    /// Gives a session to a connection. The one that had it is fenced, and taken out of all lists before this is answered.
    pub(super) fn session(
        &mut self,
        from: ConnectionId,
        name: SessionName,
        former: Option<ConnectionId>,
        receipt: Option<ReceiptId>,
        budget: &mut Budget,
        deliver: &mut impl Deliver,
    ) -> Option<Input> {
        let (known, former) = match former {
            // It goes on: one that had the session was there.
            Some(former) => (true, Some(former)),
            None => match self.begin_session(from, &name, deliver) {
                Ok(begun) => begun,
                Err(refused) => {
                    refuse(from, &refused, None, receipt.as_ref(), deliver);
                    return None;
                }
            },
        };
        // Its id may have been given to another connection meanwhile.
        let former = former.filter(|former| self.is_fenced(*former));
        if former.is_some_and(|former| !self.hang_up_all(former, Comes::Perhaps, budget)) {
            return Some(Input::Session { session: name, former, receipt });
        }
        let (taken, broker) = (self.sessions.taken(from), self.life);
        deliver.event(from, &Event::Session { session: &name, known, taken, broker, receipt: receipt.as_ref() });
        None
    }

    /// Returns whether the session was known, and the connection that it was taken from.
    fn begin_session(
        &mut self,
        from: ConnectionId,
        name: &SessionName,
        deliver: &mut impl Deliver,
    ) -> Result<(bool, Option<ConnectionId>), Refused> {
        let (now, time) = (self.patient_now(), self.limits.session_time);
        let key = self.sessions.find(name, |since| since + time <= now);
        let known = key.is_some_and(|key| self.sessions.vouch_for(key));
        if key.is_none() {
            self.room_for_session()?;
            self.stored += SESSION;
        }
        let former = self.sessions.take_over(key, name, from);
        if let Some(former) = former {
            deliver.end(former, ErrorCode::TakenOver, "another connection has taken this session over; it goes on there");
        }
        Ok((known, former))
    }

    fn room_for_session(&mut self) -> Result<(), Refused> {
        let most = self.limits.sessions;
        if self.sessions.len() >= most {
            return Err(Refused::limit(format!(
                "there are {most} sessions, the most allowed (limits.sessions); go on without one, or raise the limit"
            )));
        }
        self.room_for(None, SESSION)
    }

    /// Sets or takes back the will of a client for a stream.
    pub(super) fn will(&mut self, from: ConnectionId, name: &StreamName, last: Option<Frame>) -> Result<(), Refused> {
        let owner = self.owner(from);
        let Some(last) = last else {
            // Another's will is not taken back, as that of a job which goes on where this one was.
            if self.wills.get(name).is_some_and(|will| will.owner == owner) {
                self.take_back_will(name);
            }
            return Ok(());
        };
        let place = place(name) + self.changes.place();
        let before = self.wills.get(name).map_or(0, |will| place + will.last.cost());
        self.room_for(Some(name), (place + last.cost()).saturating_sub(before))?;
        self.take_back_will(name);
        self.enter_will(name, owner, last, false);
        self.changes.note(name, false);
        Ok(())
    }

    fn owner(&self, connection: ConnectionId) -> Owner {
        self.sessions.held_by(connection).map_or(Owner::Connection(connection), Owner::Session)
    }

    /// The stream has no will any more, whosever it was. Returns the end that it would have had.
    pub(super) fn take_back_will(&mut self, name: &StreamName) -> Option<Frame> {
        let Will { last, is_stored, .. } = self.wills.remove(name)?;
        self.stored -= place(name) + self.changes.place();
        self.let_go(&last);
        if self.changes.is_kept() {
            self.note_gone(name, is_stored);
        }
        Some(last)
    }

    /// Enters the will of a stream that has none.
    pub(super) fn enter_will(&mut self, name: &StreamName, owner: Owner, last: Frame, is_stored: bool) {
        self.stored += place(name) + self.changes.place() + last.cost();
        last.store(&self.queues);
        self.wills.insert(name, Will { owner, last, is_stored });
    }

    /// The connection ends as it has said: so does its session, and nobody's will takes effect. False if the budget was spent before
    /// that; then it is to be called again.
    pub(super) fn retire(&mut self, connection: ConnectionId, budget: &mut Budget) -> bool {
        let owner = self.owner(connection);
        while let Some(name) = self.wills.first_of(owner).cloned() {
            budget.spend(INPUT);
            self.take_back_will(&name);
            if budget.is_spent() {
                return false;
            }
        }
        if let Owner::Session(key) = owner {
            self.forget_session(key);
        }
        true
    }

    /// The connection has ended, whether it said so before or not. If it was lost without a session, its wills take effect. False if the
    /// budget was spent before that; then it is to be called again.
    pub fn lose(&mut self, connection: ConnectionId, budget: &mut Budget, deliver: &mut impl Deliver) -> bool {
        let owner = Owner::Connection(connection);
        let done =
            if self.is_stopping && self.changes.is_kept() { self.hand_on(owner, budget) } else { self.carry_out(owner, budget, deliver) };
        done && {
            self.sessions.leave(connection, self.patient_now());
            true
        }
    }

    /// From now on nobody is lost: the broker itself ends the connections.
    pub fn stop(&mut self) {
        self.is_stopping = true;
    }

    /// Forgets the sessions to which no connection came back in time, and carries out their wills, as far as the budget goes.
    pub fn lose_sessions(&mut self, budget: &mut Budget, deliver: &mut impl Deliver) {
        while let Some(key) = self.first_lost_session() {
            if !self.carry_out(Owner::Session(key), budget, deliver) {
                return;
            }
            budget.spend(INPUT);
            self.forget_session(key);
            if budget.is_spent() {
                return;
            }
        }
    }

    /// Whether there is a session whose time is over.
    pub fn has_lost_session(&self) -> bool {
        self.first_lost_session().is_some()
    }

    /// How long it is until the wills of a session may take effect: somebody has to wake the core then.
    pub fn next_loss(&self) -> Option<Duration> {
        // The log has a clock of its own.
        if self.wills.is_empty() || self.is_stopping || self.shared.is_some() {
            return None;
        }
        self.sessions.first_left().map(|(since, _)| (since + self.limits.session_time).saturating_sub(self.patient_now()))
    }

    /// So much of the time was one in which nobody could come back, since the broker did not run.
    pub fn forgive(&mut self, late: Duration) {
        self.late += late;
    }

    /// The time in which somebody could have come back.
    pub(super) fn patient_now(&self) -> Duration {
        self.now.saturating_sub(self.late)
    }

    fn first_lost_session(&self) -> Option<SessionKey> {
        let (since, key) = self.sessions.first_left()?;
        (since + self.limits.session_time <= self.patient_now() && !self.is_stopping).then_some(key)
    }

    fn forget_session(&mut self, key: SessionKey) {
        self.sessions.forget(key);
        self.nameless = self.nameless.filter(|nameless| *nameless != key);
        self.stored -= SESSION;
    }

    /// The broker stops, and another life of it goes on with the wills of one who cannot come back as such. False if the budget was spent
    /// before that.
    pub(super) fn hand_on(&mut self, owner: Owner, budget: &mut Budget) -> bool {
        while let Some(name) = self.wills.first_of(owner).cloned() {
            let Some(key) = self.nameless_session() else { return true };
            if let Some(will) = self.wills.remove(&name) {
                self.wills.insert(&name, Will { owner: Owner::Session(key), ..will });
            }
            budget.spend(INPUT);
            if budget.is_spent() {
                return false;
            }
        }
        true
    }

    /// Ends the streams that the owner has wills for. False if the budget was spent before that.
    fn carry_out(&mut self, owner: Owner, budget: &mut Budget, deliver: &mut impl Deliver) -> bool {
        while let Some(name) = self.wills.first_of(owner).cloned() {
            let last = self.take_back_will(&name);
            self.forget_if_over(&name);
            // One that has ended since the will was said has none. So this one had ended before: the run that was to be has not begun.
            let has_ended = self.streams.get(&name).is_some_and(|stream| stream.run.ended.is_some());
            if let Some(last) = last.filter(|_| !self.is_stopping && !has_ended) {
                budget.spend(INPUT);
                // Refused only for a stream that nobody has seen, for lack of room.
                let closed = self.close(&name, last, None, budget, deliver);
                self.tally.wills += u64::from(closed.is_ok());
            }
            budget.spend(INPUT);
            if budget.is_spent() {
                return false;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::broker::core::tests::Told;
    use crate::broker::core::{CoreLimits, Epochs};
    use crate::wire::json_lines::ENCODER;

    /// A client that comes back while the wills of its session are carried out, one in each turn, comes too late.
    #[test]
    fn a_session_whose_time_is_over_is_unknown_before_its_wills_are_carried_out() {
        let limits =
            CoreLimits { streams: 9, listens: 9, stored: 9000, sessions: 9, session_time: Duration::from_secs(5), ..CoreLimits::default() };
        let (mut core, mut told) = (Core::new(limits, Arc::default(), Epochs::new(0)), Told::default());
        let session = SessionName::new("sixteen letters!").unwrap();
        let begin = || Input::Session { session: session.clone(), former: None, receipt: None };
        let (former, next) = (ConnectionId(0), ConnectionId(1));
        core.handle(former, begin(), &mut Budget::unlimited(), &mut told);
        for stream in ["one", "two"] {
            let last = Some(Frame::lasting(Box::from(&b"lost\n"[..]), &ENCODER));
            let will = Input::Will { stream: StreamName::new(stream).unwrap(), last, receipt: None };
            core.handle(former, will, &mut Budget::unlimited(), &mut told);
            let listen = Input::Listen { stream: StreamName::new(stream).unwrap(), start: None, receipt: None };
            core.handle(next, listen, &mut Budget::unlimited(), &mut told);
        }
        core.lose(former, &mut Budget::unlimited(), &mut told);
        core.set_time(Duration::from_secs(5));
        told.0.clear();
        core.lose_sessions(&mut Budget::new(1), &mut told);
        assert_eq!(told.0, [(next, "lost\n".to_owned())]);
        core.handle(ConnectionId(2), begin(), &mut Budget::unlimited(), &mut told);
        core.assert_invariants();
        assert!(told.0[1].1.contains("\"known\":false"), "{:?}", told.0);
        core.lose_sessions(&mut Budget::unlimited(), &mut told);
        core.assert_invariants();
        assert_eq!(told.0[2..], [(next, "lost\n".to_owned())]);
        assert!(!core.has_lost_session());
    }

    const FORMER: ConnectionId = ConnectionId(0);
    const OTHER: ConnectionId = ConnectionId(1);

    fn begin() -> Input {
        Input::Session { session: SessionName::new("sixteen letters!").unwrap(), former: None, receipt: None }
    }

    fn listen(stream: &str) -> Input {
        Input::Listen { stream: StreamName::new(stream).unwrap(), start: None, receipt: None }
    }

    fn will(stream: &str) -> Input {
        let last = Some(Frame::lasting(Box::from(&b"lost\n"[..]), &ENCODER));
        Input::Will { stream: StreamName::new(stream).unwrap(), last, receipt: None }
    }

    struct Broker {
        core: Core,
        told: Told,
    }

    impl Broker {
        /// One session of `FORMER`, which has a will, and sessions last five seconds.
        fn new() -> Self {
            let limits = CoreLimits { streams: 9, listens: 9, stored: 9000, sessions: 9, ..CoreLimits::default() };
            let limits = CoreLimits { session_time: Duration::from_secs(5), ended_time: Duration::from_secs(9), ..limits };
            let mut broker = Self { core: Core::new(limits, Arc::default(), Epochs::new(0)), told: Told::default() };
            for (from, input) in [(FORMER, begin()), (FORMER, will("job")), (OTHER, listen("job"))] {
                broker.input(from, input, usize::MAX);
            }
            broker.told.0.clear();
            broker
        }

        fn input(&mut self, from: ConnectionId, input: Input, budget: usize) -> Option<Input> {
            let left = self.core.handle(from, input, &mut Budget::new(budget), &mut self.told);
            self.core.assert_invariants();
            left
        }

        fn lose_sessions(&mut self) {
            self.core.lose_sessions(&mut Budget::unlimited(), &mut self.told);
        }
    }

    // Seen to fail: with a session that was left at a time that has the broker's own pauses in it.
    #[test]
    fn a_pause_of_the_broker_before_a_client_was_lost_does_not_give_it_more_time() {
        let mut broker = Broker::new();
        broker.core.set_time(Duration::from_secs(100));
        broker.core.forgive(Duration::from_secs(90));
        broker.core.lose(FORMER, &mut Budget::unlimited(), &mut broker.told);
        for (second, is_lost) in [(104, false), (105, true)] {
            broker.core.set_time(Duration::from_secs(second));
            assert_eq!(broker.core.has_lost_session(), is_lost, "after {second} s");
        }
    }

    // Seen to fail: with wills that are carried out although the broker ends the connections, of one that has a session and of one that
    // has none.
    #[test]
    fn when_the_broker_stops_nobody_is_lost() {
        let mut broker = Broker::new();
        let without_session = ConnectionId(2);
        broker.input(without_session, will("other"), usize::MAX);
        broker.input(OTHER, listen("other"), usize::MAX);
        broker.told.0.clear();
        broker.core.stop();
        for connection in [FORMER, without_session] {
            broker.core.lose(connection, &mut Budget::unlimited(), &mut broker.told);
        }
        broker.core.set_time(Duration::from_secs(100));
        assert!(!broker.core.has_lost_session());
        broker.lose_sessions();
        assert_eq!((broker.told.0.as_slice(), broker.core.next_loss()), (&[][..], None));
    }

    // Seen to fail: the will was dropped, as if the end that is over still counted.
    #[test]
    fn an_end_whose_time_is_over_stands_in_the_way_of_no_will() {
        let mut broker = Broker::new();
        let last = Frame::lasting(Box::from(&b"well\n"[..]), &ENCODER);
        broker.input(OTHER, Input::Close { stream: StreamName::new("job").unwrap(), last, of: None, receipt: None }, usize::MAX);
        broker.input(FORMER, will("job"), usize::MAX);
        broker.core.lose(FORMER, &mut Budget::unlimited(), &mut broker.told);
        // Longer than ends are remembered, and nobody has had time to forget this one.
        broker.core.set_time(Duration::from_secs(1 << 20));
        broker.lose_sessions();
        broker.told.0.clear();
        broker.input(OTHER, listen("job"), usize::MAX);
        assert_eq!(broker.told.0, [(OTHER, "lost\n".to_owned())]);
    }

    // Seen to fail: the one that has the former's id was taken out of its streams, and heard nothing more.
    #[test]
    fn who_is_given_the_id_of_a_fenced_connection_meanwhile_stays_a_listener() {
        let mut broker = Broker::new();
        ["one", "two", "three"].iter().for_each(|stream| drop(broker.input(FORMER, listen(stream), usize::MAX)));
        let left = broker.input(OTHER, begin(), 1).unwrap();
        // The former is gone before all of it is taken out, and another connection has its id.
        broker.core.lose(FORMER, &mut Budget::unlimited(), &mut broker.told);
        assert!(broker.core.forget_connection(FORMER, &mut Budget::unlimited()));
        broker.input(FORMER, listen("job"), usize::MAX);
        assert!(broker.input(OTHER, left, usize::MAX).is_none());
        assert_eq!(broker.core.listeners(&StreamName::new("job").unwrap()), [OTHER, FORMER]);
    }
}
