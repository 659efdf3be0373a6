//! A batch's way through the core: as far as the budget goes, and no further than what is held back or has to be translated first.

use crate::broker::core::{Budget, Core, Input, sending};
use crate::wire::ids::ConnectionId;
use crate::wire::{Frame, Translations};

use super::agenda::{Awaits, Progress};
use super::intake::Claim;
use super::routes::Routes;
use super::translator::{LARGE, ToTranslate, Translator};

/// What it costs to translate one byte.
const TRANSLATED: usize = 2;
/// How often one input may wait for a translation.
const TRIES: u32 = 3;
/// How many inputs are looked at in advance. The streams of more would have left the processor's nearer caches before their turn.
const PREFETCHED: usize = 128;

/// A batch that is being applied: the actions of a connection, be it the one whose work this is, or another that has its place in the
/// order of that one.
pub(super) struct Applying {
    from: ConnectionId,
    /// One that was begun, or waits for a translation; then those that follow.
    begun: Option<Input>,
    inputs: std::vec::IntoIter<Input>,
    /// How many of the next ones have been looked at in advance.
    ahead: usize,
    /// What was translated for the first one, held until that has taken effect.
    translated: Vec<Frame>,
    /// How often something was translated for it.
    tries: u32,
    /// How many of the next may be done, if that is for the log to say.
    cleared: Option<usize>,
    /// How often the log was asked for the next once more.
    asked: u32,
    /// The log was asked for something since the batch came, so all that was in it then is read.
    is_abreast: bool,
    claim: Claim,
}

impl Applying {
    pub(super) fn new(from: ConnectionId, inputs: Vec<Input>, claim: Claim) -> Self {
        Self {
            from,
            begun: None,
            inputs: inputs.into_iter(),
            ahead: 0,
            translated: Vec::new(),
            tries: 0,
            cleared: None,
            asked: 0,
            is_abreast: false,
            claim,
        }
    }

    /// Whose actions these are.
    pub(super) fn from(&self) -> ConnectionId {
        self.from
    }

    /// Whether it is joining streams of a prefix, one after the other.
    fn is_walking(&self) -> bool {
        matches!(self.begun, Some(Input::ListenPrefix { begun: true, .. }))
    }

    /// It waits for something else than its turn: no reason for others to read less.
    pub(super) fn park(&mut self) {
        self.claim.park();
    }

    /// Nothing is left to do of it.
    pub(super) fn drop_all(&mut self) {
        (self.begun, self.inputs) = (None, Vec::new().into_iter());
        drop(std::mem::take(&mut self.claim));
    }

    /// What has to be done on all nodes goes into the log first.
    pub(super) fn ask_log(&mut self) {
        self.cleared.get_or_insert(0);
    }

    /// Whether the next may be done.
    pub(super) fn is_cleared(&self) -> bool {
        self.cleared != Some(0)
    }

    /// Asks the log once more for the next. False if that was done several times.
    pub(super) fn asks_again(&mut self) -> bool {
        self.asked += 1;
        self.asked < TRIES
    }

    /// Whether this node has read all that others had when the batch came, once what it waits for is over.
    pub(super) fn is_abreast(&self) -> bool {
        self.is_abreast
    }

    /// The log is asked for something, and the batch waits for it.
    pub(super) fn come_abreast(&mut self) {
        self.is_abreast = true;
    }

    /// One more may be done.
    pub(super) fn clear_one(&mut self) {
        self.cleared = self.cleared.map(|cleared| cleared + 1);
    }

    /// The next one.
    pub(super) fn peek(&self) -> Option<&Input> {
        self.begun.as_ref().or_else(|| self.inputs.as_slice().first())
    }

    /// Takes the next one.
    pub(super) fn take(&mut self) -> Option<Input> {
        self.begun.take().or_else(|| self.inputs.next())
    }

    /// Takes the next one, which may be done.
    #[cfg(test)]
    pub(super) fn take_cleared(&mut self) -> Option<Input> {
        let taken = self.take();
        self.cleared = self.cleared.map(|cleared| cleared.saturating_sub(1));
        taken
    }

    /// What it needed is translated.
    pub(super) fn translated(&mut self, frames: Vec<Frame>) {
        self.translated = frames;
    }
}

/// What of the actor a batch is applied with.
pub(super) struct Parts<'a> {
    pub(super) core: &'a mut Core,
    pub(super) routes: &'a mut Routes,
    pub(super) translator: &'a mut Translator,
    pub(super) translations: &'a Translations,
    /// While the broker stops nobody waits: what was received is taken in.
    pub(super) is_stopping: bool,
}

impl Parts<'_> {
    /// Takes a batch as far as the budget goes.
    pub(super) fn apply(&mut self, id: ConnectionId, batch: &mut Applying, fresh: bool, budget: &mut Budget) -> Progress {
        let from = batch.from;
        // Whatever a connection sent that has lost its session ends here: its client sends it again, where the session is now.
        if self.core.is_fenced(from) {
            batch.drop_all();
            self.routes.applied(from);
            return Progress { done: true, awaits: None };
        }
        // One that has its place in another's order is no reason for that one to wait: nobody would end the wait.
        if from == id && !self.is_stopping && self.routes.is_held(from) {
            return Progress { done: false, awaits: Some(Awaits::Room) };
        }
        if from == id && !self.is_stopping && batch.is_walking() && self.routes.awaits_room(from) {
            return Progress { done: false, awaits: Some(Awaits::Room) };
        }
        if from == id && !self.is_stopping && self.routes.durable.is_full(from) {
            return Progress { done: false, awaits: Some(Awaits::Room) };
        }
        self.routes.begin(from, fresh);
        let wanted = self.inputs(batch, budget);
        let is_full = self.routes.end() || self.routes.is_held(from) || self.routes.durable.is_full(from);
        // The streams of a prefix come as fast as they are taken: the rest of them waits in the listener's own order.
        let waits = is_full && (from == id || batch.is_walking()) && !self.is_stopping || self.waits_to_leave(batch);
        if !wanted.is_empty() {
            batch.tries += 1;
            self.translator.translate(id, wanted);
            return Progress { done: false, awaits: Some(Awaits::Translation) };
        }
        let done = batch.begun.is_none() && batch.inputs.as_slice().is_empty();
        if done {
            batch.drop_all();
            self.routes.applied(from);
        }
        Progress { done, awaits: waits.then_some(Awaits::Room) }
    }

    /// Takes inputs as far as the budget goes, and up to one that needs what is not translated yet; returns that.
    fn inputs(&mut self, batch: &mut Applying, budget: &mut Budget) -> Vec<ToTranslate> {
        let (mut translated, mut lines, mut messages) = (self.translations.bytes(), 0, 0);
        while batch.is_cleared()
            && let Some(input) = batch.take()
        {
            if self.is_held_back(batch.from, &input, budget) || self.waits_for_durable(batch.from, &input) {
                batch.begun = Some(input);
                break;
            }
            if matches!(input, Input::ListenPrefix { begun: true, .. }) && !self.routes.takes(batch.from) {
                // It has gone, or was cut off, and is given none of the streams that it has yet to join.
                continue;
            }
            let wanted = self.untranslated(batch, &input);
            if !wanted.is_empty() {
                batch.begun = Some(input);
                self.core.taken(batch.from, if batch.cleared.is_none() { lines } else { 0 });
                self.routes.note_messages(messages);
                return wanted;
            }
            if batch.ahead == 0 {
                let next = batch.inputs.as_slice();
                self.core.prefetch(next.get(..PREFETCHED).unwrap_or(next));
                batch.ahead = PREFETCHED;
            }
            batch.ahead -= 1;
            let leaving = self.leaving(batch.from, &input);
            if matches!(input, Input::Leave { .. } | Input::Session { .. }) {
                // Behind the one, or before the other, the connection has no session that could count them.
                self.core.taken(batch.from, std::mem::take(&mut lines));
            }
            lines += input.lines();
            messages += input.messages();
            batch.begun = self.core.handle(batch.from, input, budget, self.routes);
            if batch.begun.is_none() {
                batch.cleared = batch.cleared.map(|cleared| cleared.saturating_sub(1));
                batch.asked = 0;
            }
            lines -= batch.begun.as_ref().map_or(0, Input::lines);
            messages -= batch.begun.as_ref().map_or(0, Input::messages);
            self.routes.listen_to_less(&leaving);
            if batch.tries > 0 {
                (batch.tries, batch.translated) = (0, Vec::new());
            }
            let now = self.translations.bytes();
            budget.spend(now.wrapping_sub(std::mem::replace(&mut translated, now)) * TRANSLATED);
            budget.spend(sending(self.routes.take_sending()));
            if batch.begun.is_some() || budget.is_spent() || self.routes.has_much_of_its_own() || self.routes.is_held(batch.from) {
                break;
            }
        }
        if batch.cleared.is_none() {
            // Otherwise the log counts.
            self.core.taken(batch.from, lines);
        }
        self.routes.note_messages(messages);
        Vec::new()
    }

    /// Whether the publisher is to wait before it sends this, since it is for somebody who is too full for it.
    fn is_held_back(&mut self, from: ConnectionId, input: &Input, budget: &mut Budget) -> bool {
        let Input::Put { stream, .. } = input else { return false };
        !self.is_stopping && self.routes.has_full() && self.routes.hold_back(from, self.core.listeners(stream), budget)
    }

    /// Whether the connection is to be given a receipt before this.
    fn waits_for_durable(&self, from: ConnectionId, input: &Input) -> bool {
        match input {
            // One that ends is sent what it waits for, unless nobody can say when that comes. A stop has that come at once.
            Input::Leave { .. } => self.routes.durable.waits(from) && self.routes.can_be_durable(),
            Input::Header { .. } | Input::Close { .. } | Input::Delete { .. } => !self.is_stopping && self.routes.durable.is_full(from),
            Input::Put { .. }
            | Input::Listen { .. }
            | Input::ListenPrefix { .. }
            | Input::Hangup { .. }
            | Input::HangupPrefix { .. }
            | Input::Will { .. }
            | Input::Session { .. }
            | Input::Answer(_) => false,
        }
    }

    /// Whether a batch has come to the end of its connection, which waits for a receipt.
    fn waits_to_leave(&self, batch: &Applying) -> bool {
        batch.begun.as_ref().is_some_and(|input| matches!(input, Input::Leave { .. }) && self.waits_for_durable(batch.from, input))
    }

    /// Who listens to less after this input, of those who are too full and hold publishers back.
    fn leaving(&self, from: ConnectionId, input: &Input) -> Vec<ConnectionId> {
        if !self.routes.has_full() {
            return Vec::new();
        }
        match input {
            Input::Hangup { .. } | Input::HangupPrefix { .. } => self.routes.full_among(&[from]),
            Input::Close { stream, .. } | Input::Delete { stream, .. } => self.routes.full_among(self.core.listeners(stream)),
            Input::Put { .. }
            | Input::Header { .. }
            | Input::Listen { .. }
            | Input::Will { .. }
            | Input::Session { .. }
            | Input::ListenPrefix { .. }
            | Input::Answer(_)
            | Input::Leave { .. } => Vec::new(),
        }
    }

    /// What an input needs that takes long to translate. If that changes again and again meanwhile, it is translated by the actor itself.
    fn untranslated(&self, batch: &Applying, input: &Input) -> Vec<ToTranslate> {
        if !self.routes.has_several_encodings() || batch.tries >= TRIES {
            return Vec::new();
        }
        self.routes.untranslated(self.core.deliveries(batch.from, input, LARGE))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::broker::actor::{Mailbox, Stats};
    use crate::broker::core::{CoreLimits, Epochs, Extra};
    use crate::wire::ReceiptId;
    use crate::wire::ids::{Prefix, StreamName};
    use crate::wire::json_lines::ENCODER;

    // Seen to fail: of 40 clients that listened to all of 100,000 streams and went away at once, each was given all of them.
    #[test]
    fn one_that_has_gone_is_given_none_of_the_streams_that_it_has_yet_to_join() {
        let limits = CoreLimits { streams: 1000, listens: 1000, stored: usize::MAX, ..CoreLimits::default() };
        let mut core = Core::new(limits, Arc::default(), Epochs::new(0));
        let mut routes = Routes::new(Arc::default(), Arc::default());
        for number in 0..1000 {
            let header = Frame::lasting(Box::from(&b"{}\n"[..]), &ENCODER);
            let stream = StreamName::new(&number.to_string()).unwrap();
            let input = Input::Header { stream, header, of: None, absent: false, receipt: None };
            core.handle(ConnectionId(0), input, &mut Budget::unlimited(), &mut routes);
        }
        let (translations, mailbox) = (Arc::new(Translations::keeping(0, Arc::default())), Mailbox::new().0);
        let mut translator = Translator::new(Arc::clone(&translations), mailbox.downgrade());
        let listen = Input::ListenPrefix { prefix: Prefix::new(""), start: None, receipt: None, begun: false };
        let mut batch = Applying::new(ConnectionId(1), vec![listen], Claim::default());
        let mut parts =
            Parts { core: &mut core, routes: &mut routes, translator: &mut translator, translations: &translations, is_stopping: false };
        let done = [(); 2].map(|()| parts.apply(ConnectionId(1), &mut batch, false, &mut Budget::new(1)).done);
        assert_eq!(done, [false, true]);
    }

    #[test]
    fn a_message_counts_once_however_many_turns_its_run_takes() {
        let limits = CoreLimits { streams: 1, listens: 1, stored: 10_000, ..CoreLimits::default() };
        let (mut core, stats) = (Core::new(limits, Arc::default(), Epochs::new(0)), Arc::new(Stats::default()));
        let mut routes = Routes::new(Arc::clone(&stats), Arc::default());
        let (translations, mailbox) = (Arc::new(Translations::keeping(0, Arc::default())), Mailbox::new().0);
        let mut translator = Translator::new(Arc::clone(&translations), mailbox.downgrade());
        let stream = StreamName::new("s").unwrap();
        let receipt =
            |index: usize| Extra { unit: index..index + 1, index: index as u32, header: None, receipt: Some(ReceiptId::new("1")) };
        let run = Frame::new(Box::from(&b"123456"[..]), 6, &ENCODER);
        let inputs = vec![
            Input::Listen { stream: stream.clone(), start: None, receipt: None },
            Input::Put { stream, run, of: None, extras: (0..6).map(receipt).collect() },
        ];
        let mut batch = Applying::new(ConnectionId(1), inputs, Claim::default());
        let mut parts =
            Parts { core: &mut core, routes: &mut routes, translator: &mut translator, translations: &translations, is_stopping: false };
        let counts: Vec<_> = std::iter::from_fn(|| {
            let done = parts.apply(ConnectionId(1), &mut batch, false, &mut Budget::new(1)).done;
            Some((done, stats.snapshot().messages))
        })
        .take(7)
        .collect();
        assert_eq!(counts, [(false, 0), (false, 1), (false, 2), (false, 3), (false, 4), (false, 5), (true, 6)]);
    }
}
