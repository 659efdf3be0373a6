//! Translates what takes long, beside the actor: one piece of work at a time, so that it takes one processor at the most.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread;

use tokio::sync::mpsc::{UnboundedSender, WeakUnboundedSender};
use tracing::warn;

use crate::wire::ids::ConnectionId;
use crate::wire::{Encode, Frame, Translations};

use super::mailbox::Command;

/// Frames from this length on are translated here, in bytes. Less takes the actor no longer than to hand it over and to come back to it.
pub(super) const LARGE: usize = 128 << 10;

/// A frame, and the encoding that it is needed in.
pub(super) type ToTranslate = (Frame, &'static dyn Encode);

/// The way to the thread that translates.
pub(super) struct Translator {
    translations: Arc<Translations>,
    /// Weak, since the actor ends when nobody else can reach it.
    mailbox: WeakUnboundedSender<Command>,
    /// Something is being translated.
    busy: bool,
    waiting: VecDeque<(ConnectionId, Vec<ToTranslate>)>,
    /// It was logged that there is no thread to be had.
    warned: bool,
}

impl Translator {
    pub(super) fn new(translations: Arc<Translations>, mailbox: WeakUnboundedSender<Command>) -> Self {
        Self { translations, mailbox, busy: false, waiting: VecDeque::new(), warned: false }
    }

    /// Has these translated for the work that stands first in this order; [`Command::Translated`] brings them.
    pub(super) fn translate(&mut self, order: ConnectionId, wanted: Vec<ToTranslate>) {
        self.waiting.push_back((order, wanted));
        if !self.busy {
            self.next();
        }
    }

    /// What was translated last has come; the next one's turn.
    pub(super) fn next(&mut self) {
        let next = self.waiting.pop_front();
        self.busy = next.is_some();
        if let Some((order, wanted)) = next
            && let Some(mailbox) = self.mailbox.upgrade()
        {
            let mut translated = Translated { mailbox, order, frames: Vec::with_capacity(wanted.len()) };
            let translations = Arc::clone(&self.translations);
            let translate = move || {
                let translate = |(frame, encoder): &ToTranslate| frame.translated_aside(*encoder, &translations);
                translated.frames.extend(wanted.iter().map(translate));
            };
            // Not by the runtime, which panics if there is no thread to be had.
            if let Err(error) = thread::Builder::new().name("translation".to_owned()).spawn(translate)
                && !std::mem::replace(&mut self.warned, true)
            {
                // An empty answer has been sent by now. After some of them the actor translates by itself.
                warn!(%error, "no thread can be started to translate large messages, so that others wait while it is done");
            }
        }
    }
}

/// Sent when it is dropped, after a panic too: whoever waits goes on.
struct Translated {
    mailbox: UnboundedSender<Command>,
    order: ConnectionId,
    frames: Vec<Frame>,
}

impl Drop for Translated {
    fn drop(&mut self) {
        let frames = std::mem::take(&mut self.frames);
        // Without the actor nobody waits.
        let _ = self.mailbox.send(Command::Translated { order: self.order, frames });
    }
}
