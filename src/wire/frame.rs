//! Encoded units, shared by all connections that they are queued for.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::codec::Encode;
use super::translation::{Translation, Translations};

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
    /// In how many queues it stands.
    queues: AtomicUsize,
}

/// A frame that is there as long as somebody else holds it.
pub(super) struct WeakFrame(Weak<Inner>);

impl WeakFrame {
    pub(super) fn upgrade(&self) -> Option<Frame> {
        self.0.upgrade().map(Frame)
    }
}

/// A count of bytes that many share.
#[derive(Debug, Default)]
pub struct Gauge(AtomicUsize);

/// What a frame costs beside its bytes: its own fields, two counts and the allocator's rounding.
const OVERHEAD: usize = 128;

impl Gauge {
    /// Bytes in use now.
    pub fn bytes(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Counts more.
    pub fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Takes back what was added.
    pub fn remove(&self, bytes: usize) {
        self.0.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Frame {
    /// A frame of `messages` complete units in the given encoding.
    pub fn new(bytes: Box<[u8]>, messages: u32, encoder: &'static dyn Encode) -> Self {
        Self::of(bytes, messages, false, encoder)
    }

    /// A frame of one unit that is to be stored: headers and last messages.
    pub fn lasting(bytes: Box<[u8]>, encoder: &'static dyn Encode) -> Self {
        Self::of(bytes, 1, true, encoder)
    }

    fn of(bytes: Box<[u8]>, messages: u32, lasting: bool, encoder: &'static dyn Encode) -> Self {
        debug_assert!(size_of_val(encoder) > 0, "an encoder without a size has no address of its own");
        Self(Arc::new(Inner { bytes, messages, lasting, encoder, translation: Mutex::default(), queues: AtomicUsize::new(0) }))
    }

    /// It stands in one more queue. The gauge counts a frame once, in however many queues it is.
    pub fn enter(&self, gauge: &Gauge) {
        if self.0.queues.fetch_add(1, Ordering::Relaxed) == 0 {
            gauge.add(self.cost());
        }
    }

    /// It stands in one queue less.
    pub fn leave(&self, gauge: &Gauge) {
        if self.0.queues.fetch_sub(1, Ordering::Relaxed) == 1 {
            gauge.remove(self.cost());
        }
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
    #[inline]
    pub fn is_in(&self, encoder: &'static dyn Encode) -> bool {
        std::ptr::addr_eq(self.0.encoder, encoder)
    }

    /// The same units in another encoding. The first who asks has them translated, and all others share the result.
    pub fn translated(&self, encoder: &'static dyn Encode, translations: &Arc<Translations>) -> Self {
        let mut translation = self.0.translation.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(frame) = translation.frame().filter(|frame| frame.is_in(encoder)) {
            return frame;
        }
        let mut out = Vec::with_capacity(self.0.bytes.len());
        self.0.encoder.read_back(&self.0.bytes, &mut |event| encoder.encode_json(event, &mut out));
        translations.add(self.0.messages);
        let frame = Self::new(out.into_boxed_slice(), self.0.messages, encoder);
        *translation = Translation::of(&frame, self.0.lasting, translations);
        frame
    }

    pub(super) fn downgrade(&self) -> WeakFrame {
        WeakFrame(Arc::downgrade(&self.0))
    }

    /// What it costs in memory, in bytes.
    pub fn cost(&self) -> usize {
        self.0.bytes.len() + OVERHEAD
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&self.0.bytes))
    }
}
