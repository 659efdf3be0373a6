//! The clocks of one connection. Most have none running: then they take a pointer's room.
//!
//! A clock counts the broker's own time: it is looked at in steps, and when a step took much longer than it should have, the
//! broker was late (it was stopped, or starved), and the clock begins again. So no client is blamed for that.

use std::future::Future;
use std::pin::Pin;
use std::task::Context;
use std::time::Duration;

use tokio::time::{Instant, Sleep, timeout};

/// What a connection may wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Timer {
    /// The end of its first unit.
    FirstUnit,
    /// Its client to say who it is.
    Token,
    /// Any progress in writing.
    Write,
    /// Its outbox to let publishers go on.
    Throttle,
    /// Any progress in sending its queue, when it ends.
    Drain,
    /// Its queue to be sent, when it ends.
    LongestDrain,
}

const ALL: [Timer; 6] = [Timer::FirstUnit, Timer::Token, Timer::Write, Timer::Throttle, Timer::Drain, Timer::LongestDrain];

/// A clock is looked at this many times at least while it runs.
const STEPS: u32 = 8;

/// And at least this often.
const LONGEST_STEP: Duration = Duration::from_secs(1);

/// A look that comes this many steps late was not the client's fault.
const LATE: u32 = 3;

/// Waits for a future, but not longer than `time` in which the broker could run: while it is stopped or starved, no time passes.
pub(crate) async fn within<T>(time: Duration, future: impl Future<Output = T>) -> Option<T> {
    let mut future = std::pin::pin!(future);
    for _ in 0..STEPS {
        if let Ok(done) = timeout(time / STEPS, &mut future).await {
            return Some(done);
        }
    }
    None
}

/// The clocks that run.
#[derive(Default)]
pub(super) struct Timers(Option<Box<Running>>);

struct Running {
    /// By [`Timer`], in the order of `ALL`.
    clocks: [Option<Clock>; ALL.len()],
    /// When the publishers that are held back were first held, which a clock counts from.
    held_since: Option<Instant>,
    /// Sleeps until the next look.
    sleep: Pin<Box<Sleep>>,
}

#[derive(Clone, Copy)]
struct Clock {
    /// What it began with.
    time: Duration,
    /// What was left at the last look.
    left: Duration,
    looked: Instant,
}

impl Clock {
    fn new(time: Duration, now: Instant) -> Self {
        Self { time, left: time, looked: now }
    }

    fn step(&self) -> Duration {
        (self.time / STEPS).min(LONGEST_STEP)
    }

    /// Counts the time since the last look.
    fn look(&mut self, now: Instant) {
        let passed = now.duration_since(self.looked);
        self.looked = now;
        self.left = if passed > self.step() * LATE { self.time } else { self.left.saturating_sub(passed) };
    }

    fn next_look(&self) -> Instant {
        self.looked + self.step().min(self.left)
    }
}

/// The clock of one that holds publishers back, where that is the only one that runs.
#[derive(Default)]
pub(crate) struct Holding(Timers);

impl Holding {
    /// Whether they have been held back for too long, since that moment; the task is woken for the next look.
    pub(crate) fn is_over(&mut self, since: Option<Instant>, time: Duration, cx: &mut Context<'_>) -> bool {
        self.0.keep_since(Timer::Throttle, since, time);
        let is_over = self.0.poll_expired(cx).is_some();
        if is_over {
            self.0.clear(Timer::Throttle);
        }
        is_over
    }
}

impl Timers {
    /// Runs the clock as long as `wanted`; one that runs already goes on.
    pub(super) fn keep(&mut self, timer: Timer, wanted: bool, time: Duration) {
        if !wanted {
            self.clear(timer);
        } else if !self.runs(timer) {
            self.start(timer, time);
        }
    }

    /// Runs the clock as long as there is a moment that it counts from, and begins again when that changes.
    pub(super) fn keep_since(&mut self, timer: Timer, since: Option<Instant>, time: Duration) {
        if self.0.as_ref().is_some_and(|running| running.held_since != since) {
            self.clear(timer);
        }
        self.keep(timer, since.is_some(), time);
        if let Some(running) = &mut self.0 {
            running.held_since = since;
        }
    }

    /// Stops the clock.
    pub(super) fn clear(&mut self, timer: Timer) {
        if let Some(running) = &mut self.0 {
            running.clocks[timer as usize] = None;
            if running.clocks.iter().all(Option::is_none) {
                self.0 = None;
            }
        }
    }

    /// The clock that has run out, if any; the task is woken for the next look.
    pub(super) fn poll_expired(&mut self, cx: &mut Context<'_>) -> Option<Timer> {
        let running = self.0.as_mut()?;
        loop {
            let next = running.clocks.iter().flatten().map(Clock::next_look).min()?;
            if running.sleep.deadline() != next {
                running.sleep.as_mut().reset(next);
            }
            if running.sleep.as_mut().poll(cx).is_pending() {
                return None;
            }
            let now = Instant::now();
            running.clocks.iter_mut().flatten().for_each(|clock| clock.look(now));
            let expired = |timer: &&Timer| running.clocks[**timer as usize].is_some_and(|clock| clock.left.is_zero());
            if let Some(timer) = ALL.iter().find(expired) {
                return Some(*timer);
            }
        }
    }

    fn runs(&self, timer: Timer) -> bool {
        self.0.as_ref().is_some_and(|running| running.clocks[timer as usize].is_some())
    }

    fn start(&mut self, timer: Timer, time: Duration) {
        let now = Instant::now();
        let clock = Clock::new(time, now);
        let running = self.0.get_or_insert_with(|| {
            let sleep = Box::pin(tokio::time::sleep_until(clock.next_look()));
            Box::new(Running { clocks: [None; ALL.len()], held_since: None, sleep })
        });
        running.clocks[timer as usize] = Some(clock);
    }
}
