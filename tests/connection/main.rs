//! Connections over an in-memory transport and a simulated clock: what needs no socket is tested without one.
//!
//! - `splits`: the same bytes, however they fall apart, mean the same.
//! - `clocks`: time limits, by a clock that jumps.
//! - `admission`: who is let in.
//! - `rights`: what they do not allow has no effect.
//! - `found`: what was once wrong, and must not be again.
//! - `held`: what was once wrong with publishers that are held back.
//! - `listed`: what whoever watches over the broker is told of connections.
//! - `lost`: sessions and wills.
//! - `encrypted`: the same over TLS.
//! - `handshakes`: what goes wrong before a connection is encrypted, and what is refused for good.
//! - `faults`: panics, resets, full queues.
//! - `translated`: messages whose translation takes long.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed unwrap is a failed test")]

mod admission;
mod blank;
#[cfg(feature = "tls")]
#[path = "../certificates/mod.rs"]
mod certificates;
mod clocks;
#[cfg(feature = "tls")]
mod encrypted;
mod faults;
mod found;
#[cfg(feature = "tls")]
mod handshakes;
mod held;
mod listed;
mod lost;
mod pipe;
mod rights;
mod splits;
mod translated;

use std::sync::Arc;
use std::time::Duration;

use msgstream::broker::Settings;
use msgstream::internal::broker::assemble;
use msgstream::internal::broker::connection::{ConnectionContext, serve};
use msgstream::internal::wire::json_lines::JsonLines;
use msgstream::internal::wire::message_pack::{ENCODER, MessagePack};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use pipe::{Peer, pipe};

/// A broker without sockets.
struct Broker {
    context: Arc<ConnectionContext>,
    actor: JoinHandle<()>,
}

impl Broker {
    fn start(settings: &Settings) -> Self {
        let (actor, context) = assemble(settings);
        Self { context, actor: tokio::spawn(actor.with_epochs_of(0).run()) }
    }

    fn connect(&self) -> Peer {
        let (pipe, peer) = pipe();
        tokio::spawn(serve(pipe, JsonLines::default(), Arc::clone(&self.context)));
        peer
    }

    /// A connection that speaks MessagePack.
    fn connect_packed(&self) -> Peer {
        let (pipe, peer) = pipe();
        tokio::spawn(serve(pipe, MessagePack::default(), self.context.speaking(&ENCODER)));
        peer
    }

    /// A connection that listens already.
    async fn listener(&self, stream: &str) -> Peer {
        let peer = self.connect();
        peer.line(&format!(r#"{{"action":"listen","stream":"{stream}"}}"#));
        assert_eq!(peer.ping().await, "");
        peer
    }
}

/// Publishes more to `s` than a listener's queue takes.
fn flood(publisher: &Peer) {
    for number in 0..100 {
        publisher.line(&put("s", &number.to_string()));
    }
}

/// The same, until the publisher is held back by a listener that does not read.
async fn hold(publisher: &Peer) {
    flood(publisher);
    assert!(timeout(Duration::from_secs(1), publisher.ping()).await.is_err(), "held");
    publisher.until(|_| true).await;
}

fn put(stream: &str, message: &str) -> String {
    format!(r#"{{"action":"put","stream":"{stream}","message":{message}}}"#)
}
