//! The far end of the outbox of a listener whose program asks for its events. It takes nothing that was not asked for: what waits stays in
//! the outbox, which is held to its limit, and of which the newest message replaces the older ones if no more is wanted.

use std::io::{self, IoSlice};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::broker::outbox::Sink;

/// See the module.
#[derive(Default)]
pub(super) struct Pipe(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    /// Whole lines.
    lines: Vec<u8>,
    /// The program waits for more.
    is_asked: bool,
    /// It need not ask any more.
    takes_all: bool,
    /// No more comes.
    is_over: bool,
    reader: Option<Waker>,
}

impl Pipe {
    /// All lines that are there; none after the last. If it has to be waited for them, they are asked for.
    pub(super) fn poll_lines(&self, cx: &Context<'_>) -> Poll<Option<Vec<u8>>> {
        let mut inner = self.lock();
        inner.is_asked = inner.lines.is_empty() && !inner.is_over;
        if !inner.lines.is_empty() {
            return Poll::Ready(Some(std::mem::take(&mut inner.lines)));
        }
        if inner.is_over {
            return Poll::Ready(None);
        }
        inner.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Nobody waits for more now.
    pub(super) fn rest(&self) {
        self.lock().is_asked = false;
    }

    /// From now on it takes all that comes.
    pub(super) fn take_all(&self) {
        self.lock().takes_all = true;
    }

    /// No more comes.
    pub(super) fn end(&self) {
        let mut inner = self.lock();
        inner.is_over = true;
        inner.wake();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing under this lock can panic half way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn wake(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

impl Sink for Pipe {
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut inner = self.lock();
        if !inner.is_asked && !inner.takes_all {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        // The outbox writes whole frames, and everything is taken, so that whole lines are there.
        for slice in slices {
            inner.lines.extend_from_slice(slice);
        }
        inner.is_asked = false;
        inner.wake();
        Ok(slices.iter().map(|slice| slice.len()).sum())
    }

    fn is_ready(&self) -> bool {
        let inner = self.lock();
        inner.is_asked || inner.takes_all
    }

    fn peer(&self) -> String {
        "in this process".to_owned()
    }
}
