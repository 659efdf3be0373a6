//! The far end of a local listener's outbox: lines become events again.

use std::io::{self, IoSlice};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::broker::outbox::Sink;
use crate::wire::subscriber::{Event, Joined, Listened, Reason, Reply, Take, read};
use crate::wire::{ErrorCode, Start};

use super::listener::{Listener, NotTaken};
use super::listening::Place;

/// The receipt of the one listen action.
pub(super) const LISTEN: u64 = 1;

/// Takes what the broker sends to one listener.
pub(super) struct ListenerSink {
    listened: Mutex<Listened<Guarded>>,
}

/// How a listener stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ListenerState {
    /// It takes events.
    Open,
    /// It had no room, and has yet to be told so.
    Full,
    /// It has had its last event, or is gone.
    Done,
}

/// A listener that is never called again after its last event, or after a panic.
struct Guarded {
    listener: Mutex<(ListenerState, Box<dyn Listener>)>,
    place: Arc<Place>,
}

impl ListenerSink {
    pub(super) fn new(listener: Box<dyn Listener>, start: Start, place: Arc<Place>) -> Self {
        let mut listened = Listened::default();
        listened.join(LISTEN, start, vec![Guarded { listener: Mutex::new((ListenerState::Open, listener)), place }]);
        Self { listened: Mutex::new(listened) }
    }

    /// How the listener stands.
    pub(super) fn state(&self) -> ListenerState {
        self.lock().all().next().map_or(ListenerState::Done, |listener| listener.lock().0)
    }

    /// Cuts the listener off for lack of room.
    pub(super) fn cut(&self, reason: &str) {
        for listener in self.lock().all() {
            let mut guarded = listener.lock();
            if guarded.0 == ListenerState::Full {
                guarded.0 = ListenerState::Open;
            }
            drop(guarded);
            listener.take(Event::CutOff(Reason { code: ErrorCode::SlowListener.as_str().to_owned(), reason: reason.to_owned() }));
        }
    }

    /// Tells the listener that the broker has failed.
    pub(super) fn lose(&self) {
        self.lock().tell(&Event::Lost { reason: "the broker has failed".to_owned() });
    }

    /// Takes one line.
    fn take(&self, line: &[u8]) {
        let mut listened = self.lock();
        match read(line) {
            Ok(Reply::Put { message, .. }) => listened.put(message),
            Ok(Reply::Skipped { messages, .. }) => listened.skipped(messages),
            Ok(Reply::Close { message, .. }) => listened.close(message),
            Ok(Reply::Receipt { receipt, answer }) => listened.joined(receipt, answer.joined()),
            Ok(Reply::Error { reason, .. }) => listened.refused(LISTEN, &reason),
            Ok(Reply::CloseConnection(Some(reason))) => listened.tell(&Event::CutOff(reason)),
            Ok(Reply::CloseConnection(None) | Reply::Joined { .. } | Reply::Session { .. } | Reply::Pong { .. } | Reply::Unknown) => {}
            Err(error) => listened.tell(&Event::Lost { reason: format!("a line of the broker cannot be read: {error}") }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Listened<Guarded>> {
        self.listened.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Guarded {
    fn lock(&self) -> MutexGuard<'_, (ListenerState, Box<dyn Listener>)> {
        self.listener.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Take for Guarded {
    fn take(&self, event: Event) -> bool {
        let mut guarded = self.lock();
        let (state, listener) = &mut *guarded;
        if *state != ListenerState::Open {
            // Kept, so that a full one can be told.
            return *state == ListenerState::Full;
        }
        let (last, passes) = (event.is_last(), event.passes());
        // A listener that panics ends itself, not the task that serves all.
        let taken = catch_unwind(AssertUnwindSafe(|| {
            if last {
                listener.close(event);
                return Err(NotTaken::Gone);
            }
            listener.put(event)
        }));
        if passes > 0 && matches!(taken, Ok(Ok(()))) {
            self.place.pass(passes);
        }
        *state = match taken {
            Ok(Ok(())) => ListenerState::Open,
            Ok(Err(NotTaken::Full)) => ListenerState::Full,
            Ok(Err(NotTaken::Gone)) | Err(_) => ListenerState::Done,
        };
        *state != ListenerState::Done
    }

    fn joined(&self, joined: Joined) {
        self.place.join(joined);
    }
}

impl Sink for ListenerSink {
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut written = 0;
        // The outbox writes whole frames, and everything is taken, so that every slice holds whole lines.
        for slice in slices {
            for line in slice.split_inclusive(|byte| *byte == b'\n') {
                self.take(line);
                written += line.len();
            }
        }
        match self.state() {
            ListenerState::Open => Ok(written),
            // The keeper finds out why.
            ListenerState::Full | ListenerState::Done => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn peer(&self) -> String {
        "in this process".to_owned()
    }
}
