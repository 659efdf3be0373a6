//! Receipts that wait until what they answer is durable.

use std::collections::BTreeMap;

use crate::wire::Frame;
use crate::wire::ids::ConnectionId;

/// The most receipts of one connection that wait. Before it may ask for more, it waits too.
const MOST: usize = 256;

/// Receipts by the connection that they are for, in their order.
type Parked = BTreeMap<ConnectionId, Vec<Frame>>;

/// The receipts that wait.
#[derive(Debug, Default)]
pub(super) struct Durable {
    /// What they answer is not being saved yet.
    next: Parked,
    /// What they answer is being saved.
    saving: Parked,
    /// What they answer is durable.
    done: Parked,
    /// The same, but their connections are to take some of what waits for them first.
    stuck: Parked,
    /// There is something to save, and whoever saves has not been told.
    is_news: bool,
}

impl Durable {
    /// Has a receipt wait.
    pub(super) fn park(&mut self, to: ConnectionId, receipt: Frame) {
        self.is_news |= self.next.is_empty();
        self.next.entry(to).or_default().push(receipt);
    }

    /// Whether something is to be saved that nobody has been told of. Asked once.
    pub(super) fn take_news(&mut self) -> bool {
        std::mem::take(&mut self.is_news)
    }

    /// Whether receipts wait for a save that has not begun.
    pub(super) fn wants_save(&self) -> bool {
        !self.next.is_empty()
    }

    /// All that has been done so far is being saved.
    pub(super) fn begin(&mut self) {
        if self.saving.is_empty() {
            self.saving = std::mem::take(&mut self.next);
        } else {
            add(&mut self.saving, std::mem::take(&mut self.next));
        }
        self.is_news = false;
    }

    /// What was being saved is, or is not.
    pub(super) fn end(&mut self, is_saved: bool) {
        let ended = std::mem::take(&mut self.saving);
        if is_saved {
            for (id, receipts) in ended {
                // Behind those that came before.
                let parked = if self.stuck.contains_key(&id) { &mut self.stuck } else { &mut self.done };
                parked.entry(id).or_default().extend(receipts);
            }
        } else {
            // In front of those that came meanwhile.
            let later = std::mem::replace(&mut self.next, ended);
            add(&mut self.next, later);
        }
    }

    /// Whether there are receipts to be given out.
    pub(super) fn is_done(&self) -> bool {
        !self.done.is_empty()
    }

    /// The receipts of one connection that are to be given out.
    pub(super) fn pop_done(&mut self) -> Option<(ConnectionId, Vec<Frame>)> {
        self.done.pop_first()
    }

    /// These, of those that were to be given out, have to wait until their connection has taken some of what waits for it.
    pub(super) fn stick(&mut self, id: ConnectionId, receipts: Vec<Frame>) {
        self.stuck.insert(id, receipts);
    }

    /// Whether any receipts of a connection wait for room.
    pub(super) fn is_stuck(&self, id: ConnectionId) -> bool {
        self.stuck.contains_key(&id)
    }

    /// There may be room for the receipts of a connection.
    pub(super) fn unstick(&mut self, id: ConnectionId) {
        self.done.extend(self.stuck.remove_entry(&id));
    }

    /// Nobody's receipts wait for room any more.
    pub(super) fn unstick_all(&mut self) {
        self.done.append(&mut self.stuck);
    }

    /// Whether no receipts wait.
    pub(super) fn is_empty(&self) -> bool {
        self.next.is_empty() && self.saving.is_empty() && self.done.is_empty() && self.stuck.is_empty()
    }

    /// Nobody is given a receipt any more for what is not durable yet.
    pub(super) fn give_up(&mut self) {
        (self.next, self.saving) = (Parked::new(), Parked::new());
    }

    /// The connections whose receipts wait for a save.
    pub(super) fn waiting(&self) -> impl Iterator<Item = ConnectionId> {
        self.next.keys().chain(self.saving.keys()).copied()
    }

    /// Whether any receipts of a connection wait.
    pub(super) fn waits(&self, id: ConnectionId) -> bool {
        [&self.next, &self.saving, &self.done, &self.stuck].into_iter().any(|parked| parked.contains_key(&id))
    }

    /// Whether so many receipts of a connection wait that it is to wait too.
    pub(super) fn is_full(&self, id: ConnectionId) -> bool {
        if self.is_empty() {
            return false;
        }
        let count = |parked: &Parked| parked.get(&id).map_or(0, Vec::len);
        count(&self.next) + count(&self.saving) + count(&self.done) + count(&self.stuck) >= MOST
    }

    /// The connection takes no more.
    pub(super) fn forget(&mut self, id: ConnectionId) {
        for parked in [&mut self.next, &mut self.saving, &mut self.done, &mut self.stuck] {
            parked.remove(&id);
        }
    }
}

fn add(parked: &mut Parked, more: Parked) {
    for (id, receipts) in more {
        parked.entry(id).or_default().extend(receipts);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::json_lines::ENCODER;

    const ONE: ConnectionId = ConnectionId(1);
    const OTHER: ConnectionId = ConnectionId(2);

    fn receipt(text: &str) -> Frame {
        Frame::new(text.as_bytes().into(), 1, &ENCODER)
    }

    fn done(durable: &mut Durable) -> Vec<(ConnectionId, String)> {
        let text = |frame: &Frame| String::from_utf8(frame.bytes().to_vec()).unwrap();
        std::iter::from_fn(|| durable.pop_done()).map(|(id, receipts)| (id, receipts.iter().map(text).collect())).collect()
    }

    #[test]
    fn a_receipt_waits_for_the_save_that_began_behind_it() {
        let mut durable = Durable::default();
        durable.park(ONE, receipt("a"));
        assert!(durable.take_news() && !durable.take_news());
        durable.begin();
        durable.park(ONE, receipt("b"));
        durable.park(OTHER, receipt("c"));
        assert!(durable.take_news());
        durable.end(true);
        assert_eq!(done(&mut durable), [(ONE, "a".to_owned())]);
        durable.begin();
        durable.end(true);
        assert_eq!(done(&mut durable), [(ONE, "b".to_owned()), (OTHER, "c".to_owned())]);
        assert!(!durable.waits(ONE) && !durable.wants_save());
    }

    #[test]
    fn after_a_save_that_failed_receipts_wait_for_the_next_in_their_order() {
        let mut durable = Durable::default();
        durable.park(ONE, receipt("a"));
        durable.begin();
        durable.park(ONE, receipt("b"));
        durable.end(false);
        assert!(!durable.is_done() && durable.wants_save());
        durable.begin();
        durable.end(true);
        assert_eq!(done(&mut durable), [(ONE, "ab".to_owned())]);
    }

    #[test]
    fn receipts_that_wait_for_room_stay_in_front_of_those_that_come_later() {
        let mut durable = Durable::default();
        durable.stick(ONE, vec![receipt("a")]);
        durable.park(ONE, receipt("b"));
        durable.begin();
        durable.end(true);
        assert!(!durable.is_done() && durable.waits(ONE) && !durable.is_empty());
        durable.unstick(OTHER);
        durable.unstick(ONE);
        assert_eq!(done(&mut durable), [(ONE, "ab".to_owned())]);
        assert!(durable.is_empty());
    }

    #[test]
    fn one_that_takes_no_more_is_given_nothing_and_one_that_asks_for_too_much_waits() {
        let mut durable = Durable::default();
        for _ in 0..MOST {
            assert!(!durable.is_full(ONE));
            durable.park(ONE, receipt("a"));
        }
        durable.begin();
        assert!(durable.is_full(ONE) && !durable.is_full(OTHER));
        durable.forget(ONE);
        durable.end(true);
        assert!(!durable.is_done() && !durable.waits(ONE));
    }
}
