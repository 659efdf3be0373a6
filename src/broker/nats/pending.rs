//! The record of this node that waits to be stored, and whether NATS answers for it.
//!
//! A record counts as stored when it comes back from the log. JetStream is asked to acknowledge it only if it does not at once: each message
//! of a publisher would wake the node once more than it has to, for what the log says anyway.
//!
//! A node reads only while its own records are answered for. A leader that has been cut off from the others takes records that the others never
//! agree to, and a NATS server may, once it is no leader any more, put them into its copy of the log all the same. It elects anew after four
//! seconds at the earliest, so a node that stops reading before that never sees them.
//!
//! A server whose copy stays behind the others' says nothing of it either: its consumers have all that it has, and go on saying so. But of what
//! this node has stored, JetStream has said where in the log it stands.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};

use crate::broker::space::RecordId;

/// A record that has not come back within this is sent again, and then JetStream is asked to acknowledge it.
const SOON: Duration = Duration::from_millis(250);

/// An answer, and what is stored, comes within this.
const PATIENCE: Duration = Duration::from_secs(2);

/// How often it is looked at whether one waits.
const LOOK: Duration = Duration::from_millis(500);

/// A record to be stored.
#[derive(Debug, Clone)]
pub(super) struct Append {
    pub(super) id: RecordId,
    /// No two nodes have the same one.
    pub(super) record: Bytes,
}

/// One that JetStream is to be asked to acknowledge.
#[derive(Debug)]
pub(super) struct Due {
    pub(super) append: Append,
    /// Counts the records of this node.
    pub(super) number: u64,
    /// It has been sent before.
    pub(super) is_sent: bool,
}

/// One that waits.
#[derive(Debug)]
struct Waiting {
    append: Append,
    since: Instant,
    /// It has been sent, and nobody was asked to acknowledge it.
    is_sent: bool,
}

/// What whoever has records stored is woken by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Wakes {
    #[default]
    Nothing,
    /// A record that waits.
    Next,
    /// That the one that waits does not any more, or another in its place.
    Change,
}

#[derive(Debug, Default)]
struct State {
    waiting: Option<Waiting>,
    /// The last one, if JetStream has acknowledged it and it has not come back.
    acknowledged: Option<Waiting>,
    /// How many were appended.
    appended: u64,
    /// The last one came back soon.
    is_soon: bool,
    wakes: Wakes,
}

/// The record that waits to be stored, of which there is one at most. Told of from anywhere.
#[derive(Debug, Default)]
pub(super) struct Pending {
    state: Mutex<State>,
    /// Up to where records of this node are known to stand in the log.
    stored: AtomicU64,
    /// For whoever has records stored.
    news: Notify,
    /// An answer has come that had not for too long.
    found: Notify,
    /// Nothing waits any more. Nobody is there to hear it but at the end.
    free: Notify,
}

impl Pending {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A record waits from now on, in place of the one before. `send` sends it without asking anybody to acknowledge it, if it can, and is
    /// called if that is likely to be enough.
    pub(super) fn append(&self, append: Append, send: impl FnOnce(&Bytes) -> bool) {
        let mut state = self.state();
        let is_sent = state.is_soon && send(&append.record);
        state.appended += 1;
        state.acknowledged = None;
        self.end(&mut state);
        state.waiting = Some(Waiting { append, since: Instant::now(), is_sent });
        if !is_sent || state.wakes != Wakes::Nothing {
            state.wakes = Wakes::Nothing;
            self.news.notify_one();
        }
    }

    /// A record of the log has been read. False if nothing may be read, since no answer has come for too long.
    pub(super) fn came(&self, record: &Bytes) -> bool {
        let mut state = self.state();
        let State { waiting, acknowledged, is_soon, .. } = &mut *state;
        let Some(last) = waiting.as_ref().or(acknowledged.as_ref()) else { return true };
        let elapsed = last.since.elapsed();
        if waiting.is_some() && elapsed >= PATIENCE {
            return false;
        }
        if last.append.record == record {
            (*is_soon, *acknowledged) = (elapsed < SOON, None);
            self.end(&mut state);
        }
        true
    }

    /// JetStream has said that the record with this number stands here.
    pub(super) fn stored(&self, number: u64, sequence: u64) {
        self.stored.fetch_max(sequence, Ordering::Relaxed);
        let mut state = self.state();
        if state.appended == number {
            state.acknowledged = self.end(&mut state);
        }
    }

    /// Nothing waits any more. Returns what did.
    fn end(&self, state: &mut State) -> Option<Waiting> {
        let waiting = state.waiting.take()?;
        if waiting.since.elapsed() >= PATIENCE {
            self.found.notify_one();
        }
        if state.wakes == Wakes::Change {
            state.wakes = Wakes::Nothing;
            self.news.notify_one();
        }
        self.free.notify_waiters();
        Some(waiting)
    }

    /// JetStream has answered, though not well: it is there.
    pub(super) fn answered(&self) {
        let mut state = self.state();
        let Some(waiting) = &mut state.waiting else { return };
        if waiting.since.elapsed() >= PATIENCE {
            self.found.notify_one();
        }
        waiting.since = Instant::now();
    }

    /// Waits for the next record that JetStream is to be asked to acknowledge. Only one may wait.
    pub(super) async fn due(&self) -> Due {
        loop {
            let until = {
                let mut state = self.state();
                let number = state.appended;
                match &mut state.waiting {
                    Some(waiting) if waiting.is_sent && waiting.since.elapsed() < SOON => {
                        let until = waiting.since + SOON;
                        state.wakes = Wakes::Nothing;
                        Some(until)
                    }
                    Some(waiting) => {
                        let due = Due { append: waiting.append.clone(), number, is_sent: waiting.is_sent };
                        state.is_soon &= !due.is_sent;
                        return due;
                    }
                    None => {
                        state.wakes = Wakes::Next;
                        None
                    }
                }
            };
            match until {
                // One that comes back meanwhile, as most do, wakes nobody, nor does the next one.
                Some(until) => tokio::select! {
                    () = sleep_until(until) => {}
                    () = self.news.notified() => {}
                },
                None => self.news.notified().await,
            }
        }
    }

    /// Waits until the record with this number does not wait any more.
    pub(super) async fn is_over(&self, number: u64) {
        loop {
            {
                let mut state = self.state();
                if state.waiting.is_none() || state.appended != number {
                    return;
                }
                state.wakes = Wakes::Change;
            }
            self.news.notified().await;
        }
    }

    /// Whether no answer has come for too long.
    pub(super) fn is_lost(&self) -> bool {
        self.waits().is_some_and(|time| time >= PATIENCE)
    }

    /// For how long one has waited.
    fn waits(&self) -> Option<Duration> {
        self.state().waiting.as_ref().map(|waiting| waiting.since.elapsed())
    }

    /// Waits until no answer has come for too long.
    pub(super) async fn lost(&self) {
        while !self.is_lost() {
            // Nobody is woken for each record: it is looked at now and then.
            let left = self.waits().map_or(PATIENCE, |time| PATIENCE.saturating_sub(time));
            sleep(left.min(LOOK)).await;
        }
    }

    /// Waits until an answer has come. Only one may wait.
    pub(super) async fn found(&self) {
        while self.is_lost() {
            self.found.notified().await;
        }
    }

    /// Waits until nothing waits to be stored.
    pub(super) async fn free(&self) {
        loop {
            let free = self.free.notified();
            if self.state().waiting.is_none() {
                return;
            }
            free.await;
        }
    }

    fn has(&self, next: u64) -> bool {
        self.stored.load(Ordering::Relaxed) >= next
    }
}

/// For how long nothing has come of a log that has more.
#[derive(Debug, Default)]
pub(super) struct Overdue(Option<Instant>);

impl Overdue {
    /// A record has come.
    pub(super) fn came(&mut self) {
        self.0 = None;
    }

    /// The server says that it has nothing new, but it must have the `next` record. True if that has been so for too long.
    pub(super) fn is_so(&mut self, pending: &Pending, next: u64) -> bool {
        if !pending.has(next) {
            self.0 = None;
            return false;
        }
        self.0.get_or_insert_with(Instant::now).elapsed() >= PATIENCE
    }
}

#[cfg(test)]
mod tests {
    use std::pin::{Pin, pin};
    use std::task::{Context, Poll, Waker};

    use tokio::time::advance;

    use super::*;

    fn is_pending<T>(future: &mut (dyn Future<Output = T> + Unpin)) -> bool {
        Pin::new(future).poll(&mut Context::from_waker(Waker::noop())).is_pending()
    }

    fn append(number: u64) -> Append {
        Append { id: RecordId { life: 7, number }, record: record(number) }
    }

    fn record(number: u64) -> Bytes {
        number.to_string().into()
    }

    /// Appends one. Returns whether it was sent at once.
    fn appends(pending: &Pending, number: u64) -> bool {
        let mut is_sent = false;
        pending.append(append(number), |_| {
            is_sent = true;
            true
        });
        is_sent
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_stored_and_does_not_come_is_overdue_in_time() {
        let (pending, mut overdue) = (Pending::default(), Overdue::default());
        pending.stored(1, 7);
        advance(PATIENCE * 9).await;
        assert!(!overdue.is_so(&pending, 8) && !overdue.is_so(&pending, 7), "it may be on its way");
        advance(PATIENCE / 2).await;
        assert!(!overdue.is_so(&pending, 7));
        advance(PATIENCE / 2).await;
        assert!(overdue.is_so(&pending, 7));
        overdue.came();
        assert!(!overdue.is_so(&pending, 7), "another has come");
        advance(PATIENCE).await;
        assert!(!overdue.is_so(&pending, 8) && !overdue.is_so(&pending, 7), "all has come meanwhile");
    }

    #[tokio::test(start_paused = true)]
    async fn the_log_is_lost_while_a_record_waits_for_too_long() {
        let pending = Pending::default();
        let began = Instant::now();
        {
            let mut lost = pin!(pending.lost());
            assert!(is_pending(&mut lost));
            advance(PATIENCE * 9).await;
            assert!(is_pending(&mut lost), "nothing waits");
            appends(&pending, 1);
            assert!(is_pending(&mut lost));
            advance(PATIENCE / 2).await;
            pending.stored(1, 1);
            appends(&pending, 2);
            advance(PATIENCE / 2).await;
            assert!(is_pending(&mut lost), "another waits, and not for so long");
            assert!(pending.came(&record(9)), "of another node");
            lost.await;
        }
        assert_eq!(began.elapsed(), PATIENCE * 21 / 2);
        assert!(!pending.came(&record(2)) && !pending.came(&record(9)), "a leader that was cut off may send anything");
        {
            let mut found = pin!(pending.found());
            assert!(is_pending(&mut found));
            pending.stored(2, 2);
            assert!(!is_pending(&mut found));
        }
        assert!(!pending.is_lost());
        appends(&pending, 3);
        advance(PATIENCE).await;
        let mut found = pin!(pending.found());
        assert!(is_pending(&mut found));
        pending.answered();
        assert!(!is_pending(&mut found));
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_back_soon_is_not_asked_for() {
        let pending = Pending::default();
        assert!(is_pending(&mut pin!(pending.due())));
        assert!(!appends(&pending, 1), "nothing is known yet");
        assert_eq!(pending.due().await.number, 1);
        assert!(pending.came(&record(1)));
        assert!(appends(&pending, 2));
        {
            let mut due = pin!(pending.due());
            assert!(is_pending(&mut due));
            assert!(pending.came(&record(2)));
            advance(SOON).await;
            assert!(is_pending(&mut due), "it has come back");
            assert!(appends(&pending, 3));
            assert!(is_pending(&mut due));
            advance(SOON).await;
            let Poll::Ready(due) = due.as_mut().poll(&mut Context::from_waker(Waker::noop())) else { panic!("it is lost") };
            assert_eq!((due.number, due.is_sent, due.append.record), (3, true, record(3)));
        }
        assert!(pending.came(&record(3)) && !appends(&pending, 4), "the one before did not come soon");
        pending.stored(4, 7);
        assert!(pending.came(&record(4)) && appends(&pending, 5), "this one did, behind its acknowledgement");
        // One that cannot be sent does not wait for that.
        assert!(pending.came(&record(5)));
        pending.append(append(6), |_| false);
        assert!(!is_pending(&mut pin!(pending.due())));
    }

    #[tokio::test(start_paused = true)]
    async fn one_is_over_that_has_come_back_or_has_another_in_its_place() {
        let pending = Pending::default();
        appends(&pending, 1);
        let (mut over, mut free) = (pin!(pending.is_over(1)), pin!(pending.free()));
        assert!(is_pending(&mut over) && is_pending(&mut free));
        assert!(pending.came(&record(9)));
        assert!(is_pending(&mut over) && is_pending(&mut free));
        assert!(pending.came(&record(1)));
        assert!(!is_pending(&mut over) && !is_pending(&mut free));
        appends(&pending, 2);
        let mut over = pin!(pending.is_over(2));
        assert!(is_pending(&mut over));
        appends(&pending, 3);
        assert!(!is_pending(&mut over));
        pending.stored(2, 7);
        assert!(is_pending(&mut pin!(pending.free())), "that was the one before");
    }
}
