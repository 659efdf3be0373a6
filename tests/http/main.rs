//! The broker over HTTP, from outside: the real program, spoken to over real sockets, by clients that are made of the standards.
//!
//! - [`routes`]: what each address answers, and what it says of what is wrong.
//! - [`rights`]: who may do what, and what strangers can do.
//! - [`sites`]: which pages a browser may let at the broker.
//! - [`events`]: server-sent events: what they say, and that nothing is missing behind a lost connection.
//! - [`websockets`]: frames, pings and ends; `tests/broker` plays all dialogues of the contract over WebSockets.
//! - [`patience`]: those who are slow, or say more than they may.
//! - [`full`]: what is still answered where there is no room for more connections.
//! - [`carriers`]: encrypted connections and Unix sockets are held to the same.
//! - [`stopping`]: what everybody is told when the broker stops.
//! - [`asking`]: a client, and what it hears.
//!
//! The harness is that of `tests/broker`.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed unwrap is a failed test")]

mod asking;
mod carriers;
#[path = "../certificates/mod.rs"]
mod certificates;
mod events;
mod full;
#[path = "../broker/harness/mod.rs"]
#[allow(dead_code, unused_imports, reason = "it is that of many other tests")]
mod harness;
mod patience;
mod rights;
mod routes;
mod sites;
mod stopping;
mod websockets;
