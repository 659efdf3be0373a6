//! Inputs for the decoders: bytes changed at random, and what the fuzzer has found worth keeping.

#![allow(clippy::unwrap_used, reason = "a test helper: what fails here is a failed test")]

use std::fs;
use std::path::Path;

use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::sample::Index;

/// What happens at a place.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Edit {
    Replace,
    Insert,
    Remove,
    Truncate,
}

/// One change at one place, with the byte that it may need.
pub(crate) type Change = (Index, Edit, u8);

/// A change at any place, with one of these bytes.
pub(crate) fn change(bytes: impl Strategy<Value = u8>) -> impl Strategy<Value = Change> {
    (any::<Index>(), prop_oneof![Just(Edit::Replace), Just(Edit::Insert), Just(Edit::Remove), Just(Edit::Truncate)], bytes)
}

/// The bytes after these changes, one after the other.
pub(crate) fn changed(mut bytes: Vec<u8>, changes: &[Change]) -> Vec<u8> {
    for (place, edit, byte) in changes {
        if bytes.is_empty() {
            break;
        }
        let place = place.index(bytes.len());
        match edit {
            Edit::Replace => bytes[place] = *byte,
            Edit::Insert => bytes.insert(place, *byte),
            Edit::Remove => drop(bytes.remove(place)),
            Edit::Truncate => bytes.truncate(place),
        }
    }
    bytes
}

/// Gives each file in the corpus of a fuzz target to `compare`.
pub(crate) fn for_each_of_corpus(target: &str, compare: impl Fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut count = 0;
    for file in fs::read_dir(corpus).unwrap() {
        compare(&fs::read(file.unwrap().path()).unwrap());
        count += 1;
    }
    assert!(count > 10, "the corpus is missing");
}
