//! The clocks of one connection. Most have none running: then they take a pointer's room.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// What a connection may wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Timer {
    /// The end of its first unit.
    FirstUnit,
    /// Any progress in writing.
    Write,
    /// Its outbox to let publishers go on.
    Throttle,
    /// Its queue to be sent, when it ends.
    Drain,
}

const ALL: [Timer; 4] = [Timer::FirstUnit, Timer::Write, Timer::Throttle, Timer::Drain];

/// The clocks that run.
#[derive(Default)]
pub(super) struct Timers(Option<Box<Running>>);

struct Running {
    /// By [`Timer`], in the order of `ALL`.
    deadlines: [Option<Instant>; ALL.len()],
    /// Sleeps until the earliest.
    sleep: Pin<Box<Sleep>>,
}

impl Timers {
    /// Runs the clock as long as `wanted`; one that runs already goes on.
    pub(super) fn keep(&mut self, timer: Timer, wanted: bool, time: Duration) {
        if !wanted {
            self.clear(timer);
        } else if self.deadline(timer).is_none() {
            self.set(timer, Instant::now() + time);
        }
    }

    /// Sets the clock to a moment.
    pub(super) fn set(&mut self, timer: Timer, deadline: Instant) {
        let running = self
            .0
            .get_or_insert_with(|| Box::new(Running { deadlines: [None; ALL.len()], sleep: Box::pin(tokio::time::sleep_until(deadline)) }));
        running.deadlines[timer as usize] = Some(deadline);
    }

    /// Stops the clock.
    pub(super) fn clear(&mut self, timer: Timer) {
        if let Some(running) = &mut self.0 {
            running.deadlines[timer as usize] = None;
            if running.deadlines.iter().all(Option::is_none) {
                self.0 = None;
            }
        }
    }

    /// The clock that has run out, if any; the task is woken when the next one does.
    pub(super) fn poll_expired(&mut self, cx: &mut Context<'_>) -> Option<Timer> {
        let running = self.0.as_mut()?;
        let (deadline, timer) = ALL
            .iter()
            .filter_map(|timer| running.deadlines[*timer as usize].map(|deadline| (deadline, *timer)))
            .min_by_key(|(deadline, _)| *deadline)?;
        if running.sleep.deadline() != deadline {
            running.sleep.as_mut().reset(deadline);
        }
        match running.sleep.as_mut().poll(cx) {
            Poll::Ready(()) => Some(timer),
            Poll::Pending => None,
        }
    }

    fn deadline(&self, timer: Timer) -> Option<Instant> {
        self.0.as_ref().and_then(|running| running.deadlines[timer as usize])
    }
}
