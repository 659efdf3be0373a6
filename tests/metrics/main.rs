//! Every metric is right: a broker in this process is given something to count, and what it tells is compared with that.
//!
//! - `figures`: what is counted, while all goes well.
//! - `trouble`: what is counted when it does not.
//! - `nodes`: what a node tells of itself and of the others.
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
#[cfg(feature = "nodes")]
#[path = "../nats/server.rs"]
#[allow(dead_code, reason = "it is that of other tests")]
mod nats;
#[cfg(feature = "nodes")]
mod nodes;
mod trouble;
