//! A disk that is full for a while, and a file that somebody moves away.

use std::time::Duration;

use fastrand::Rng;
use msgstream::internal::broker::core::{Change, StreamChange};
use msgstream::internal::broker::store::{Store, StoreError};

use crate::content::{Content, NOW, refused, running, stream_name};
use crate::disk::Disk;

fn keep(store: &mut Store, content: &mut Content, name: &str, length: usize) -> Result<(), StoreError> {
    let name = stream_name(name);
    let change = Change { stream: StreamChange::Stands(running(&name, length)), name, will: None };
    let mut work = store.begin()?;
    work.changes(std::slice::from_ref(&change))?;
    work.commit()?;
    content.change(&change);
    Ok(())
}

#[test]
fn a_store_heals_when_a_full_disk_has_room_again() {
    for seed in 0..50 {
        let mut rng = Rng::with_seed(seed);
        let disk = Disk::default();
        let mut store = Store::with_backend(disk.clone(), NOW).unwrap();
        let mut content = Content::default();
        for round in 0..5 {
            for number in 0..rng.u32(1..20) {
                keep(&mut store, &mut content, &format!("{round}-{number}"), rng.usize(..3000)).unwrap();
            }
            disk.fill(true);
            for number in 0..rng.u32(1..4) {
                let said = refused(keep(&mut store, &mut content, &format!("lost-{number}"), 40_000));
                assert!(said.contains("there is no room") && said.contains("goes on by itself"), "{said}");
            }
            assert!(disk.failures() > 0);
            disk.fill(false);
            assert_eq!(Content::of(&mut store).unwrap(), content, "seed {seed}");
        }
        drop(store);
        assert_eq!(Content::of(&mut Store::with_backend(disk, NOW).unwrap()).unwrap(), content);
    }
}

/// Else a broker would go on with a store in which most of its streams are missing.
#[test]
fn what_is_put_in_the_place_of_a_store_is_not_gone_on_with() {
    let other = Disk::default();
    drop(Store::with_backend(other.clone(), NOW + Duration::from_millis(1)).unwrap());
    for there in [other.content(), Vec::new()] {
        let disk = Disk::default();
        let mut store = Store::with_backend(disk.clone(), NOW).unwrap();
        disk.fill(true);
        assert!(keep(&mut store, &mut Content::default(), "fit-1", 10).is_err());
        disk.fill(false);
        let before = disk.content();
        disk.replace(there);
        assert!(refused(keep(&mut store, &mut Content::default(), "fit-1", 10)).contains("put it back, or restart the broker"));
        disk.replace(before);
        keep(&mut store, &mut Content::default(), "fit-1", 10).unwrap();
    }
}

#[test]
fn a_full_disk_is_told_when_a_store_is_made() {
    let disk = Disk::default();
    disk.fill(true);
    assert!(refused(Store::with_backend(disk, NOW)).contains("there is no room"));
}

#[test]
fn a_transaction_that_has_failed_keeps_nothing() {
    let disk = Disk::default();
    let mut store = Store::with_backend(disk.clone(), NOW).unwrap();
    let name = stream_name("fit-1");
    let change = |length| Change { stream: StreamChange::Stands(running(&name, length)), name: name.clone(), will: None };
    disk.fill(true);
    let mut work = store.begin().unwrap();
    // More than what is held back in memory.
    let failed = (0..200).find_map(|_| work.changes(std::slice::from_ref(&change(1 << 20))).err());
    disk.fill(false);
    let outcome = work.changes(std::slice::from_ref(&change(1))).and_then(|()| work.commit());
    assert!(failed.is_none() || outcome.is_err(), "a part of a transaction was kept");
    assert!(outcome.is_ok() != Content::of(&mut store).unwrap().eq(&Content::default()));
}
