//! Encoded units, shared by all connections that they are queued for.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

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
    encoder: &'static dyn Encode,
    /// Counts this frame as long as anybody holds it.
    gauge: Arc<Gauge>,
}

/// The bytes of all frames that are alive, which is what queues cost: a frame in a thousand queues counts once.
#[derive(Debug, Default)]
pub struct Gauge(AtomicUsize);

/// What a frame costs beside its bytes: its own fields, two counts and the allocator's rounding.
const OVERHEAD: usize = 96;

impl Gauge {
    /// Bytes in use now.
    pub fn bytes(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Counts bytes that are not a frame's, such as those of an unfinished line.
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
    pub fn new(bytes: Box<[u8]>, messages: u32, encoder: &'static dyn Encode, gauge: &Arc<Gauge>) -> Self {
        gauge.add(bytes.len() + OVERHEAD);
        Self(Arc::new(Inner { bytes, messages, encoder, gauge: Arc::clone(gauge) }))
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

    /// What it costs in memory, in bytes.
    pub fn cost(&self) -> usize {
        self.0.bytes.len() + OVERHEAD
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.gauge.remove(self.bytes.len() + OVERHEAD);
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&self.0.bytes))
    }
}
