//! Any bytes, as the units of one connection and as one unit: the decoder and the oracle must agree on each, and on what
//! becomes of the content in JSON.
//!
//! `cargo +nightly fuzz run message_pack`

#![no_main]

#[path = "../../tests/oracle/message_pack.rs"]
mod oracle;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    oracle::compare(bytes);
    let Ok(length) = u32::try_from(bytes.len()) else { return };
    oracle::compare(&[&length.to_be_bytes(), bytes].concat());
});
