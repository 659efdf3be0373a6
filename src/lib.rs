//! A broker for the progress of long-running jobs.
//!
//! A job reports its progress as a *stream* of messages, keyed by its job id. A listener that joins late gets the
//! stream's *header* at once, then every later message, in order, none lost, until it hangs up.
//!
//! # Layout
//!
//! Each module may use only those above it in this list; a test holds them to it.
//!
//! - [`ids`], [`units`], [`limits`]: names, ids, sizes and limits.
//! - [`content`]: what messages carry; [`monitor`]: the messages of a job.
//! - [`protocol`]: actions, events and the codecs between them and bytes.
//! - [`broker`]: the core, a pure state machine.
//! - [`outbox`]: what waits to be sent to one connection.
//! - [`actor`]: the one owner of the core.
//! - [`connection`]: the life of one connection.
//! - [`server`]: binds, accepts, drains.
//! - [`config`]: composes the settings of all of these and reads them.
//!
//! Beside them, for programs that use a broker:
//!
//! - [`client`]: a broker in another process; it shares names, limits, contents and the protocol with the others, no more.
//! - [`local`]: a broker in this process, with or without a server.
//!
//! To run a broker inside another program, see [`local::MessageStream`], and [`server::Server`] for a whole one.

pub mod actor;
pub mod broker;
pub mod client;
pub mod config;
pub mod connection;
pub mod content;
pub mod ids;
pub mod limits;
pub mod local;
pub mod monitor;
pub mod outbox;
pub mod protocol;
pub mod server;
pub mod units;

// So that the examples of the README are compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
