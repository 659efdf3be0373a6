//! Encoded units, shared by all connections that they are queued for, with their translations into other encodings.

use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::codec::Encode;
use super::ids::StreamName;

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
    translations: Mutex<Slots>,
    /// In how many queues it stands, and whether it is stored: see [`STORED`].
    places: AtomicUsize,
}

/// The bit of `places` that says that the frame is stored. The bits below count queues.
const STORED: usize = 1 << (usize::BITS - 1);

/// A shared count of bytes.
#[derive(Debug, Default)]
pub struct Gauge(AtomicUsize);

impl Gauge {
    /// Bytes in use now. One thread's subtraction may be seen before another thread's addition, so that the count wraps: it is
    /// then taken to be 0, since a huge one would cut everybody off.
    pub fn bytes(&self) -> usize {
        let bytes = self.0.load(Ordering::Relaxed);
        if bytes > isize::MAX as usize { 0 } else { bytes }
    }

    /// Adds to the count.
    pub fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Subtracts from the count.
    pub fn remove(&self, bytes: usize) {
        self.0.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// The memory that the allocator takes for a block of `size` bytes: jemalloc has four sizes for each doubling.
pub fn allocated(size: usize) -> usize {
    if size <= 128 {
        return size.next_multiple_of(16);
    }
    let step = size.next_power_of_two() / 8;
    size.next_multiple_of(step)
}

/// Names up to this length stand in place.
const INLINE_NAME: usize = 23;

/// What a name takes beside its own fields, in bytes of memory.
pub fn allocated_name(name: &StreamName) -> usize {
    let length = name.as_str().len();
    if length > INLINE_NAME { allocated(length + 2 * size_of::<usize>()) } else { 0 }
}

/// The memory of a frame's own fields, with the two counts of its `Arc`.
const FIELDS: usize = size_of::<Inner>() + 2 * size_of::<usize>();

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
        Self(Arc::new(Inner { bytes, messages, lasting, encoder, translations: Mutex::default(), places: AtomicUsize::new(0) }))
    }

    /// Notes that it stands in one more queue. The gauge of queues counts a frame once, however many queues hold it, and not at all while
    /// it is stored: then its store counts it.
    pub fn enter(&self, queues: &Gauge) {
        if self.0.places.fetch_add(1, Ordering::Relaxed) == 0 {
            queues.add(self.cost());
        }
    }

    /// Notes that it stands in one queue less.
    pub fn leave(&self, queues: &Gauge) {
        if self.0.places.fetch_sub(1, Ordering::Relaxed) == 1 {
            queues.remove(self.cost());
        }
    }

    /// Notes that it is stored: its store counts it from now on, not the gauge of queues.
    pub fn store(&self, queues: &Gauge) {
        let before = self.0.places.fetch_or(STORED, Ordering::Relaxed);
        debug_assert!(before & STORED == 0, "a frame is stored in one place");
        if before > 0 {
            queues.remove(self.cost());
        }
    }

    /// Notes that it is no longer stored: if queues still hold it, their gauge counts it again.
    pub fn unstore(&self, queues: &Gauge) {
        if self.0.places.fetch_and(!STORED, Ordering::Relaxed) != STORED {
            queues.add(self.cost());
        }
    }

    /// The memory that dropping it from one queue gives back on average: its cost divided by the number of queues that hold it;
    /// nothing while it is stored.
    pub fn share(&self) -> usize {
        match self.0.places.load(Ordering::Relaxed) {
            stored if stored & STORED != 0 => 0,
            queues => self.cost() / queues.max(1),
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

    /// The messages behind the first `count`, as a run of their own.
    pub fn after(&self, count: u32) -> Self {
        let end = self.0.encoder.end_of(&self.0.bytes, count);
        let rest = self.0.bytes.get(end..).unwrap_or_default();
        Self::new(Box::from(rest), self.0.messages.saturating_sub(count), self.0.encoder)
    }

    /// The last message: the frame itself if it is its only one.
    pub fn last(&self) -> Self {
        if self.0.messages <= 1 {
            return self.clone();
        }
        let start = self.0.encoder.start_of_last(&self.0.bytes, self.0.messages);
        Self::new(Box::from(self.0.bytes.get(start..).unwrap_or_default()), 1, self.0.encoder)
    }

    /// A frame without content, which keeps a place in a queue.
    pub fn stand_in(encoder: &'static dyn Encode) -> Self {
        Self::new(Box::default(), 0, encoder)
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

    /// Whether both are one and the same frame.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The same units in another encoding. The first call translates them; later calls share the result.
    pub fn translated(&self, encoder: &'static dyn Encode, translations: &Arc<Translations>) -> Self {
        let (frame, is_new) = self.find_or_translate(encoder, translations);
        if is_new {
            translations.bytes.fetch_add(self.0.bytes.len(), Ordering::Relaxed);
        }
        frame
    }

    /// The same, on a thread that nobody waits for: it does not count in [`Translations::bytes`].
    pub fn translated_aside(&self, encoder: &'static dyn Encode, translations: &Arc<Translations>) -> Self {
        self.find_or_translate(encoder, translations).0
    }

    fn find_or_translate(&self, encoder: &'static dyn Encode, translations: &Arc<Translations>) -> (Self, bool) {
        if let Some(frame) = self.slots().find(encoder) {
            return (frame, false);
        }
        // Not under the lock, since it may take a while.
        let mut out = Vec::with_capacity(self.0.bytes.len());
        self.0.encoder.read_back(&self.0.bytes, &mut |event| encoder.encode_json(event, &mut out));
        let frame = Self::new(out.into_boxed_slice(), self.0.messages, encoder);
        translations.count.fetch_add(u64::from(self.0.messages), Ordering::Relaxed);
        let mut slots = self.slots();
        // Somebody may have been quicker.
        if let Some(first) = slots.find(encoder) {
            return (first, true);
        }
        slots.set(Translation::of(&frame, self.0.lasting, translations));
        (frame, true)
    }

    /// Whether it can be had in this encoding without translating it now.
    pub fn is_ready_in(&self, encoder: &'static dyn Encode) -> bool {
        self.ready_in(encoder).is_some()
    }

    /// The same units in another encoding, if nothing has to be translated for that.
    pub fn ready_in(&self, encoder: &'static dyn Encode) -> Option<Self> {
        if self.is_in(encoder) { Some(self.clone()) } else { self.slots().find(encoder) }
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.0.translations.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it costs in memory, in bytes.
    pub fn cost(&self) -> usize {
        allocated(self.0.bytes.len()) + allocated(FIELDS)
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&self.0.bytes))
    }
}

/// A frame's translations, one for each encoding that a listener needed. There are rarely two.
#[derive(Default)]
struct Slots {
    first: Translation,
    #[expect(clippy::box_collection, reason = "most frames are in the only other encoding, and small")]
    more: Option<Box<Vec<Translation>>>,
}

impl Slots {
    fn find(&self, encoder: &'static dyn Encode) -> Option<Frame> {
        let more = self.more.iter().flat_map(|more| more.iter());
        std::iter::once(&self.first).chain(more).filter_map(Translation::frame).find(|frame| frame.is_in(encoder))
    }

    /// Adds a translation, if possible in the place of one that nobody holds any more.
    fn set(&mut self, translation: Translation) {
        if self.first.frame().is_none() {
            self.first = translation;
            return;
        }
        let more = self.more.get_or_insert_default();
        match more.iter_mut().find(|slot| slot.frame().is_none()) {
            Some(slot) => *slot = translation,
            None => more.push(translation),
        }
    }
}

/// One translation of a frame.
#[derive(Default)]
enum Translation {
    #[default]
    Nothing,
    /// Alive as long as it waits in a queue. All listeners of a message are given it at one time, so it is not needed later; and
    /// if it were kept, a slow listener in one encoding would hold the other one in memory, too.
    Passing(Weak<Inner>),
    /// Of a stored frame: kept for the listeners that join later.
    Kept(Kept),
}

/// A translation that counts among those kept.
struct Kept {
    frame: Frame,
    translations: Arc<Translations>,
}

impl Translation {
    /// The translation of a frame: kept if the frame is `lasting` and there is room.
    fn of(frame: &Frame, lasting: bool, translations: &Arc<Translations>) -> Self {
        if lasting && translations.keep(frame) {
            return Self::Kept(Kept { frame: frame.clone(), translations: Arc::clone(translations) });
        }
        Self::Passing(Arc::downgrade(&frame.0))
    }

    /// The translation, if it is still there.
    fn frame(&self) -> Option<Frame> {
        match self {
            Self::Nothing => None,
            Self::Passing(frame) => frame.upgrade().map(Frame),
            Self::Kept(kept) => Some(kept.frame.clone()),
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.translations.let_go(&self.frame);
    }
}

/// The translations of one broker: how many there were, and how much of them is kept.
#[derive(Debug, Default)]
pub struct Translations {
    count: AtomicU64,
    bytes: AtomicUsize,
    kept: AtomicUsize,
    /// The most that `kept` may be.
    most: AtomicUsize,
    /// Counts what stands in queues. Kept translations do not count there.
    queues: Arc<Gauge>,
}

impl Translations {
    /// Translations, of which up to `most` bytes are kept with the stored frames; `queues` counts what stands in queues. By
    /// default none are kept.
    pub fn keeping(most: usize, queues: Arc<Gauge>) -> Self {
        Self { most: AtomicUsize::new(most), queues, ..Self::default() }
    }

    /// From now on up to `most` bytes are kept. What is kept already stays until it is let go.
    pub fn set_most(&self, most: usize) {
        self.most.store(most, Ordering::Relaxed);
    }

    /// How many messages have been translated.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// How many bytes have been translated while somebody waited. The count may wrap.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// The bytes of memory that are kept now.
    pub fn kept(&self) -> usize {
        self.kept.load(Ordering::Relaxed)
    }

    /// Keeps a frame, if there is room.
    fn keep(&self, frame: &Frame) -> bool {
        let most = self.most.load(Ordering::Relaxed);
        let room = |kept: usize| kept.checked_add(frame.cost()).filter(|kept| *kept <= most);
        let keeps = self.kept.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).is_ok();
        if keeps {
            frame.store(&self.queues);
        }
        keeps
    }

    fn let_go(&self, frame: &Frame) {
        frame.unstore(&self.queues);
        self.kept.fetch_sub(frame.cost(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
