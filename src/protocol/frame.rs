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
    /// In how many queues it stands.
    queues: AtomicUsize,
}

/// A count of bytes that many share.
#[derive(Debug, Default)]
pub struct Gauge(AtomicUsize);

/// What a frame costs beside its bytes: its own fields, two counts and the allocator's rounding.
const OVERHEAD: usize = 96;

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
        Self(Arc::new(Inner { bytes, messages, encoder, queues: AtomicUsize::new(0) }))
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
