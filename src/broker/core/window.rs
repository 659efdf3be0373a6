//! The last messages of one stream, for those who come back or look back.
//!
//! A small run is copied behind those before it: its frame would take twice the memory of its messages, and could not be used again for
//! the next. A larger run is kept as the frame that it is.

use std::collections::VecDeque;
use std::time::Duration;

use crate::wire::{Encode, Frame, Gauge, allocated};

/// Runs up to this length are gathered, in bytes, ...
const SMALL: usize = 1 << 10;

/// ... in pieces of at most this length, ...
const LONGEST_PIECE: usize = 4 << 10;

/// ... or this one, if a window has little room.
const SHORTEST_PIECE: usize = 256;

/// What a frame takes in a window beside itself: its place, doubled as the window may be half empty.
const PLACE: usize = 2 * size_of::<Kept>();

/// A window with room for so many frames gives room back when three quarters of it are free.
const ROOMY: usize = 64;

/// The last messages.
#[derive(Debug, Default)]
pub(super) struct Window {
    /// Frames, the oldest first.
    kept: VecDeque<Kept>,
    /// Behind them, the small runs that are being gathered.
    open: Vec<u8>,
    open_messages: u32,
    /// When the last message was delivered, in seconds of the core's clock.
    latest: u32,
    /// The encoding of what is gathered.
    encoder: Option<&'static dyn Encode>,
    /// How many messages are kept.
    messages: u64,
    /// What they take, in bytes of memory.
    bytes: usize,
}

#[derive(Debug)]
struct Kept {
    run: Frame,
    /// When its last message was delivered, in seconds of the core's clock.
    at: u32,
}

impl Window {
    /// How many messages are kept.
    pub(super) fn messages(&self) -> u64 {
        self.messages
    }

    /// What they take, in bytes of memory.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// When the last message was delivered.
    pub(super) fn latest(&self) -> Duration {
        Duration::from_secs(self.latest.into())
    }

    /// Brings what the next message needs into the processor's caches, up to the place where it will stand. The result means nothing.
    #[inline]
    pub(super) fn prefetch(&self) -> u64 {
        self.messages ^ u64::from(self.latest) ^ self.open.last().map_or(0, |byte| u64::from(*byte))
    }

    /// Keeps a run as the latest. Small ones are gathered in pieces of about `piece` bytes.
    pub(super) fn push(&mut self, run: &Frame, now: Duration, piece: usize, queues: &Gauge) {
        let piece = piece.clamp(SHORTEST_PIECE, LONGEST_PIECE);
        let units = run.bytes();
        let is_other = self.encoder.is_some_and(|encoder| !run.is_in(encoder));
        if !self.open.is_empty() && (is_other || self.open.len() + units.len() > piece) {
            self.close(queues);
        }
        // 136 years.
        self.latest = u32::try_from(now.as_secs()).unwrap_or(u32::MAX);
        self.messages += u64::from(run.messages());
        if units.len() > SMALL.min(piece) {
            if !self.open.is_empty() {
                self.close(queues);
            }
            return self.keep(run.clone(), queues);
        }
        self.encoder = Some(run.encoder());
        if self.open.capacity() - self.open.len() < units.len() {
            self.bytes -= allocated(self.open.capacity());
            let room = (2 * self.open.capacity()).clamp(self.open.len() + units.len(), piece);
            self.open.reserve_exact(room - self.open.len());
            self.bytes += allocated(self.open.capacity());
        }
        self.open.extend_from_slice(units);
        self.open_messages += run.messages();
    }

    /// Makes a frame of what was gathered.
    fn close(&mut self, queues: &Gauge) {
        let Some(encoder) = self.encoder else { return };
        self.bytes -= allocated(self.open.capacity());
        let units = std::mem::take(&mut self.open).into_boxed_slice();
        let run = Frame::new(units, std::mem::take(&mut self.open_messages), encoder);
        self.keep(run, queues);
    }

    fn keep(&mut self, run: Frame, queues: &Gauge) {
        run.store(queues);
        self.bytes += run.cost() + PLACE;
        self.kept.push_back(Kept { run, at: self.latest });
    }

    /// Gives up what was delivered before a time, and what takes more than `most` bytes of memory, the oldest first.
    pub(super) fn trim(&mut self, most: usize, before: Duration, queues: &Gauge) {
        while self.bytes > most && self.pop(queues) {}
        while self.kept.front().is_some_and(|first| Duration::from_secs(first.at.into()) < before) && self.pop(queues) {}
    }

    /// Gives up all.
    pub(super) fn clear(&mut self, queues: &Gauge) {
        while self.pop(queues) {}
    }

    /// Gives up the oldest frame, or what is gathered if that is all. False if nothing is kept.
    pub(super) fn pop(&mut self, queues: &Gauge) -> bool {
        let Some(Kept { run, .. }) = self.kept.pop_front() else {
            let is_some = !self.open.is_empty();
            self.bytes -= allocated(self.open.capacity());
            (self.open, self.open_messages, self.messages) = (Vec::new(), 0, 0);
            return is_some;
        };
        self.bytes -= run.cost() + PLACE;
        self.messages -= u64::from(run.messages());
        run.unstore(queues);
        if self.kept.capacity() >= ROOMY && self.kept.len() * 4 < self.kept.capacity() {
            self.kept.shrink_to(self.kept.len() * 2);
        }
        true
    }

    /// All that is kept: frames, and when the last message of each was delivered, in seconds of the core's clock.
    pub(super) fn runs(&self) -> impl Iterator<Item = (Frame, u32)> {
        let gathered = self.encoder.filter(|_| !self.open.is_empty());
        let gathered = gathered.map(|encoder| (Frame::new(Box::from(&self.open[..]), self.open_messages, encoder), self.latest));
        self.kept.iter().map(|kept| (kept.run.clone(), kept.at)).chain(gathered)
    }

    /// The last `count` messages. The first of their frames may be a part of one.
    pub(super) fn last(&self, count: u64) -> impl Iterator<Item = Frame> {
        let mut before = self.messages.saturating_sub(count);
        let mut skip = move |messages: u32| {
            let skipped = u32::try_from(before).unwrap_or(u32::MAX).min(messages);
            before -= u64::from(skipped);
            skipped
        };
        let gathered = self.encoder.filter(|_| !self.open.is_empty()).map(|encoder| (encoder, &self.open[..], self.open_messages));
        let kept = self.kept.iter().map(|kept| Some(&kept.run));
        kept.chain([None]).filter_map(move |kept| match (kept, gathered) {
            (Some(run), _) => match skip(run.messages()) {
                0 => Some(run.clone()),
                skipped if skipped == run.messages() => None,
                skipped => Some(run.after(skipped)),
            },
            (None, Some((encoder, open, messages))) => {
                let skipped = skip(messages);
                let units = open.get(encoder.end_of(open, skipped)..).filter(|units| !units.is_empty())?;
                Some(Frame::new(Box::from(units), messages - skipped, encoder))
            }
            (None, None) => None,
        })
    }

    /// The frames of the last `count` messages, as far as they are frames.
    pub(super) fn frames(&self, count: u64) -> impl Iterator<Item = &Frame> {
        let mut before = self.messages.saturating_sub(count);
        self.kept.iter().map(|kept| &kept.run).filter(move |run| {
            let messages = u64::from(run.messages());
            let skipped = before.min(messages);
            before -= skipped;
            skipped < messages
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::json_lines::ENCODER;

    fn run(lines: &str) -> Frame {
        Frame::new(Box::from(lines.as_bytes()), lines.matches('\n').count().try_into().unwrap(), &ENCODER)
    }

    fn text(window: &Window, count: u64) -> String {
        window.last(count).map(|frame| String::from_utf8(frame.bytes().to_vec()).unwrap()).collect()
    }

    /// Lines of many lengths: gathered, kept as they are, and such that a piece is full.
    fn lines() -> Vec<String> {
        (0..40).map(|number| format!("{number}{}\n", "x".repeat([3, 900, 2000, 0, 1100][number % 5]))).collect()
    }

    #[test]
    fn the_last_messages_are_whole_lines_however_runs_were() {
        let (lines, gauge) = (lines(), Gauge::default());
        for together in 1..5 {
            let mut window = Window::default();
            for runs in lines.chunks(together) {
                window.push(&run(&runs.concat()), Duration::ZERO, 5000, &gauge);
            }
            assert_eq!(window.messages(), 40);
            for count in 0..42 {
                assert_eq!(text(&window, count as u64), lines[40_usize.saturating_sub(count)..].concat(), "{together}: the last {count}");
            }
        }
    }

    #[test]
    fn what_is_given_up_is_counted_no_more() {
        let gauge = Gauge::default();
        let mut window = Window::default();
        for (second, line) in (0..).zip(lines()) {
            window.push(&run(&line), Duration::from_secs(second), 5000, &gauge);
        }
        assert_eq!((window.latest(), gauge.bytes()), (Duration::from_secs(39), 0), "what is stored does not count as queued");
        window.trim(usize::MAX, Duration::from_secs(35), &gauge);
        let left = window.messages();
        assert!((5..10).contains(&left), "{left} messages are left of the last five seconds");
        assert_eq!(text(&window, 100), lines()[40 - left as usize..].concat());
        for most in [4000, 1000, 100, 0] {
            window.trim(most, Duration::ZERO, &gauge);
            assert!(window.bytes() <= most);
            assert_eq!(text(&window, 100), lines()[40 - window.messages() as usize..].concat());
        }
        assert_eq!((window.messages(), window.bytes()), (0, 0));
    }

    #[test]
    fn a_window_takes_little_more_than_its_messages() {
        let (mut window, gauge) = (Window::default(), Gauge::default());
        let line = format!("{}\n", "x".repeat(99));
        for _ in 0..10_000 {
            window.push(&run(&line), Duration::ZERO, 5000, &gauge);
        }
        assert!(window.bytes() < 1_100_000, "{} bytes for a million", window.bytes());
    }
}
