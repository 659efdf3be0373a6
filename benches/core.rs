//! What the core costs by itself and with the outboxes behind it: `cargo bench --bench core`.

mod inputs;

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use msgstream::internal::broker::core::{Budget, Core, CoreLimits, Epochs, Input};
use msgstream::internal::wire::ids::{ConnectionId, Prefix, StreamName};

use inputs::{Nowhere, Outboxes, name, run};

const LISTENERS: [u32; 4] = [1, 8, 64, 1000];
const STREAMS: u32 = 100_000;
const CROWD: u32 = 10_000;

fn main() {
    divan::main();
}

fn core() -> Core {
    Core::new(
        CoreLimits {
            piece: 64 << 10,
            streams: 1 << 20,
            listens: 10_000,
            stored: usize::MAX,
            ended_time: Duration::from_secs(3600),
            ..CoreLimits::default()
        },
        Arc::default(),
        Epochs::new(0),
    )
}

/// A core with so many listeners in one stream.
fn crowded(listeners: u32, stream: &StreamName) -> Core {
    let mut core = core();
    for listener in 0..listeners {
        core.handle(
            ConnectionId(listener),
            Input::Listen { stream: stream.clone(), start: None, receipt: None },
            &mut Budget::unlimited(),
            &mut Nowhere::default(),
        );
    }
    core
}

/// A put of one message; items are deliveries.
#[divan::bench(args = LISTENERS)]
fn put(bencher: Bencher<'_, '_>, listeners: u32) {
    let stream = name("job-1");
    let (mut core, frame, mut nowhere) = (crowded(listeners, &stream), run(1), Nowhere::default());
    bencher.counter(ItemsCount::new(listeners)).bench_local(|| {
        let input = Input::put(stream.clone(), frame.clone(), None, None);
        core.handle(ConnectionId(0), black_box(input), &mut Budget::unlimited(), &mut nowhere);
    });
    assert!(nowhere.frames > 0);
}

/// The same into real outboxes, each of which is then written to a socket that takes everything.
#[divan::bench(args = LISTENERS)]
fn put_and_flush(bencher: Bencher<'_, '_>, listeners: u32) {
    let (stream, gauge) = (name("job-1"), Arc::default());
    let (mut core, frame, mut outboxes) = (crowded(listeners, &stream), run(1), Outboxes::new(listeners, &gauge));
    bencher.counter(ItemsCount::new(listeners)).bench_local(|| {
        let input = Input::put(stream.clone(), frame.clone(), None, None);
        core.handle(ConnectionId(0), black_box(input), &mut Budget::unlimited(), &mut outboxes);
        outboxes.flush();
    });
    assert!(outboxes.0.iter().all(|outbox| outbox.bytes() == 0));
}

/// A stream comes into being that many listen to by a prefix, and which is deleted then.
#[divan::bench(sample_count = 20, sample_size = 1)]
fn birth_before_a_crowd(bencher: Bencher<'_, '_>) {
    let (gauge, stream) = (Arc::default(), name("job-1"));
    let state = RefCell::new((core(), Outboxes::new(CROWD, &gauge)));
    let input = |input: Input, from: u32| {
        let (core, outboxes) = &mut *state.borrow_mut();
        core.handle(ConnectionId(from), black_box(input), &mut Budget::unlimited(), outboxes);
    };
    for listener in 0..CROWD {
        input(Input::ListenPrefix { prefix: Prefix::new("job-"), start: None, receipt: None, begun: false }, listener);
        input(Input::Listen { stream: name(&listener.to_string()), start: None, receipt: None }, listener);
    }
    bencher
        .with_inputs(|| {
            input(Input::Delete { stream: stream.clone(), last: run(1), of: None, receipt: None }, 0);
            state.borrow().1.flush();
        })
        .bench_local_values(|()| {
            input(Input::Header { stream: stream.clone(), header: run(1), of: None, absent: false, receipt: None }, 0);
        });
}

/// One of many listeners leaves and comes back, each in turn.
#[divan::bench(sample_size = 1000)]
fn hang_up_and_listen_in_a_crowd(bencher: Bencher<'_, '_>) {
    let stream = name("job-1");
    let (mut core, mut nowhere, mut next) = (crowded(CROWD, &stream), Nowhere::default(), 0);
    bencher.bench_local(|| {
        // A step that shares no factor with the crowd, so that everybody's turn comes and neighbours do not meet.
        next = (next + 7919) % CROWD;
        core.handle(
            ConnectionId(next),
            Input::Hangup { stream: Some(stream.clone()), receipt: None },
            &mut Budget::unlimited(),
            &mut nowhere,
        );
        core.handle(
            ConnectionId(next),
            Input::Listen { stream: stream.clone(), start: None, receipt: None },
            &mut Budget::unlimited(),
            &mut nowhere,
        );
    });
}

/// A new header for one of many streams, each in turn.
#[divan::bench(sample_size = 1000)]
fn header_among_many_streams(bencher: Bencher<'_, '_>) {
    let (mut core, streams) = many_streams();
    let (frame, mut nowhere, mut next) = (run(1), Nowhere::default(), 0);
    bencher.bench_local(|| {
        next = (next + 7919) % streams.len();
        let input = Input::Header { stream: streams[next].clone(), header: frame.clone(), of: None, absent: false, receipt: None };
        core.handle(ConnectionId(0), black_box(input), &mut Budget::unlimited(), &mut nowhere);
    });
}

/// A message to nobody, to one of many streams, each in turn.
#[divan::bench(sample_size = 1000)]
fn put_among_many_streams(bencher: Bencher<'_, '_>) {
    let (mut core, streams) = many_streams();
    let (frame, mut nowhere, mut next) = (run(1), Nowhere::default(), 0);
    bencher.bench_local(|| {
        next = (next + 7919) % streams.len();
        let input = Input::put(streams[next].clone(), frame.clone(), None, None);
        core.handle(ConnectionId(0), black_box(input), &mut Budget::unlimited(), &mut nowhere);
    });
}

fn many_streams() -> (Core, Vec<StreamName>) {
    let (mut core, frame) = (core(), run(1));
    let streams: Vec<StreamName> = (0..STREAMS).map(|number| name(&format!("job-{number}"))).collect();
    for stream in &streams {
        let input = Input::Header { stream: stream.clone(), header: frame.clone(), of: None, absent: false, receipt: None };
        core.handle(ConnectionId(0), input, &mut Budget::unlimited(), &mut Nowhere::default());
    }
    (core, streams)
}
