//! Any bytes, as a history of several connections: the broker and the naive model must agree on what each is told.
//!
//! `cargo +nightly fuzz run actions`

#![no_main]

#[allow(dead_code, reason = "the histories of the core alone are for the tests")]
#[path = "../../tests/model/mod.rs"]
mod model;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| model::wire::run(bytes));
