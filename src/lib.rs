//! A broker for the progress of long-running jobs.
//!
//! A job reports its progress as a *stream* of messages, keyed by its job id. A listener that joins late gets the
//! stream's *header* at once, then every later message, in order, none lost, until it hangs up.
//!
//! ```
//! use msgstream::client::{Event, RemoteStream};
//! use msgstream::local::MessageStream;
//! use msgstream::broker::settings::Settings;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // A program that computes, and lets others look.
//! let broker = MessageStream::new();
//! let server = broker.serve(&["127.0.0.1:0".parse()?], &Settings::default())?;
//! let address = server.addresses()[0].to_string();
//! tokio::spawn(server.run(std::future::pending(), std::future::pending()));
//! broker.header("job-1", "half done").await?;
//!
//! // Another program, which comes late.
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
//! Each room may use only those above it in this list; a test holds them to it, and their own rooms to an order of theirs.
//!
//! - [`wire`]: what is said between a client and a broker; no sockets, no tasks.
//! - [`job`]: what a job's author writes: contents and progress.
//! - [`broker`]: all that serves.
//! - [`client`]: a broker in another process.
//! - [`local`]: a broker in this process, with or without a server.
//! - `cli` and `bench`: the program and its load generator.
//!
//! To run a broker inside another program, see [`local::MessageStream`], and [`broker::server::Server`] for a whole one.

#[doc(hidden)]
pub mod bench;
pub mod broker;
#[doc(hidden)]
pub mod cli;
pub mod client;
pub mod job;
pub mod local;
pub mod wire;

// So that the examples of the README are compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
