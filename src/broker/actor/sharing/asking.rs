//! From a client's batch into the log: what has to be done on all nodes goes there, and what stands behind it in the client's order waits until
//! that has come back.

use crate::broker::actor::applying::Applying;
use crate::broker::core::{Core, Input};
use crate::broker::space::Op;
use crate::wire::ids::{ConnectionId, StreamName};

use super::entry::Entry;
use super::node::Sharing;

/// What becomes of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::broker::actor) enum Asked {
    /// The next of it is between the client and this node, and may be done.
    Here,
    /// It waits for the log.
    Waits,
    /// Nothing of it is taken any more.
    Dropped,
}

impl Sharing {
    /// Takes out of a batch what has to go into the log.
    pub(in crate::broker::actor) fn ask(&mut self, order: ConnectionId, batch: &mut Applying, core: &mut Core) -> Asked {
        let from = batch.from();
        if self.cut.contains(&from) {
            return Asked::Dropped;
        }
        if batch.is_cleared() {
            let Some(stream) = unknown(batch, core).filter(|_| batch.asks_again()) else { return Asked::Here };
            // It has been deleted meanwhile; or there is no room for one more, which is said if it is asked again.
            self.outgoing.push(Entry::Step(None, Op::Touch(stream)));
            return self.wait(order, batch);
        }
        let (asked, lines) = self.take_shared(from, batch, core);
        if !asked && !self.clear_next(from, batch, core) {
            return Asked::Here;
        }
        self.count(from, lines);
        self.wait(order, batch)
    }

    /// It goes on when all that was said so far has come back.
    fn wait(&mut self, order: ConnectionId, batch: &mut Applying) -> Asked {
        self.outgoing.push(Entry::Done(order));
        batch.come_abreast();
        Asked::Waits
    }

    /// Takes what has to be done on all nodes, and answers that stand between. Returns whether there was any of it, and for how many lines no
    /// other node would know that they were taken.
    fn take_shared(&mut self, from: ConnectionId, batch: &mut Applying, core: &mut Core) -> (bool, u64) {
        let (mut asked, mut lines) = (false, 0);
        while let Some(input) = batch.peek() {
            let leaves = matches!(input, Input::Leave { .. }) && self.clients.contains_key(&from);
            let is_shared = Op::is_shared(input) || leaves;
            let is_between = matches!(input, Input::Answer(_)) && (asked || self.has_session(from));
            if !is_shared && !is_between {
                break;
            }
            let Some(input) = batch.take() else { break };
            asked = true;
            if is_shared {
                // Nobody may know that this was taken and not what was taken before: a record may end between.
                self.count(from, std::mem::take(&mut lines));
                lines += self.share(from, input, core);
            } else {
                lines += input.lines();
                self.outgoing.push(Entry::Aside(from, input));
            }
        }
        (asked, lines)
    }

    /// Has an action done on all nodes, or refused if there is no room here. Returns how many lines are refused.
    fn share(&mut self, from: ConnectionId, input: Input, core: &mut Core) -> u64 {
        if !matches!(input, Input::Leave { .. })
            && let Some(refusal) = core.refusal(from, &input)
        {
            let lines = input.lines();
            if lines > 1 {
                for input in Core::apart(input) {
                    let lines = self.share(from, input, core);
                    self.count(from, lines);
                }
                return 0;
            }
            self.outgoing.push(Entry::Refused(from, input, refusal));
            return lines;
        }
        if let Input::Put { stream, .. } = &input
            && !core.has_room_to_touch(stream)
        {
            // It is for a stream that nobody knows, and reaches nobody.
            let lines = input.lines();
            self.outgoing.push(Entry::Aside(from, input));
            return lines;
        }
        match input {
            Input::Session { .. } => self.clients.entry(from).or_default().has_session = true,
            Input::Will { last: Some(_), .. } => drop(self.clients.entry(from).or_default()),
            _ => {}
        }
        let connection = self.clients.contains_key(&from).then_some(from.0);
        self.outgoing.push(Entry::Step(Some(from), Op::Client(connection, input)));
        0
    }

    /// The next of a batch is between the client and this node. True if it has to wait for the log all the same.
    fn clear_next(&mut self, from: ConnectionId, batch: &mut Applying, core: &mut Core) -> bool {
        // Without room for one more it is refused.
        let unknown = unknown(batch, core).filter(|stream| core.has_room_to_touch(stream));
        let Some(input) = batch.peek() else { return false };
        let asks_how_it_stands = matches!(input, Input::Listen { .. } | Input::ListenPrefix { .. });
        let lines = if self.has_session(from) { input.lines() } else { 0 };
        let is_behind = asks_how_it_stands && !self.is_fresh() || !batch.is_abreast() && is_ahead(input, core);
        let waits = unknown.is_some() || is_behind || lines > 0;
        batch.clear_one();
        if let Some(stream) = unknown {
            self.outgoing.push(Entry::Step(None, Op::Touch(stream)));
        }
        self.count(from, lines);
        waits
    }

    /// So many lines of a session are taken that are in the log as nothing else.
    fn count(&mut self, from: ConnectionId, lines: u64) {
        if lines > 0 && self.has_session(from) {
            self.outgoing.push(Entry::Step(Some(from), Op::Lines(from.0, lines)));
        }
    }

    fn has_session(&self, from: ConnectionId) -> bool {
        self.clients.get(&from).is_some_and(|client| client.has_session)
    }

    /// A connection has ended. True if the other nodes have to know that: then it is in `order` that the work goes on when they do.
    pub(in crate::broker::actor) fn lose(&mut self, id: ConnectionId) -> bool {
        if self.is_leaving || !self.clients.contains_key(&id) {
            return false;
        }
        self.clients.remove(&id);
        let leave = Input::Leave { orderly: false, last: None, receipt: None };
        self.outgoing.push(Entry::Step(Some(id), Op::Client(Some(id.0), leave)));
        self.outgoing.push(Entry::Done(id));
        true
    }
}

/// Whether one that goes on listening may have heard at another node what this one has yet to read.
fn is_ahead(input: &Input, core: &Core) -> bool {
    match input {
        Input::Listen { stream, start: Some(start), .. } => start.after.is_some_and(|after| !core.has_had(stream, after)),
        // There may be any number of streams, and looking at each takes longer than that way.
        Input::ListenPrefix { start: Some(starts), .. } => starts.after.is_some(),
        _ => false,
    }
}

/// The stream that the next of a batch listens to, if not all nodes have it.
fn unknown(batch: &Applying, core: &Core) -> Option<StreamName> {
    match batch.peek() {
        Some(Input::Listen { stream, .. }) => Some(stream).filter(|stream| !core.is_common(stream)).cloned(),
        _ => None,
    }
}
