//! Every metric is right: a broker in this process is given something to count, and what it tells is compared with that.
//!
//! - `figures`: what is counted, while all goes well.
//! - `trouble`: what is counted when it does not.
//! - `names`: the document, the dashboard and the rules name the metrics that there are.
//! - `broker`: the broker, its clients, and what it tells.
//!
//! `tests/metrics/run` asks a real Prometheus.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed unwrap is a failed test")]

mod broker;
#[cfg(feature = "tls")]
#[path = "../certificates/mod.rs"]
mod certificates;
mod figures;
mod names;
mod trouble;
