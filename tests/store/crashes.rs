//! Whenever the power fails, the last commit is there, or the one under way: whole, and nothing else.

use fastrand::Rng;
use msgstream::internal::broker::store::{Store, StoreError};
use msgstream::internal::wire::Epoch;

use crate::content::{Content, NOW};
use crate::disk::{Disk, Until};

const SEEDS: u64 = 300;

/// Lets a broker live until the power fails. What it has committed, and what it was committing.
fn live(rng: &mut Rng, store: &mut Store, committed: &mut Content) -> (Content, StoreError) {
    for _ in 0..1000 {
        let mut next = committed.clone();
        let outcome = if rng.u32(..6) == 0 {
            next.begin_life();
            store.begin_life()
        } else {
            transaction(rng, store, &mut next)
        };
        match outcome {
            Ok(()) => *committed = next,
            Err(error) => return (next, error),
        }
    }
    panic!("it writes nothing")
}

fn transaction(rng: &mut Rng, store: &mut Store, next: &mut Content) -> Result<(), StoreError> {
    let mut work = store.begin()?;
    for _ in 0..rng.u32(..20) {
        next.wander(rng, &mut work)?;
    }
    next.clock += std::time::Duration::from_millis(rng.u64(..1000));
    work.clock(next.clock)?;
    if rng.u32(..4) == 0 {
        next.life = Some(Epoch::new(rng.u64(..)));
        work.life(next.life.unwrap())?;
    }
    work.commit()
}

// Seen to fail when the disk lost what had been synced.
#[test]
fn a_crash_leaves_the_last_commit_or_the_one_under_way() {
    let (mut crashes, mut kept, mut under_way) = (0, 0, 0);
    for seed in 0..SEEDS {
        let mut rng = Rng::with_seed(seed);
        let mut disk = Disk::default();
        let mut committed = Content::default();
        drop(Store::with_backend(disk.clone(), NOW).unwrap());
        for _ in 0..4 {
            // It may fail again while the file is being opened.
            let (until, most) = [(Until::Operation, 12), (Until::Operation, 100), (Until::Sync, 8)][rng.usize(..3)];
            disk.fail_after(until, rng.usize(..most));
            let mut next = committed.clone();
            if let Ok(mut store) = Store::with_backend(disk.clone(), NOW) {
                assert_eq!(Content::of(&mut store).unwrap(), committed, "seed {seed}");
                (next, _) = live(&mut rng, &mut store, &mut committed);
            }
            disk = disk.after_crash(&mut rng);
            crashes += 1;
            // Whole, whatever comes next.
            let found = Content::of(&mut Store::with_backend(Disk::of(disk.content()), NOW).unwrap()).unwrap();
            assert!(found == committed || found == next, "seed {seed}: {found:?} is neither {committed:?} nor {next:?}");
            if found == committed {
                kept += 1
            } else {
                under_way += 1
            }
            committed = found;
        }
    }
    assert!(crashes == 4 * SEEDS && kept > SEEDS && under_way > SEEDS / 10, "{kept} and {under_way} of {crashes}");
}
