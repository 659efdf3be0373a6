//! A run of messages, taken apart.

use std::ops::Range;

use crate::wire::Frame;
use crate::wire::ids::StreamName;

use super::input::{Extra, Input};

/// The messages of a run one by one, those without extras still together.
pub(super) struct Parts<'r> {
    name: &'r StreamName,
    run: &'r Frame,
    /// Those that have not been taken.
    extras: std::iter::Peekable<std::vec::IntoIter<Extra>>,
    /// How many bytes have been taken, ...
    at: usize,
    /// ... and how many messages.
    index: u32,
}

impl<'r> Parts<'r> {
    pub(super) fn new(name: &'r StreamName, run: &'r Frame, extras: Vec<Extra>) -> Self {
        Self { name, run, extras: extras.into_iter().peekable(), at: 0, index: 0 }
    }

    /// The next message that has an extra, or those before it.
    pub(super) fn next(&mut self) -> Option<Input> {
        if self.at == self.run.bytes().len() {
            return None;
        }
        let at = self.at;
        if let Some(Extra { unit, index, header, receipt }) = self.extras.next_if(|extra| extra.unit.start == at) {
            (self.at, self.index) = (unit.end, index + 1);
            return Some(Input::put(self.name.clone(), self.piece(unit, 1), header, receipt));
        }
        let (end, index) =
            self.extras.peek().map_or((self.run.bytes().len(), self.run.messages()), |extra| (extra.unit.start, extra.index));
        let messages = index - self.index;
        (self.at, self.index) = (end, index);
        Some(Input::put(self.name.clone(), self.piece(at..end, messages), None, None))
    }

    /// All that has not been taken, as a run of its own.
    pub(super) fn rest(self) -> Option<Input> {
        let Self { name, run, extras, at, index: taken, .. } = self;
        let end = run.bytes().len();
        if at == end {
            return None;
        }
        let rest = Frame::new(Box::from(&run.bytes()[at..]), run.messages() - taken, run.encoder());
        let moved =
            |Extra { unit, index, header, receipt }| Extra { unit: unit.start - at..unit.end - at, index: index - taken, header, receipt };
        // Whether the epoch is the right one was asked for the whole run.
        Some(Input::Put { stream: name.clone(), run: rest, of: None, extras: extras.map(moved).collect() })
    }

    fn piece(&self, unit: Range<usize>, messages: u32) -> Frame {
        Frame::new(Box::from(&self.run.bytes()[unit]), messages, self.run.encoder())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::broker::core::tests::Counter;
    use crate::broker::core::{Budget, Core, CoreLimits, Epochs};
    use crate::wire::ReceiptId;
    use crate::wire::ids::ConnectionId;
    use crate::wire::json_lines::ENCODER;

    /// A run of six messages, of which some have receipts.
    fn parts<'r>(name: &'r StreamName, run: &'r Frame) -> Parts<'r> {
        let extra = |unit: Range<usize>, index: u32| Extra { unit, index, header: None, receipt: Some(ReceiptId::new(&index.to_string())) };
        Parts::new(name, run, vec![extra(3..5, 1), extra(9..10, 3), extra(10..15, 4)])
    }

    fn told(input: Input) -> (String, u32, Vec<String>) {
        let Input::Put { run, extras, .. } = input else { panic!("{input:?}") };
        let receipts = extras.into_iter().map(|extra| {
            assert_eq!((extra.unit, extra.index), (0..run.bytes().len(), 0));
            extra.receipt.unwrap().text().to_owned()
        });
        (String::from_utf8(run.bytes().to_vec()).unwrap(), run.messages(), receipts.collect())
    }

    #[test]
    fn what_is_left_at_any_moment_is_taken_apart_as_if_nothing_had_been_between() {
        let (name, run) = (StreamName::new("s").unwrap(), Frame::new(Box::from(&b"000112222344444555"[..]), 6, &ENCODER));
        let expected =
            [("000", 1, None), ("11", 1, Some("1")), ("2222", 1, None), ("3", 1, Some("3")), ("44444", 1, Some("4")), ("555", 1, None)]
                .map(|(text, messages, receipt)| (text.to_owned(), messages, receipt.into_iter().map(str::to_owned).collect::<Vec<_>>()));
        for first in 0..=expected.len() {
            let mut one = parts(&name, &run);
            let mut seen: Vec<_> = (0..first).filter_map(|_| one.next()).map(told).collect();
            if let Some(Input::Put { stream, run, extras, .. }) = one.rest() {
                let mut other = Parts::new(&stream, &run, extras);
                seen.extend(std::iter::from_fn(|| other.next()).map(told));
            }
            assert_eq!(seen, expected, "after {first}");
        }
    }

    // Seen to fail: all of it was one step, with thousands of listeners one of many milliseconds.
    #[test]
    fn a_run_of_one_who_hears_itself_goes_no_further_than_the_budget() {
        let limits = CoreLimits { streams: 1, listens: 1, stored: 1000, ..CoreLimits::default() };
        let (mut core, mut delivered, from) = (Core::new(limits, Arc::default(), Epochs::new(0)), Counter::default(), ConnectionId(0));
        let (name, run) = (StreamName::new("s").unwrap(), Frame::new(Box::from(&b"000112222344444555"[..]), 6, &ENCODER));
        core.handle(from, Input::Listen { stream: name.clone(), start: None, receipt: None }, &mut Budget::unlimited(), &mut delivered);
        let extras = parts(&name, &run).extras.collect();
        let (mut left, mut seen) = (Some(Input::Put { stream: name.clone(), run, of: None, extras }), Vec::new());
        while let Some(input) = left.take() {
            left = core.handle(from, input, &mut Budget::new(1), &mut delivered);
            seen.push(delivered.0);
        }
        assert_eq!(seen, [1, 2, 3, 4, 5, 6]);
    }
}
