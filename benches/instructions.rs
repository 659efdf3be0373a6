//! The work whose instructions the gate counts: one scenario, so many times, on input that never changes.
//!
//! `benches/instructions` runs each under callgrind and compares; by itself this program lists them.
#![allow(clippy::expect_used, reason = "a benchmark that cannot run has nothing to tell")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "what it prints is for the gate")]

mod inputs;

use std::hint::black_box;
use std::io::{self, IoSlice};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use msgstream::broker::Settings;
use msgstream::internal::broker::assemble;
use msgstream::internal::broker::connection::{Transport, serve};
use msgstream::internal::broker::core::{Budget, Core, CoreLimits, Epochs, Input};
use msgstream::internal::broker::outbox::Sink;
use msgstream::internal::wire::ids::ConnectionId;
use msgstream::internal::wire::json_lines::JsonLines;
use msgstream::internal::wire::{Codec, DecodeLimits, UnitEnd};

use inputs::{Nowhere, Outboxes, PROGRESS, any_order_line, floats, name, outbox, put_line, python_line, run};

/// The program's own, so that its instructions count as they do there, and do not depend on the machine's.
#[cfg(not(target_env = "msvc"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

type Scenario = (&'static str, u64, fn(u64));

/// What is counted, and how often it is done: enough that a stray event does not show.
const SCENARIOS: [Scenario; 14] = [
    ("decode_progress", 20_000, |times| decode(&put_line(PROGRESS), times)),
    ("decode_python", 20_000, |times| decode(&python_line(PROGRESS), times)),
    ("decode_in_turn", 2000, |times| decode_in_turn(16, times)),
    ("decode_any_order", 10_000, |times| decode(&any_order_line(PROGRESS), times)),
    ("decode_curve_16k", 200, |times| decode(&put_line(&floats(16 << 10, 0)), times)),
    ("core_put_8", 20_000, |times| core_put(8, times)),
    ("core_put_1000", 2000, |times| core_put(1000, times)),
    ("core_leave_and_join", 20_000, core_leave_and_join),
    ("outbox_small_frames", 10_000, |times| outbox_push(8, 1, times)),
    ("outbox_run", 50_000, |times| outbox_push(1, 400, times)),
    ("core_and_outboxes_8", 10_000, core_and_outboxes),
    ("turn_to_8", 50, |times| turns(&put_line(PROGRESS), times)),
    ("turn_of_python_to_8", 50, |times| turns(&python_line(PROGRESS), times)),
    ("turn_of_short_to_8", 50, |times| turns(&put_line("1"), times)),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [scenario, times] = &arguments[..] else {
        // With no arguments, or with those that cargo gives to every benchmark.
        for (name, times, _) in SCENARIOS {
            println!("{name} {times}");
        }
        return ExitCode::SUCCESS;
    };
    match (SCENARIOS.iter().find(|(name, ..)| name == scenario), times.parse()) {
        (Some((.., work)), Ok(times)) => {
            work(times);
            ExitCode::SUCCESS
        }
        (None, _) | (_, Err(_)) => {
            eprintln!("instructions: no scenario {scenario}, or not a number: {times}");
            ExitCode::from(64)
        }
    }
}

/// Where a line ends, and what it says.
fn decode(line: &str, times: u64) {
    let limits = DecodeLimits { line: 1 << 24, name: 1 << 10 };
    let mut codec = JsonLines::default();
    for _ in 0..times {
        let line = black_box(line.as_bytes());
        assert_eq!(codec.unit(line, 0), UnitEnd::Complete(line.len()));
        assert!(codec.decode(line, &limits).is_ok_and(|action| action.is_some()));
    }
}

/// A publisher of several streams, each in its turn.
fn decode_in_turn(streams: u64, times: u64) {
    let limits = DecodeLimits { line: 1 << 24, name: 1 << 10 };
    let lines: Vec<String> = (0..streams).map(|stream| put_line(PROGRESS).replace("job-1", &format!("job-{stream}"))).collect();
    let mut codec = JsonLines::default();
    for _ in 0..times {
        for line in black_box(&lines) {
            assert!(codec.decode(line.as_bytes(), &limits).is_ok_and(|action| action.is_some()));
        }
    }
}

fn crowded(listeners: u32) -> Core {
    let limits =
        CoreLimits { streams: 100, listens: 100, stored: usize::MAX, ended_time: Duration::from_secs(3600), ..CoreLimits::default() };
    let mut core = Core::new(limits, Arc::default(), Epochs::new(0));
    for listener in 0..listeners {
        core.handle(
            ConnectionId(listener),
            Input::Listen { stream: name("job-1"), start: None, receipt: None },
            &mut Budget::unlimited(),
            &mut Nowhere::default(),
        );
    }
    core
}

fn core_put(listeners: u32, times: u64) {
    let (mut core, stream, frame, mut nowhere) = (crowded(listeners), name("job-1"), run(1), Nowhere::default());
    for _ in 0..times {
        let input = Input::put(stream.clone(), frame.clone(), None, None);
        core.handle(ConnectionId(0), input, &mut Budget::unlimited(), &mut nowhere);
    }
    assert_eq!(nowhere.frames, times * u64::from(listeners));
}

/// One of a thousand listeners leaves a stream with a header, and joins again.
fn core_leave_and_join(times: u64) {
    let (mut core, stream, mut nowhere) = (crowded(1000), name("job-1"), Nowhere::default());
    let header = run(1);
    core.handle(
        ConnectionId(0),
        Input::Header { stream: stream.clone(), header, of: None, absent: false, receipt: None },
        &mut Budget::unlimited(),
        &mut nowhere,
    );
    for number in 0..times {
        let from = ConnectionId((number * 7 % 1000) as u32);
        core.handle(from, Input::Hangup { stream: Some(stream.clone()), receipt: None }, &mut Budget::unlimited(), &mut nowhere);
        core.handle(from, Input::Listen { stream: stream.clone(), start: None, receipt: None }, &mut Budget::unlimited(), &mut nowhere);
    }
    assert_eq!(nowhere.frames, times);
}

/// Some frames are queued, then written at once.
fn outbox_push(frames: u32, messages: u32, times: u64) {
    let gauge = Arc::default();
    let (outbox, frame) = (outbox(&gauge), run(messages));
    for _ in 0..times {
        for _ in 0..frames {
            outbox.push(&frame);
        }
        outbox.flush();
    }
    assert_eq!(outbox.bytes(), 0);
}

fn core_and_outboxes(times: u64) {
    let gauge = Arc::default();
    let (mut core, stream, frame, mut outboxes) = (crowded(8), name("job-1"), run(1), Outboxes::new(8, &gauge));
    for _ in 0..times {
        let input = Input::put(stream.clone(), frame.clone(), None, None);
        core.handle(ConnectionId(0), input, &mut Budget::unlimited(), &mut outboxes);
        outboxes.flush();
    }
}

/// All of the broker but the sockets: each read of a publisher has 400 messages, which go to 8 listeners.
fn turns(line: &str, times: u64) {
    let block = line.repeat(400);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let delivered = runtime.block_on(async {
        let (actor, context) = assemble(&Settings::default());
        tokio::spawn(actor.run());
        for _ in 0..8 {
            let listen = Tap::new("{\"action\":\"listen\",\"stream\":\"job-1\"}\n".to_owned(), 1, false);
            tokio::spawn(serve(listen, JsonLines::default(), Arc::clone(&context)));
        }
        tokio::task::yield_now().await;
        let publisher = tokio::spawn(serve(Tap::new(block, times, true), JsonLines::default(), Arc::clone(&context)));
        publisher.await.expect("the publisher ends");
        context.stats.snapshot().delivered
    });
    // The publisher ends before the actor has seen the last of it.
    assert!(
        delivered > 0 && delivered <= times * 400 * 8 && delivered + 16 * 400 * 8 >= times * 400 * 8,
        "{delivered} messages were delivered"
    );
}

/// A socket on which the same bytes arrive so many times, then nothing or the end; it takes everything.
struct Tap {
    block: String,
    left: AtomicU64,
    ends: bool,
}

impl Tap {
    fn new(block: String, times: u64, ends: bool) -> Self {
        Self { block, left: AtomicU64::new(times), ends }
    }
}

impl Sink for Tap {
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        Ok(slices.iter().map(|slice| slice.len()).sum())
    }

    fn peer(&self) -> String {
        "tap".to_owned()
    }
}

impl Transport for Tap {
    fn poll_readable(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.ends || self.left.load(Ordering::Relaxed) > 0 { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    fn poll_writable(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn try_read(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        let left = self.left.load(Ordering::Relaxed);
        if left == 0 {
            return if self.ends { Ok(0) } else { Err(io::ErrorKind::WouldBlock.into()) };
        }
        self.left.store(left - 1, Ordering::Relaxed);
        buffer.extend_from_slice(self.block.as_bytes());
        Ok(self.block.len())
    }

    fn close(&self) {}
}
