//! WIRING: stands in for `msgstream::server::{Server, Settings}` until they exist. To wire: delete this file and its `mod` line,
//! and import both from `msgstream::server` in `serve.rs`. It binds TCP addresses, so that everything around the server can be
//! tested, and serves nobody.

use std::future::Future;
use std::io;
use std::net::TcpListener;

use msgstream::limits::Limits;
use msgstream::outbox::OutboxSettings;
use msgstream::server::{Address, TcpSettings, UnixSettings};

#[allow(dead_code, reason = "nobody is served yet")]
pub(crate) struct Settings {
    pub(crate) limits: Limits,
    pub(crate) outbox: OutboxSettings,
    pub(crate) tcp: TcpSettings,
    pub(crate) unix: UnixSettings,
}

pub(crate) struct Server {
    addresses: Vec<Address>,
    _listeners: Vec<TcpListener>,
}

impl Server {
    #[allow(clippy::unused_async, reason = "the real one is")]
    pub(crate) async fn bind(listen: &[Address], _settings: Settings) -> io::Result<Self> {
        let (mut addresses, mut listeners) = (Vec::new(), Vec::new());
        for address in listen {
            let Address::Tcp(tcp) = address else { return Err(io::Error::other("not wired")) };
            let listener =
                TcpListener::bind(tcp).map_err(|error| io::Error::new(error.kind(), format!("cannot listen on {tcp}: {error}")))?;
            addresses.push(Address::Tcp(listener.local_addr()?));
            listeners.push(listener);
        }
        Ok(Self { addresses, _listeners: listeners })
    }

    pub(crate) fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    pub(crate) async fn run(self, shutdown: impl Future<Output = ()>, cut_short: impl Future<Output = ()>) -> io::Result<()> {
        shutdown.await;
        drop(cut_short);
        Ok(())
    }
}
