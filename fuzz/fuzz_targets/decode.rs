//! Any bytes, as the lines of one connection: the decoder and the oracle must agree on each.
//!
//! `cargo +nightly fuzz run decode`

#![no_main]

#[path = "../../tests/oracle/mod.rs"]
mod oracle;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| oracle::compare(bytes));
