//! The frames that wait for one connection. Pure: no lock, no socket.

use std::collections::VecDeque;
use std::io::IoSlice;

use crate::wire::{Frame, Gauge};

/// What a waiting frame costs beside itself: its place in the queue, doubled as the queue may be half empty.
const PLACE: usize = 2 * size_of::<Frame>();

/// Frames up to this size are gathered into one buffer, since copying them costs less than handing them over one by one.
const SMALL: usize = 4 << 10;

/// A queue with room for so many frames gives room back when three quarters of it are free.
const ROOMY: usize = 1024;

/// How many frames of a long queue are looked at to tell what dropping it would give back.
const SAMPLE: usize = 16;

/// The most frames handed over in one write: large ones soon make it worth its call.
pub const SLICES: usize = 16;

/// A first-in, first-out queue of frames, counted in bytes, that allocates nothing for a single frame.
#[derive(Debug, Default)]
pub struct Queue {
    first: Option<Frame>,
    /// What stands behind the first; dropped when empty.
    #[expect(clippy::box_collection, reason = "idle connections stay small")]
    rest: Option<Box<VecDeque<Frame>>>,
    /// How many bytes of the first frame have been sent.
    sent: usize,
    /// All bytes that wait.
    bytes: usize,
    /// Whether the gauge counts what waits. What is sent in the round in which it came is never counted: that is most of
    /// all, and counting costs as much as queueing.
    counted: bool,
    /// What is not sent any more and is yet to be dropped, some at a time.
    doomed: Option<Box<Doomed>>,
}

/// Frames that are dropped some at a time, since there may be a million.
#[derive(Debug)]
struct Doomed {
    frames: VecDeque<Frame>,
    /// How many there were, ...
    count: usize,
    /// ... and about how much memory they gave back.
    gain: usize,
    /// Whether the gauge counts them.
    counted: bool,
}

impl Queue {
    /// The bytes that wait.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// How many frames wait.
    pub fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.rest.as_ref().map_or(0, |rest| rest.len())
    }

    /// About how much memory dropping what waits would give back, in bytes: each place in the queue, and each frame's cost
    /// shared among the queues that hold it. A sample tells what many frames give back for each of their bytes, which are known: so a
    /// large one among many that are small counts once, whether it is in the sample or not.
    pub fn gain(&self) -> usize {
        let doomed = self.doomed.as_ref().map_or(0, |doomed| doomed.gain / doomed.count.max(1) * doomed.frames.len());
        doomed + self.gain_of_queue()
    }

    fn gain_of_queue(&self) -> usize {
        let Some(first) = self.first.as_ref().filter(|_| self.counted) else { return 0 };
        let rest = self.rest.as_ref().map_or(0, |rest| rest.len());
        let step = (rest / SAMPLE).max(1);
        let sample = (0..rest).step_by(step).filter_map(|index| self.rest.as_ref()?.get(index));
        let (shares, bytes) = sample.fold((0, 0), |(shares, bytes), frame| (shares + frame.share(), bytes + frame.bytes().len()));
        let behind = (self.bytes + self.sent).saturating_sub(first.bytes().len());
        let given = shares as f64 / bytes.max(1) as f64 * behind as f64;
        first.share() + given as usize + PLACE * self.len()
    }

    /// Adds a frame at the end.
    pub fn push(&mut self, frame: Frame, gauge: &Gauge) {
        self.bytes += frame.bytes().len();
        if self.counted {
            enter(&frame, gauge);
        }
        if self.first.is_none() {
            self.first = Some(frame);
        } else {
            self.rest.get_or_insert_default().push_back(frame);
        }
    }

    /// From now on, until it is empty, the gauge counts what waits: the frames, and their places in the queue.
    pub fn count(&mut self, gauge: &Gauge) {
        if self.counted || self.first.is_none() {
            return;
        }
        self.counted = true;
        for frame in self.first.iter().chain(self.rest.iter().flat_map(|rest| rest.iter())) {
            enter(frame, gauge);
        }
    }

    /// What the next write of about `most` bytes should carry: several small frames are copied into `gathered`, larger
    /// ones are listed in `slices`. Returns how many slices there are; with none, `gathered` holds all.
    pub fn front<'a>(&'a self, gathered: &mut Vec<u8>, slices: &mut [IoSlice<'a>; SLICES], most: usize) -> usize {
        gathered.clear();
        let Some(first) = &self.first else { return 0 };
        let first = &first.bytes()[self.sent..];
        let Some(rest) = self.rest.as_ref().filter(|rest| !rest.is_empty()) else {
            slices[0] = IoSlice::new(first);
            return 1;
        };
        if first.len() <= SMALL {
            gathered.extend_from_slice(first);
            for frame in rest.iter() {
                // Longer, or without content: an empty one keeps a place that is not filled yet.
                if frame.bytes().len().wrapping_sub(1) >= SMALL || gathered.len() + frame.bytes().len() > most {
                    break;
                }
                gathered.extend_from_slice(frame.bytes());
            }
            return 0;
        }
        slices[0] = IoSlice::new(first);
        let (mut count, mut total) = (1, first.len());
        for frame in rest.iter().take(SLICES - 1) {
            if total >= most || frame.bytes().is_empty() {
                break;
            }
            total += frame.bytes().len();
            slices[count] = IoSlice::new(frame.bytes());
            count += 1;
        }
        count
    }

    /// Takes `written` bytes off the front.
    pub fn advance(&mut self, written: usize, gauge: &Gauge) {
        debug_assert!(written <= self.bytes, "more was written than waited");
        self.bytes -= written;
        self.sent += written;
        while let Some(first) = &self.first {
            let len = first.bytes().len();
            // Less than all of it, or it has no content, and its place is to be filled first.
            if self.sent <= len.wrapping_sub(1) {
                return;
            }
            self.sent -= len;
            if self.counted {
                leave(first, gauge);
            }
            self.step();
        }
        self.counted = false;
    }

    /// The next one is the first.
    #[inline(always)]
    fn step(&mut self) {
        self.first = self.rest.as_mut().and_then(|rest| rest.pop_front());
        if self.rest.as_ref().is_some_and(|rest| rest.is_empty()) {
            self.rest = None;
        }
        self.give_room_back();
    }

    /// Whether the first frame keeps a place that is to be filled.
    pub fn begins_with_stand_in(&self) -> bool {
        self.first.as_ref().is_some_and(|first| first.bytes().is_empty())
    }

    /// Takes the first frame if it only keeps a place.
    pub fn take_stand_in(&mut self, gauge: &Gauge) -> bool {
        let Some(first) = self.first.as_ref().filter(|first| first.bytes().is_empty()) else { return false };
        if self.counted {
            leave(first, gauge);
        }
        self.step();
        self.counted &= self.first.is_some();
        true
    }

    /// Adds frames before all others, of which none has been sent in part.
    pub fn put_first(&mut self, frames: Vec<Frame>, gauge: &Gauge) {
        debug_assert!(self.sent == 0, "the first frame is sent in part");
        for frame in frames.into_iter().rev() {
            self.bytes += frame.bytes().len();
            if self.counted {
                enter(&frame, gauge);
            }
            if let Some(second) = self.first.replace(frame) {
                self.rest.get_or_insert_default().push_front(second);
            }
        }
    }

    /// One that was long and is nearly sent does not keep the room that it needed, which nothing counts.
    fn give_room_back(&mut self) {
        if let Some(rest) = &mut self.rest
            && rest.capacity() > ROOMY
            && rest.len() * 4 < rest.capacity()
        {
            rest.shrink_to(rest.len() * 2);
        }
    }

    /// Sends nothing of what waits any more, except the rest of a frame that has been sent in part: the peer is left with whole units
    /// only. [`drop_doomed`](Self::drop_doomed) drops it.
    pub fn truncate(&mut self, gauge: &Gauge) {
        let gain = self.gain_of_queue();
        let (mut frames, counted) = (self.rest.take().map(|rest| *rest).unwrap_or_default(), self.counted);
        match &self.first {
            Some(first) if self.sent > 0 => self.bytes = first.bytes().len() - self.sent,
            _ => {
                frames.extend(self.first.take());
                (self.sent, self.bytes, self.counted) = (0, 0, false);
            }
        }
        if !frames.is_empty() {
            self.drop_doomed(usize::MAX, gauge);
            let (count, gain) = (frames.len(), gain.saturating_sub(self.gain_of_queue()));
            self.doomed = Some(Box::new(Doomed { frames, count, gain, counted }));
        }
    }

    /// How many frames are yet to be dropped.
    pub fn doomed(&self) -> usize {
        self.doomed.as_ref().map_or(0, |doomed| doomed.frames.len())
    }

    /// Drops up to `most` of the frames that are not sent any more. True if none is left.
    pub fn drop_doomed(&mut self, most: usize, gauge: &Gauge) -> bool {
        let Some(doomed) = &mut self.doomed else { return true };
        for frame in doomed.frames.drain(..most.min(doomed.frames.len())) {
            if doomed.counted {
                leave(&frame, gauge);
            }
        }
        if doomed.frames.is_empty() {
            self.doomed = None;
        }
        self.doomed.is_none()
    }

    /// Drops everything.
    pub fn clear(&mut self, gauge: &Gauge) {
        self.drop_doomed(usize::MAX, gauge);
        self.drop_rest(gauge);
        if let Some(first) = self.first.take()
            && self.counted
        {
            leave(&first, gauge);
        }
        (self.sent, self.bytes, self.counted) = (0, 0, false);
    }

    /// Drops up to `most` frames from the front. True if nothing is left.
    pub fn drop_some(&mut self, most: usize, gauge: &Gauge) -> bool {
        if !self.drop_doomed(most, gauge) {
            return false;
        }
        for _ in 1..most {
            let Some(frame) = self.rest.as_mut().and_then(|rest| rest.pop_front()) else {
                self.clear(gauge);
                return true;
            };
            self.bytes -= frame.bytes().len();
            if self.counted {
                leave(&frame, gauge);
            }
        }
        false
    }

    fn drop_rest(&mut self, gauge: &Gauge) {
        for frame in self.rest.take().into_iter().flat_map(|rest| rest.into_iter()) {
            if self.counted {
                leave(&frame, gauge);
            }
        }
    }
}

fn enter(frame: &Frame, gauge: &Gauge) {
    frame.enter(gauge);
    gauge.add(PLACE);
}

fn leave(frame: &Frame, gauge: &Gauge) {
    frame.leave(gauge);
    gauge.remove(PLACE);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop};
    use proptest::{prop_assert_eq, proptest};

    use super::*;
    use crate::wire::json_lines::ENCODER;

    fn frame(bytes: &[u8]) -> Frame {
        Frame::new(bytes.into(), 1, &ENCODER)
    }

    /// What one write would carry.
    fn next_write(queue: &Queue, most: usize) -> Vec<u8> {
        let (mut gathered, mut slices) = (Vec::new(), [IoSlice::new(&[]); SLICES]);
        let count = queue.front(&mut gathered, &mut slices, most);
        assert!(count == 0 || gathered.is_empty());
        let listed = slices[..count].iter().flat_map(|slice| slice.iter().copied());
        gathered.iter().copied().chain(listed).collect()
    }

    proptest! {
        /// All that is pushed comes out, whole and in order, however the writes are cut; and the counts are right.
        #[test]
        fn queue_is_a_pipe(
            lengths in prop::collection::vec(1_usize..9000, 0..40),
            writes in prop::collection::vec(any::<u16>(), 1..40),
            most in 1_usize..70_000,
        ) {
            let gauge = Gauge::default();
            let (mut queue, mut pushed, mut popped) = (Queue::default(), Vec::new(), Vec::new());
            for (number, length) in lengths.iter().enumerate() {
                let bytes = vec![number as u8; *length];
                pushed.extend_from_slice(&bytes);
                queue.push(frame(&bytes), &gauge);
                if number % 3 == 0 {
                    queue.count(&gauge);
                }
                let ready = next_write(&queue, most);
                let written = ready.len().min(usize::from(writes[number % writes.len()]));
                popped.extend_from_slice(&ready[..written]);
                queue.advance(written, &gauge);
                prop_assert_eq!(queue.bytes(), pushed.len() - popped.len());
            }
            while !queue.is_empty() {
                let ready = next_write(&queue, most);
                popped.extend_from_slice(&ready);
                queue.advance(ready.len(), &gauge);
            }
            prop_assert_eq!(pushed, popped);
            prop_assert_eq!(gauge.bytes(), 0);
        }
    }

    // Seen to fail: one in the sample counted for all between it and the next, and one that was not in it for nothing.
    #[test]
    fn a_large_frame_among_many_small_ones_counts_once_wherever_it_stands() {
        for at in [0, 1, 500, 640, 777] {
            let gauge = Gauge::default();
            let mut queue = Queue::default();
            for number in 0..1000 {
                queue.push(frame(&vec![b'x'; if number == at { 1 << 20 } else { 100 }]), &gauge);
            }
            queue.count(&gauge);
            let (gain, true_gain) = (queue.gain(), gauge.bytes());
            assert!((true_gain / 2..true_gain * 4).contains(&gain), "{at}: {gain} of {true_gain}");
        }
    }

    // Seen to fail: a million of places were kept for the last two frames, as long as nobody took those.
    #[test]
    fn a_queue_that_was_long_keeps_no_room_for_that() {
        let gauge = Gauge::default();
        let mut queue = Queue::default();
        for _ in 0..100_000 {
            queue.push(frame(b"1"), &gauge);
        }
        for left in [50_000, 5_000, 3, 2] {
            queue.advance(queue.bytes() - left, &gauge);
            let room = queue.rest.as_ref().map_or(0, |rest| rest.capacity());
            assert!(room <= (4 * left).max(ROOMY), "room for {room} with {left} left");
        }
    }

    #[test]
    fn truncate_keeps_only_the_rest_of_a_started_frame() {
        let gauge = Gauge::default();
        let mut queue = Queue::default();
        for text in ["one\n", "two\n", "three\n"] {
            queue.push(frame(text.as_bytes()), &gauge);
        }
        queue.advance(5, &gauge);
        queue.truncate(&gauge);
        assert_eq!(next_write(&queue, 100), b"wo\n");
        queue.advance(3, &gauge);
        assert!(queue.is_empty());

        queue.push(frame(b"four\n"), &gauge);
        queue.truncate(&gauge);
        assert!(queue.is_empty());
        assert_eq!((queue.bytes(), gauge.bytes()), (0, 0));
    }

    #[test]
    fn clear_drops_a_started_frame_too() {
        let gauge = Gauge::default();
        let mut queue = Queue::default();
        for text in ["one\n", "two\n"] {
            queue.push(frame(text.as_bytes()), &gauge);
        }
        queue.advance(1, &gauge);
        queue.clear(&gauge);
        assert!(queue.is_empty());
        assert_eq!((queue.bytes(), gauge.bytes()), (0, 0));
        queue.push(frame(b"three\n"), &gauge);
        assert_eq!(next_write(&queue, 100), b"three\n");
    }
}
