//! The store, on files and on disks that fail.
//!
//! - `disk`: a disk in memory that is full, or loses its power; also for the simulation.
//! - `content`: what a test keeps, and what it finds.
//! - `round_trips`, `crashes`, `failures`, `damage`, `files`.
#![allow(clippy::unwrap_used, reason = "a failed unwrap in a test is a failed test")]

mod content;
mod crashes;
mod damage;
mod disk;
mod failures;
mod files;
mod round_trips;
