//! What a store costs on this machine's disk: `cargo bench --bench store`. Prints figures; the files are gone behind it.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a program that measures")]

use std::env::temp_dir;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use msgstream::internal::broker::core::{Change, SavedStream, SavedWindow, StreamChange};
use msgstream::internal::broker::store::Store;
use msgstream::internal::wire::ids::StreamName;
use msgstream::internal::wire::{Encode, Epoch, Event, Frame, Position, json_lines};

const STREAMS: usize = 100_000;
const HEADER: usize = 1 << 10;

fn name(number: usize) -> StreamName {
    StreamName::new(&format!("job-{number:08}")).unwrap()
}

fn header(name: &StreamName, round: usize) -> Frame {
    let (message, mut out) = (format!("\"{round:08}{}\"", "x".repeat(HEADER - 80)), Vec::new());
    json_lines::ENCODER.encode(&Event::Put { stream: name, message: message.as_bytes() }, &mut out);
    Frame::lasting(out.into(), &json_lines::ENCODER)
}

fn stands(number: usize, round: usize) -> Change {
    let name = name(number);
    let position = Position { epoch: Epoch::new(number as u64 + 1), sequence: round as u64 };
    let stream = SavedStream { position, bytes: 1, since: 1, header_at: 1, header: Some(header(&name, round)), is_old: false, ended: None };
    Change { name, stream: StreamChange::Stands(stream), will: None }
}

fn moved(number: usize, round: usize) -> Change {
    let position = Position { epoch: Epoch::new(number as u64 + 1), sequence: round as u64 };
    Change { name: name(number), stream: StreamChange::Moved { position, bytes: 2 }, will: None }
}

/// The time of this thread on a processor.
fn cpu() -> Duration {
    let stat = fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    let nanos = stat.split(' ').next().and_then(|text| text.parse().ok()).unwrap_or(0);
    Duration::from_nanos(nanos)
}

fn measured(what: &str, store: &mut Store, rounds: usize, mut round: impl FnMut(&mut Store, usize)) {
    let meter = store.meter();
    let (written, syncs, before, began) = (meter.written(), meter.syncs(), cpu(), Instant::now());
    (0..rounds).for_each(|number| round(store, number));
    let each = rounds as f64;
    println!(
        "{what:<44} {:>9.3} ms CPU {:>9.3} ms {:>9.1} KiB {:>5.1} syncs",
        (cpu() - before).as_secs_f64() * 1e3 / each,
        began.elapsed().as_secs_f64() * 1e3 / each,
        (meter.written() - written) as f64 / 1024.0 / each,
        (meter.syncs() - syncs) as f64 / each,
    );
}

fn load(what: &str, path: &Path) {
    let began = Instant::now();
    let mut store = Store::open(path).unwrap();
    let (opened, mut count) = (began.elapsed(), 0);
    store.load(&mut |_| count += 1).unwrap();
    println!("{what:<44} open {:.3} s, load {:.3} s, {count} rows", opened.as_secs_f64(), (began.elapsed() - opened).as_secs_f64());
}

fn commit(store: &mut Store, changes: impl Iterator<Item = Change>) {
    let mut work = store.begin().unwrap();
    let changes: Vec<_> = changes.collect();
    work.changes(&changes).unwrap();
    work.commit().unwrap();
}

fn main() {
    let folder = temp_dir().join(format!("msgstream-store-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let (path, killed) = (folder.join("store"), folder.join("killed"));
    let mut store = Store::open(&path).unwrap();
    println!("{STREAMS} streams with headers of {HEADER} bytes; each figure is that of one commit");
    measured("2,000 new headers", &mut store, STREAMS / 2000, |store, round| {
        commit(store, (0..2000).map(|number| stands(number * (STREAMS / 2000) + round, 0)));
    });
    println!("the file: {} MiB", store.meter().size() >> 20);
    let mut rng = fastrand::Rng::with_seed(1);
    let mut some = move |count: usize| (0..count).map(|_| rng.usize(..STREAMS)).collect::<Vec<_>>();
    for count in [1, 100, 2000] {
        measured(&format!("{count} changed headers"), &mut store, 20, |store, round| {
            commit(store, some(count).into_iter().map(|number| stands(number, round)));
        });
        measured(&format!("{count} moved streams"), &mut store, 20, |store, round| {
            commit(store, some(count).into_iter().map(|number| moved(number, round)));
        });
    }
    println!("the file: {} MiB", store.meter().size() >> 20);
    fs::copy(&path, &killed).unwrap();
    let began = Instant::now();
    store.close().unwrap();
    println!("closed in {:.3} s", began.elapsed().as_secs_f64());
    load("after a stop", &path);
    load("after a kill", &killed);
    let mut store = Store::open(&path).unwrap();
    measured("windows of 10,000 streams, 10 messages each", &mut store, 1, |store, _| {
        let mut work = store.begin().unwrap();
        for number in 0..10_000 {
            let name = name(number);
            let runs = (0..10).map(|at| (Frame::new(header(&name, 0).bytes().into(), 1, &json_lines::ENCODER), at)).collect();
            work.windows(std::slice::from_ref(&SavedWindow { name, stream: None, runs })).unwrap();
        }
        work.commit().unwrap();
    });
    measured("the beginning of a life", &mut store, 1, |store, _| store.begin_life().unwrap());
    drop(store);
    fs::remove_dir_all(folder).unwrap();
}
