//! What is kept is found as it was.

use std::time::Duration;

use msgstream::internal::broker::core::{Change, SavedEnd, SavedStream, SavedWill, SavedWindow, StreamChange};
use msgstream::internal::broker::store::Store;
use msgstream::internal::wire::{Epoch, Position, SessionName};

use crate::content::{Content, NOW, lasting, run, running, session_name, stream_name};
use crate::disk::Disk;

/// Keeps this, and looks whether it is there: at once, and in the next life.
#[track_caller]
fn assert_kept(keep: impl FnOnce(&mut Content, &mut msgstream::internal::broker::store::Transaction<'_>)) {
    let disk = Disk::default();
    let mut store = Store::with_backend(disk.clone(), NOW).unwrap();
    let mut content = Content::of(&mut store).unwrap();
    assert_eq!(content, Content::default());
    let mut work = store.begin().unwrap();
    keep(&mut content, &mut work);
    work.commit().unwrap();
    assert_eq!(Content::of(&mut store).unwrap(), content);
    store.close().unwrap();
    assert_eq!(Content::of(&mut Store::with_backend(disk, NOW).unwrap()).unwrap(), content);
}

#[test]
fn streams_of_every_kind_with_names_of_every_length() {
    assert_kept(|content, work| {
        for length in [1, 2, 23, 24, 255, 1024, 5000] {
            for encoding in [0, 1] {
                for kind in 0..6 {
                    // In order, and behind each other.
                    let name = stream_name(&format!("{}{}", ["é", "b", "\u{1f600}"][kind % 3].repeat(length), kind + 10 * encoding));
                    let header = (kind % 2 == 0).then(|| lasting(&name, encoding, length, false));
                    let last = (kind > 3).then(|| lasting(&name, encoding, length + 1, true));
                    let ended = (kind > 1).then(|| SavedEnd { forget_at: Duration::from_millis(u64::MAX), last });
                    let position = Position { epoch: Epoch::new(u64::MAX), sequence: u64::MAX };
                    let stream =
                        SavedStream { position, bytes: u64::MAX, since: u64::MAX, header_at: u32::MAX, header, is_old: kind == 4, ended };
                    let session = (kind == 0).then(|| session_name(&"s".repeat(SessionName::LONGEST)));
                    let will = (kind < 2).then(|| SavedWill { session, last: lasting(&name, encoding, 0, true) });
                    let change = Change { name, stream: StreamChange::Stands(stream), will };
                    content.change(&change);
                    work.changes(std::slice::from_ref(&change)).unwrap();
                }
            }
        }
        let name = stream_name("a");
        let change = Change { stream: StreamChange::Stands(running(&name, 0)), name, will: None };
        content.change(&change);
        work.changes(std::slice::from_ref(&change)).unwrap();
    });
}

#[test]
fn windows_even_empty_ones_and_sessions() {
    assert_kept(|content, work| {
        for (name, runs) in [("none", 0), ("one", 1), ("many", 300)] {
            let name = stream_name(name);
            let runs = (0..runs).map(|at| (run(&name, at as usize % 2, 1 + at % 7, at as usize), at)).collect();
            let saved = SavedWindow { stream: Some(running(&name, 10)), name, runs };
            content.window(&saved);
            work.windows(std::slice::from_ref(&saved)).unwrap();
        }
        for length in [SessionName::SHORTEST, SessionName::LONGEST] {
            content.session(&session_name(&"s".repeat(length)), length as u64);
            work.session(&session_name(&"s".repeat(length)), length as u64).unwrap();
        }
        content.life = Some(Epoch::new(5));
        work.life(Epoch::new(5)).unwrap();
    });
}

#[test]
fn a_message_changes_the_position_alone() {
    let mut store = Store::with_backend(Disk::default(), NOW).unwrap();
    let name = stream_name("fit-1");
    let mut work = store.begin().unwrap();
    work.changes(std::slice::from_ref(&Change { name: name.clone(), stream: StreamChange::Stands(running(&name, 100_000)), will: None }))
        .unwrap();
    work.commit().unwrap();
    let mut content = Content::of(&mut store).unwrap();
    let before = store.meter().written();
    let moved = StreamChange::Moved { position: Position { epoch: Epoch::new(0xabc), sequence: 8 }, bytes: 80 };
    let change = Change { name, stream: moved, will: None };
    let mut work = store.begin().unwrap();
    work.changes(std::slice::from_ref(&change)).unwrap();
    work.commit().unwrap();
    content.change(&change);
    assert_eq!(Content::of(&mut store).unwrap(), content);
    let written = store.meter().written() - before;
    assert!(written < 50_000, "{written} bytes for a header of 100,000 that has not changed");
}

/// As of a stream whose header was too long to be kept.
// Seen to fail: no broker began with that store any more.
#[test]
fn what_belongs_to_a_stream_that_is_not_kept_is_not_kept() {
    assert_kept(|_, work| {
        let name = stream_name("fit-1");
        let moved = StreamChange::Moved { position: Position { epoch: Epoch::new(0xabc), sequence: 8 }, bytes: 80 };
        work.changes(&[Change { name: name.clone(), stream: moved, will: None }]).unwrap();
        let runs = vec![(run(&name, 0, 1, 5), 1)];
        work.windows(&[SavedWindow { name, stream: None, runs }]).unwrap();
    });
}

#[test]
fn what_is_dropped_before_it_is_committed_is_not_kept() {
    let mut store = Store::with_backend(Disk::default(), NOW).unwrap();
    let name = stream_name("fit-1");
    let mut work = store.begin().unwrap();
    work.changes(std::slice::from_ref(&Change { stream: StreamChange::Stands(running(&name, 10)), name, will: None })).unwrap();
    drop(work);
    assert_eq!(Content::of(&mut store).unwrap(), Content::default());
}

#[test]
fn the_clock_never_goes_back() {
    let disk = Disk::default();
    let mut store = Store::with_backend(disk.clone(), NOW).unwrap();
    let later = NOW + Duration::from_millis(1500);
    let clock = |store: &mut Store, now| store.read_clock(now).map(|loaded| (loaded.clock, loaded.began)).unwrap();
    assert_eq!(clock(&mut store, later), (later - NOW, NOW));
    let mut work = store.begin().unwrap();
    work.clock(Duration::from_secs(60)).unwrap();
    work.commit().unwrap();
    drop(store);
    // Somebody has set the machine's clock back.
    let mut store = Store::with_backend(disk, NOW - Duration::from_secs(1000)).unwrap();
    for now in [Duration::ZERO, NOW, later] {
        assert_eq!(clock(&mut store, now), (Duration::from_secs(60), NOW));
    }
    assert_eq!(clock(&mut store, NOW + Duration::from_secs(61)), (Duration::from_secs(61), NOW));
}

#[test]
fn a_life_that_begins_takes_away_what_vouched_for_the_last_one() {
    let disk = Disk::default();
    let mut store = Store::with_backend(disk.clone(), NOW).unwrap();
    let name = stream_name("fit-1");
    let mut content = Content::default();
    let mut work = store.begin().unwrap();
    let saved = SavedWindow { stream: Some(running(&name, 10)), name, runs: Vec::new() };
    work.windows(std::slice::from_ref(&saved)).unwrap();
    work.session(&session_name("a session of mine"), 7).unwrap();
    work.life(Epoch::new(5)).unwrap();
    work.commit().unwrap();
    content.window(&saved);
    let syncs = store.meter().syncs();
    store.begin_life().unwrap();
    content.begin_life();
    assert_eq!(Content::of(&mut store).unwrap(), content);
    assert_eq!(store.meter().syncs() - syncs, 1, "a commit waits for the disk once");
    // As a crash leaves it.
    let crashed = disk.after_crash(&mut fastrand::Rng::with_seed(1));
    assert_eq!(Content::of(&mut Store::with_backend(crashed, NOW).unwrap()).unwrap(), content);
}
