//! A broker for the progress of long-running jobs.
//!
//! A job reports its progress as a *stream* of messages, keyed by its job id. A listener that joins late gets the
//! stream's *header* at once, then every later message, in order, none lost, until it hangs up.
//!
//! ```
//! use msgstream::client::{Event, RemoteStream};
//! use msgstream::local::MessageStream;
//! use msgstream::server::Settings;
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
