//! One direction of a connection: takes bytes at once and gives them later, in pieces.

use std::collections::VecDeque;
use std::future::Future;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use fastrand::Rng;
use tokio::time::{Instant, Sleep, sleep_until};

/// What the network is like.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Weather {
    /// The longest that a piece is on its way, in milliseconds.
    pub(crate) delay: u64,
    /// How often what is written at once falls apart, in percent.
    pub(crate) splits: u32,
    /// What may be on its way in one direction, in bytes.
    pub(crate) room: usize,
}

/// How a direction ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    OfFile,
    Reset,
}

/// What one side writes and the other reads.
#[derive(Debug)]
pub(super) struct Direction {
    pub(super) pieces: VecDeque<(Instant, Vec<u8>)>,
    pub(super) bytes: usize,
    /// Nothing overtakes what was sent before.
    pub(super) latest: Instant,
    /// Nothing arrives before.
    pub(super) frozen: Instant,
    pub(super) end: Option<(Instant, End)>,
    /// What is sent arrives nowhere, and nobody is told.
    pub(super) is_hole: bool,
    pub(super) reader: Option<Waker>,
    pub(super) writer: Option<Waker>,
    pub(super) sleep: Option<Pin<Box<Sleep>>>,
}

impl Direction {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        let (pieces, bytes) = (VecDeque::new(), 0);
        let (end, is_hole, reader, writer, sleep) = (None, false, None, None, None);
        Self { pieces, bytes, latest: now, frozen: now, end, is_hole, reader, writer, sleep }
    }

    pub(super) fn wake(&mut self) {
        for waker in [self.reader.take(), self.writer.take()].into_iter().flatten() {
            waker.wake();
        }
    }

    /// When something can be read.
    pub(super) fn due(&self) -> Option<Instant> {
        let next = self.pieces.front().map(|(at, _)| *at).or_else(|| self.end.map(|(at, _)| at));
        next.filter(|_| !self.is_hole).map(|at| at.max(self.frozen))
    }

    pub(super) fn is_due(&self) -> bool {
        self.due().is_some_and(|due| due <= Instant::now())
    }

    pub(super) fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_due() {
            return Poll::Ready(());
        }
        self.reader = Some(cx.waker().clone());
        if let Some(due) = self.due() {
            let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(due)));
            sleep.as_mut().reset(due);
            return sleep.as_mut().poll(cx);
        }
        Poll::Pending
    }

    /// Takes what has come, up to so many bytes; nothing at the end.
    pub(super) fn read(&mut self, most: usize) -> io::Result<Vec<u8>> {
        if !self.is_due() {
            return Err(ErrorKind::WouldBlock.into());
        }
        let Some((at, mut piece)) = self.pieces.pop_front() else {
            return match self.end {
                Some((_, End::Reset)) => Err(ErrorKind::ConnectionReset.into()),
                _ => Ok(Vec::new()),
            };
        };
        let rest = piece.split_off(piece.len().min(most));
        if !rest.is_empty() {
            self.pieces.push_front((at, rest));
        }
        self.bytes -= piece.len();
        if let Some(writer) = self.writer.take() {
            writer.wake();
        }
        Ok(piece)
    }

    pub(super) fn has_room(&self, weather: &Weather) -> bool {
        self.bytes < weather.room
    }

    /// Sends as much as there is room for, in pieces.
    pub(super) fn write(&mut self, bytes: &[u8], weather: &Weather, rng: &mut Rng) -> usize {
        let count = bytes.len().min(weather.room - self.bytes.min(weather.room));
        self.bytes += count;
        let mut rest = &bytes[..count];
        while !self.is_hole && self.end.is_none() && !rest.is_empty() {
            let length = if rng.u32(0..100) < weather.splits { rng.usize(1..=rest.len()) } else { rest.len() };
            self.latest = self.latest.max(Instant::now() + Duration::from_millis(rng.u64(0..=weather.delay)));
            self.pieces.push_back((self.latest, rest[..length].to_vec()));
            rest = &rest[length..];
        }
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
        count
    }

    /// Ends behind what is on its way.
    pub(super) fn end(&mut self, end: End) {
        if self.end.is_none() {
            self.end = Some((self.latest, end));
            self.wake();
        }
    }

    /// Some of what is on its way is lost, and whoever reads learns that there is no more.
    pub(super) fn reset(&mut self, rng: &mut Rng) {
        let kept = rng.usize(0..=self.pieces.len());
        self.pieces.truncate(kept);
        if let Some((_, last)) = self.pieces.back_mut() {
            last.truncate(rng.usize(1..=last.len()));
        }
        self.bytes = self.pieces.iter().map(|(_, piece)| piece.len()).sum();
        (self.is_hole, self.end) = (false, Some((Instant::now(), End::Reset)));
        self.wake();
    }
}
