//! The log of a space on a NATS server that runs, is killed, and is out of reach.
//!
//! - `server`, `proxy`, `node`: what a test runs.
//! - `records`, `snapshots`, `trouble`, `over`, `encrypted`, `cluster`.
//!
//! Without the program nats-server they are skipped, and say so.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed unwrap in a test is a failed test")]

mod cluster;
mod encrypted;
mod node;
mod over;
mod proxy;
mod records;
mod server;
mod snapshots;
mod trouble;
