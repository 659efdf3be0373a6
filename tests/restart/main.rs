//! Brokers with a store that are killed at any moment, and that are stopped and started again under their clients.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed unwrap in a test is a failed test")]

#[path = "../started/mod.rs"]
mod started;

mod broker;
mod full;
mod killed;
mod leaving;
mod stopped;
mod unread;
