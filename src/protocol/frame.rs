//! Encoded units, shared by all connections that they are queued for.

use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::codec::Encode;

/// Encoded output: one or more complete units, contiguous, refcounted and never changed.
///
/// A frame of several units is a *run*: consecutive messages of one publisher to one stream, which travel together.
#[derive(Clone)]
pub struct Frame(Arc<Inner>);

struct Inner {
    bytes: Box<[u8]>,
    /// How many units `bytes` holds.
    messages: u32,
    /// Whether it is made to be stored, for those who join later.
    lasting: bool,
    encoder: &'static dyn Encode,
    translation: Mutex<Translation>,
    /// Counts this frame as long as anybody holds it.
    gauge: Arc<Gauge>,
}

/// The same units in another encoding, once somebody needed them.
#[derive(Default)]
enum Translation {
    #[default]
    Nothing,
    /// Alive as long as it waits in a queue. All listeners of a message are given it at one time, so that nobody needs it
    /// later; and were it kept, a slow listener to the one encoding would hold the other in memory, too.
    Passing(Weak<Inner>),
    /// Of a frame that is stored: there for all who join.
    Kept(Frame),
}

/// The bytes of all frames that are alive, which is what queues cost: a frame in a thousand queues counts once.
#[derive(Debug, Default)]
pub struct Gauge {
    bytes: AtomicUsize,
    kept: AtomicUsize,
    /// The most that `kept` may be.
    keep: usize,
    translated: AtomicU64,
}

/// What a frame costs beside its bytes: its own fields, two counts and the allocator's rounding.
const OVERHEAD: usize = 128;

impl Gauge {
    /// A gauge whose frames may keep so many bytes of translations with what is stored. By default they keep none.
    pub fn keeping(most: usize) -> Self {
        Self { keep: most, ..Self::default() }
    }

    /// Bytes in use now.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Those of them that are translations kept with what is stored, and so wait for nobody.
    pub fn kept(&self) -> usize {
        self.kept.load(Ordering::Relaxed)
    }

    /// How many messages have been translated into another encoding.
    pub fn translated(&self) -> u64 {
        self.translated.load(Ordering::Relaxed)
    }

    /// Counts bytes that are not a frame's, such as those of an unfinished line.
    pub fn add(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Takes back what was added.
    pub fn remove(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Whether there is room to keep so many bytes, which are counted then.
    fn keep(&self, bytes: usize) -> bool {
        let room = |kept: usize| kept.checked_add(bytes).filter(|kept| *kept <= self.keep);
        self.kept.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).is_ok()
    }
}

impl Frame {
    /// A frame of `messages` complete units in the given encoding.
    pub fn new(bytes: Box<[u8]>, messages: u32, encoder: &'static dyn Encode, gauge: &Arc<Gauge>) -> Self {
        Self::of(bytes, messages, false, encoder, gauge)
    }

    /// A frame of one unit that is to be stored: headers and last messages.
    pub fn lasting(bytes: Box<[u8]>, encoder: &'static dyn Encode, gauge: &Arc<Gauge>) -> Self {
        Self::of(bytes, 1, true, encoder, gauge)
    }

    fn of(bytes: Box<[u8]>, messages: u32, lasting: bool, encoder: &'static dyn Encode, gauge: &Arc<Gauge>) -> Self {
        debug_assert!(size_of_val(encoder) > 0, "an encoder without a size has no address of its own");
        gauge.add(bytes.len() + OVERHEAD);
        Self(Arc::new(Inner { bytes, messages, lasting, encoder, translation: Mutex::default(), gauge: Arc::clone(gauge) }))
    }

    /// The encoded units.
    pub fn bytes(&self) -> &[u8] {
        &self.0.bytes
    }

    /// How many units it holds.
    pub fn messages(&self) -> u32 {
        self.0.messages
    }

    /// The encoding that its bytes are in.
    pub fn encoder(&self) -> &'static dyn Encode {
        self.0.encoder
    }

    /// Whether its bytes are in this encoding.
    pub fn is_in(&self, encoder: &'static dyn Encode) -> bool {
        std::ptr::addr_eq(self.0.encoder, encoder)
    }

    /// What it costs in memory, in bytes.
    pub fn cost(&self) -> usize {
        self.0.bytes.len() + OVERHEAD
    }

    /// The same units in another encoding. The first who asks has them translated, and all others share the result.
    pub fn translated(&self, encoder: &'static dyn Encode) -> Self {
        let mut translation = self.0.translation.lock().unwrap_or_else(PoisonError::into_inner);
        let there = match &*translation {
            Translation::Nothing => None,
            Translation::Passing(inner) => inner.upgrade().map(Self),
            Translation::Kept(frame) => Some(frame.clone()),
        };
        if let Some(frame) = there.filter(|frame| frame.is_in(encoder)) {
            return frame;
        }
        let frame = self.translate(encoder);
        // One that was kept is of a third encoding; it stays, and this one passes.
        match &*translation {
            Translation::Kept(_) => {}
            Translation::Nothing | Translation::Passing(_) => {
                let keep = self.0.lasting && self.0.gauge.keep(frame.cost());
                *translation = if keep { Translation::Kept(frame.clone()) } else { Translation::Passing(Arc::downgrade(&frame.0)) };
            }
        }
        frame
    }

    fn translate(&self, encoder: &'static dyn Encode) -> Self {
        let mut out = Vec::with_capacity(self.0.bytes.len());
        self.0.encoder.read_back(&self.0.bytes, &mut |event| encoder.encode_json(event, &mut out));
        self.0.gauge.translated.fetch_add(u64::from(self.0.messages), Ordering::Relaxed);
        Self::new(out.into_boxed_slice(), self.0.messages, encoder, &self.0.gauge)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.gauge.remove(self.bytes.len() + OVERHEAD);
        if let Translation::Kept(frame) = self.translation.get_mut().unwrap_or_else(PoisonError::into_inner) {
            self.gauge.kept.fetch_sub(frame.cost(), Ordering::Relaxed);
        }
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&self.0.bytes))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Frame, Gauge};
    use crate::ids::StreamName;
    use crate::protocol::json_lines::ENCODER as JSON;
    use crate::protocol::message_pack::ENCODER as MESSAGE_PACK;
    use crate::protocol::{Encode, Event};

    fn bytes(encoder: &dyn Encode, message: &[u8]) -> Box<[u8]> {
        let mut out = Vec::new();
        let stream = StreamName::new("s").unwrap();
        encoder.encode(&Event::Put { stream: &stream, message }, &mut out);
        out.into()
    }

    #[test]
    fn a_message_is_translated_once_and_forgotten_with_its_last_listener() {
        let gauge = Arc::new(Gauge::keeping(10_000));
        let frame = Frame::new(bytes(&JSON, b"[1]"), 1, &JSON, &gauge);
        assert!(frame.is_in(&JSON) && !frame.is_in(&MESSAGE_PACK));
        let alone = gauge.bytes();
        let queued = frame.translated(&MESSAGE_PACK);
        assert_eq!(queued.bytes(), &*bytes(&MESSAGE_PACK, b"\x91\x01"));
        for _ in 0..100 {
            assert_eq!(frame.translated(&MESSAGE_PACK).bytes().as_ptr(), queued.bytes().as_ptr());
        }
        assert_eq!((gauge.translated(), gauge.kept()), (1, 0));
        drop(queued);
        assert_eq!(gauge.bytes(), alone);
        drop(frame);
        assert_eq!(gauge.bytes(), 0);
    }

    #[test]
    fn what_is_stored_keeps_its_translation_while_there_is_room() {
        let gauge = Arc::new(Gauge::keeping(300));
        let headers: Vec<_> = (0..2).map(|_| Frame::lasting(bytes(&MESSAGE_PACK, b"\x91\x01"), &MESSAGE_PACK, &gauge)).collect();
        for _ in 0..10 {
            for header in &headers {
                assert_eq!(header.translated(&JSON).bytes(), &*bytes(&JSON, b"[1]"));
            }
        }
        // The first is kept; for the second there is no room.
        assert_eq!(gauge.translated(), 1 + 10);
        assert_eq!(gauge.bytes(), gauge.kept() + headers.iter().map(Frame::cost).sum::<usize>());
        drop(headers);
        assert_eq!((gauge.bytes(), gauge.kept()), (0, 0));
    }
}
