//! The library as programs use it: the client on a real broker over sockets, and the broker in the program itself.
//!
//! - `events`: what a listener sees, each kind.
//! - `publish`: flush, receipts, refusals, back-pressure.
//! - `reconnect`: a broker that is killed and comes back, one that is silent, one that turns away.
//! - `admitted`: a broker that asks who one is.
//! - `prefixes`: all streams whose names begin so.
//! - `repeated`: what a client repeats on a new connection, and what it does not.
//! - `local`: the broker inside a program, alone and beside a server.
//! - `objects`: typed content from one program to another.
//! - `throttle`: the broker inside a program holds its own publishers back.
//! - `encodings`: the broker inside a program, and listeners in both encodings.
//! - `encrypted`: TLS, certificates, and clients that break off in a handshake.
//! - `dropped`: futures that are dropped half way, and runtimes that end.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed unwrap in a test is a failed test")]

mod admitted;
mod broker;
#[cfg(feature = "tls")]
#[path = "../certificates/mod.rs"]
mod certificates;
mod dropped;
mod encodings;
#[cfg(feature = "tls")]
mod encrypted;
mod events;
mod local;
mod local_listeners;
mod local_wills;
mod objects;
mod peer;
mod prefixes;
mod proxy;
mod publish;
mod reconnect;
mod repeated;
mod sessions;
mod throttle;
