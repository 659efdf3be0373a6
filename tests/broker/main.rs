//! The broker from outside: the real program as a process of its own, spoken to over real sockets.
//!
//! Nothing here knows how the broker is built. What it must do comes from the wire contract, word for word in the
//! dialogues under `transcripts/`; what it must survive is under `faults/`.
//!
//! # Index
//!
//! - [`harness`]: the program as a process ([`harness::Broker`]), a client ([`harness::Client`]), and the runner of
//!   transcripts. All waiting is for an event and has a deadline; nothing sleeps and hopes.
//! - [`checker`]: what every listener must be able to say about the messages it got. Tested by planted faults.
//! - [`contract`]: every dialogue of `transcripts/`, over TCP, over TLS, over a Unix socket and over a WebSocket.
//! - [`faults`]: one module for each thing that goes wrong in the world.
//!
//! The program under test is the one that cargo built, or the one that `MSGSTREAM_BIN` names: an installed or a
//! release build can be held to the same tests. With `MSGSTREAM_TEST_NATS` set to the address of a NATS server, each broker is a node
//! with a space of its own: see `tests/nodes/run --contract`.

// A failed unwrap in a test is a failed test. Clippy knows that of test functions, not of what they call.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../certificates/mod.rs"]
mod certificates;
mod checker;
mod contract;
mod faults;
mod harness;
