//! A transport as hyper reads and writes one.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::rt::{Read, ReadBufCursor, Write};
use tokio::time::{Sleep, sleep};

use crate::broker::connection::Transport;

/// What is read at once, in bytes: the head of a request is rarely longer.
const READ: usize = 8 << 10;

/// A transport for requests and answers. A peer that takes nothing of an answer for too long is gone.
pub(super) struct BytesIo<T> {
    transport: T,
    /// How long the peer may take nothing.
    patience: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
    /// Something that was written has not been taken by the system.
    stuck: Arc<AtomicBool>,
}

impl<T: Transport> BytesIo<T> {
    /// Over this transport. `stuck` tells, after each turn, whether something waits to be sent.
    pub(super) fn new(transport: T, patience: Duration, stuck: Arc<AtomicBool>) -> Self {
        Self { transport, patience, stalled: None, stuck }
    }

    /// The transport again.
    pub(super) fn into_inner(self) -> T {
        self.transport
    }

    /// Waits for room, as long as the patience lasts.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Poll::Ready(ready) = self.transport.poll_writable(cx) {
            return Poll::Ready(ready);
        }
        self.stuck.store(true, Ordering::Relaxed);
        let patience = self.patience;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(patience)));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    fn poll_sent(&mut self, slices: &[IoSlice<'_>], cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.poll_flushed(cx))?;
            match self.transport.try_write(slices) {
                Ok(count) => {
                    self.progressed();
                    return Poll::Ready(Ok(count));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready!(self.poll_room(cx))?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Sends what the transport holds.
    fn poll_flushed(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.transport.holds() {
            let unsent = self.transport.try_flush()?;
            if unsent.went > 0 {
                self.progressed();
            }
            if unsent.left > 0 {
                ready!(self.poll_room(cx))?;
            }
        }
        self.stuck.store(false, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }

    fn progressed(&mut self) {
        self.stalled = None;
        self.stuck.store(false, Ordering::Relaxed);
    }
}

impl<T: Transport> Read for BytesIo<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, mut buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let mut bytes = Vec::with_capacity(READ.min(buf.remaining()));
        loop {
            ready!(self.transport.poll_readable(cx))?;
            match self.transport.try_read(&mut bytes) {
                Ok(_) => {
                    buf.put_slice(&bytes);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl<T: Transport> Write for BytesIo<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().poll_sent(&[IoSlice::new(buf)], cx)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_flushed(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_flushed(cx))?;
        this.transport.close();
        Poll::Ready(Ok(()))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.get_mut().poll_sent(bufs, cx)
    }
}
