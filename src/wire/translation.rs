//! What becomes of a frame's translation into another encoding, and what all translations of a broker count together.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::frame::{Frame, WeakFrame};

/// The translations of one broker: how many there were, and how much of them is kept.
#[derive(Debug, Default)]
pub struct Translations {
    count: AtomicU64,
    kept: AtomicUsize,
    /// The most that `kept` may be.
    most: usize,
}

impl Translations {
    /// Translations of which so many bytes may be kept with what is stored. By default none is.
    pub fn keeping(most: usize) -> Self {
        Self { most, ..Self::default() }
    }

    /// How many messages have been translated.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// The bytes of memory that are kept now.
    pub fn kept(&self) -> usize {
        self.kept.load(Ordering::Relaxed)
    }

    pub(super) fn add(&self, messages: u32) {
        self.count.fetch_add(u64::from(messages), Ordering::Relaxed);
    }

    /// Whether there is room to keep so many bytes, which are counted then.
    fn keep(&self, bytes: usize) -> bool {
        let room = |kept: usize| kept.checked_add(bytes).filter(|kept| *kept <= self.most);
        self.kept.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).is_ok()
    }
}

/// A frame's own translation, once somebody needed it.
#[derive(Default)]
pub(super) enum Translation {
    #[default]
    Nothing,
    /// Alive as long as it waits in a queue. All listeners of a message are given it at one time, so that nobody needs it
    /// later; and were it kept, a slow listener to the one encoding would hold the other in memory, too.
    Passing(WeakFrame),
    /// Of a frame that is stored: there for all who join.
    Kept(Kept),
}

/// A translation that counts among those kept.
pub(super) struct Kept {
    frame: Frame,
    translations: Arc<Translations>,
}

impl Translation {
    /// The translation of a frame: kept if the frame is `lasting` and there is room.
    pub(super) fn of(frame: &Frame, lasting: bool, translations: &Arc<Translations>) -> Self {
        if lasting && translations.keep(frame.cost()) {
            return Self::Kept(Kept { frame: frame.clone(), translations: Arc::clone(translations) });
        }
        Self::Passing(frame.downgrade())
    }

    /// The translation, if it is still there.
    pub(super) fn frame(&self) -> Option<Frame> {
        match self {
            Self::Nothing => None,
            Self::Passing(frame) => frame.upgrade(),
            Self::Kept(kept) => Some(kept.frame.clone()),
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.translations.kept.fetch_sub(self.frame.cost(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::frame::Frame;
    use super::Translations;
    use crate::wire::ids::StreamName;
    use crate::wire::json_lines::ENCODER as JSON;
    use crate::wire::message_pack::ENCODER as MESSAGE_PACK;
    use crate::wire::{Encode, Event};

    fn bytes(encoder: &dyn Encode, message: &[u8]) -> Box<[u8]> {
        let mut out = Vec::new();
        let stream = StreamName::new("s").unwrap();
        encoder.encode(&Event::Put { stream: &stream, message }, &mut out);
        out.into()
    }

    #[test]
    fn a_message_is_translated_once_and_forgotten_with_its_last_listener() {
        let translations = Arc::new(Translations::keeping(10_000));
        let frame = Frame::new(bytes(&JSON, b"[1]"), 1, &JSON);
        assert!(frame.is_in(&JSON) && !frame.is_in(&MESSAGE_PACK));
        let queued = frame.translated(&MESSAGE_PACK, &translations);
        assert_eq!(queued.bytes(), &*bytes(&MESSAGE_PACK, b"\x91\x01"));
        for _ in 0..100 {
            assert_eq!(frame.translated(&MESSAGE_PACK, &translations).bytes().as_ptr(), queued.bytes().as_ptr());
        }
        assert_eq!((translations.count(), translations.kept()), (1, 0));
        let weak = queued.downgrade();
        drop(queued);
        assert!(weak.upgrade().is_none());
    }

    #[test]
    fn what_is_stored_keeps_its_translation_while_there_is_room() {
        let translations = Arc::new(Translations::keeping(300));
        let headers: Vec<_> = (0..2).map(|_| Frame::lasting(bytes(&MESSAGE_PACK, b"\x91\x01"), &MESSAGE_PACK)).collect();
        for _ in 0..10 {
            for header in &headers {
                assert_eq!(header.translated(&JSON, &translations).bytes(), &*bytes(&JSON, b"[1]"));
            }
        }
        // The first is kept; for the second there is no room.
        assert_eq!(translations.count(), 1 + 10);
        assert_eq!(translations.kept(), headers[0].translated(&JSON, &translations).cost());
        drop(headers);
        assert_eq!(translations.kept(), 0);
    }
}
