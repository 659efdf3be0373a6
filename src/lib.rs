//! A broker for the progress of long-running jobs.
//!
//! A job publishes its progress to a *stream* of messages, named after its job id. A listener that joins late gets the
//! stream's *header* at once, and then every later message, in order, until the stream ends or the listener hangs up.
//!
//! ```
//! use msgstream::client::{Event, RemoteStream};
//! use msgstream::local::MessageStream;
//! use msgstream::broker::Settings;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // A program that computes, with the broker inside, so that others can watch.
//! let broker = MessageStream::new();
//! let server = broker.serve(&["127.0.0.1:0".parse()?], &Settings::default())?;
//! let address = server.addresses()[0].to_string();
//! tokio::spawn(server.run(std::future::pending(), std::future::pending()));
//! broker.header("job-1", "half done").await?;
//!
//! // Another program, which joins late.
//! let remote = RemoteStream::connect(&address).await?;
//! let mut listener = remote.listen("job-1").await?;
//! assert!(matches!(listener.next().await, Some(Event::Header(header)) if header == "\"half done\""));
//! broker.put("job-1", "nearly done").await?;
//! broker.close("job-1").await?;
//! assert!(matches!(listener.next().await, Some(Event::Message(message)) if message == "\"nearly done\""));
//! assert!(matches!(listener.next().await, Some(Event::Ended { message: None })));
//! # Ok(()) }
//! ```
//!
//! # Layout
//!
//! - [`job`]: the content of messages, and the messages of a job.
//! - [`client`]: a client of a broker in another process.
//! - [`local`]: a broker in this process, with or without a server; see [`local::MessageStream`].
//! - [`broker`]: the broker as a server, and its settings.
//! - [`units`]: sizes and times, for settings and options.
//!
//! # Features
//!
//! A program that only talks to a broker in another process needs none of these: `default-features = false`.
//!
//! - `broker`: the modules `broker` and `local`.
//! - `tls`: encrypted connections, of the client and, with `broker`, of the server.
//! - `store`: with `broker`, a file in which the broker keeps streams beyond its own life.
//! - `cli`: the program `msgstream`. Default.
//! - `bench`: the program's subcommand `bench`, a load generator. Default.

// For readers of the source: five rooms, and the program. Each may use only those above it in this list; `tests/layers` enforces
// this, and an order within some of the rooms.
mod wire;

pub mod job;

#[cfg(feature = "tls")]
mod tls;

#[cfg(feature = "broker")]
pub mod broker;

pub mod client;

#[cfg(feature = "broker")]
pub mod local;

#[cfg(feature = "bench")]
mod bench;

#[cfg(feature = "cli")]
mod cli;

#[doc(hidden)]
pub mod internal;

pub use wire::units;

// So that the examples of the README are compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
