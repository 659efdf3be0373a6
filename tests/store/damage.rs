//! Files that do not hold what was written: an error, or what was written, and never a panic.

use std::panic::{AssertUnwindSafe, catch_unwind};

use fastrand::Rng;
use msgstream::internal::broker::store::Store;

use crate::content::{Content, NOW};
use crate::disk::Disk;

/// A file with something in it, and what that was before its last commit and behind it.
fn filled(rng: &mut Rng, is_closed: bool) -> (Vec<u8>, [Content; 2]) {
    let disk = Disk::default();
    let mut store = Store::with_backend(disk.clone(), NOW).unwrap();
    let mut contents = [Content::default(), Content::default()];
    for _ in 0..4 {
        let mut work = store.begin().unwrap();
        contents[0] = contents[1].clone();
        for _ in 0..40 {
            contents[1].wander(rng, &mut work).unwrap();
        }
        work.commit().unwrap();
    }
    if is_closed {
        store.close().unwrap();
        return (disk.content(), contents);
    }
    let left = disk.content();
    drop(store);
    (left, contents)
}

/// How it went with a file: what was found, or what was said.
fn look(file: Vec<u8>) -> Result<Content, String> {
    let opened =
        || Store::with_backend(Disk::of(file), NOW).and_then(|mut store| Content::of(&mut store)).map_err(|error| error.to_string());
    catch_unwind(AssertUnwindSafe(opened)).unwrap_or_else(|_| panic!("it panics"))
}

#[test]
fn bytes_that_have_changed_never_panic_and_are_never_believed() {
    let (mut damaged, mut right, mut earlier) = (0, 0, 0);
    let filled = |seed: u64| (seed.is_multiple_of(2), filled(&mut Rng::with_seed(seed), seed.is_multiple_of(2)));
    let files: Vec<_> = (0..8).map(filled).collect();
    for (_, (file, contents)) in &files {
        assert_eq!(look(file.clone()).as_ref(), Ok(&contents[1]));
    }
    for seed in 0..600 {
        let mut rng = Rng::with_seed(seed);
        let (is_closed, (mut file, contents)) = files[seed as usize % files.len()].clone();
        for _ in 0..[1, 1, 3, 100][rng.usize(..4)] {
            // Every third time among the first pages, where the database has what the others hang on.
            let end = if rng.u32(..3) == 0 { 8192 } else { file.len() };
            let at = rng.usize(..end);
            file[at] ^= if rng.bool() { 1 << rng.u32(..8) } else { rng.u8(1..) };
        }
        match look(file) {
            Ok(found) if found == contents[1] => right += 1,
            // As if the last commit had been under way when the power failed. One that was closed has nothing under way.
            Ok(found) if found == contents[0] && !is_closed => earlier += 1,
            Ok(found) => panic!("seed {seed}: {found:?}"),
            Err(said) => {
                let is_told =
                    ["is damaged: ", "is no store of msgstream", "written by a newer msgstream"].iter().any(|part| said.contains(part));
                assert!(is_told, "seed {seed}: {said}");
                damaged += 1;
            }
        }
    }
    println!("{damaged} damaged, {right} right, {earlier} earlier");
    assert!(damaged > 100 && right > 50, "{damaged} damaged, {right} right, {earlier} earlier");
}

#[test]
fn files_that_are_cut_short_or_go_on_never_panic() {
    let (file, contents) = filled(&mut Rng::with_seed(1), true);
    for seed in 0..100 {
        let mut rng = Rng::with_seed(seed);
        let mut changed = file.clone();
        changed.resize(rng.usize(1..2 * file.len()), 0);
        match look(changed) {
            Ok(found) => assert!(contents.contains(&found), "seed {seed}"),
            Err(said) => assert!(said.contains("is damaged: ") || said.contains("is no store of msgstream"), "seed {seed}: {said}"),
        }
    }
}
