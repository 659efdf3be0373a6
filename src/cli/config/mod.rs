//! The whole configuration: composes the settings that live beside each component, and reads them from a file, the
//! environment and flags.
//!
//! [`Config::load`] is a function of its [`Sources`]: it reads neither the process's environment nor a file by itself, so
//! that every case is a test of values. What it returns has passed [`Config::check`]. It knows nothing of the command line's
//! parser.

mod check;
mod client;
mod error;
mod http;
mod keys;
mod load;
mod log;

use std::path::PathBuf;

use serde::Deserialize;

use crate::broker::settings::{AuthSettings, Limits, NodesSettings, path_or_nothing};
use crate::broker::settings::{OutboxSettings, ReplaySettings};
use crate::broker::settings::{RuntimeSettings, StoreSettings, TcpSettings, TlsSettings, UnixSettings};
use crate::wire::{Address, DEFAULT_PORT, Listen};

pub use check::BadValue;
pub(crate) use client::ClientConfig;
pub use error::{ConfigError, Problem};
pub use http::HttpConfig;
pub use keys::{known_keys, variable};
pub use load::{Flags, Setting, Sources};
pub use log::{LogFormat, LogLevel, LogSettings};

/// Everything that can be set. `config/msgstream.toml` explains each setting.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where the broker listens, and what is spoken there. `127.0.0.1:7342`, JSON lines.
    pub listen: Vec<Listen>,
    /// A file that holds the ports while the broker runs. None.
    #[serde(deserialize_with = "path_or_nothing")]
    pub port_file: Option<PathBuf>,
    /// What is logged, and how.
    pub log: LogSettings,
    /// Limits on everything that a peer can make grow.
    pub limits: Limits,
    /// How much may wait for a connection.
    pub outbox: OutboxSettings,
    /// What is kept of the messages that streams have had.
    pub replay: ReplaySettings,
    /// What is kept beyond a restart.
    pub store: StoreSettings,
    /// Which other brokers it shares its streams with.
    pub nodes: NodesSettings,
    /// Who is let in.
    pub auth: AuthSettings,
    /// Options of TCP connections.
    pub tcp: TcpSettings,
    /// Options of Unix sockets.
    pub unix: UnixSettings,
    /// Certificates.
    pub tls: TlsSettings,
    /// What there is over HTTP.
    pub http: HttpConfig,
    /// The threads.
    pub runtime: RuntimeSettings,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            // Only this machine: without tokens a wider address is the operator's decision.
            listen: vec![Address::Tcp(([127, 0, 0, 1], DEFAULT_PORT).into()).into()],
            port_file: None,
            log: LogSettings::default(),
            limits: Limits::default(),
            outbox: OutboxSettings::default(),
            replay: ReplaySettings::default(),
            store: StoreSettings::default(),
            nodes: NodesSettings::default(),
            auth: AuthSettings::default(),
            tcp: TcpSettings::default(),
            unix: UnixSettings::default(),
            tls: TlsSettings::default(),
            http: HttpConfig::default(),
            runtime: RuntimeSettings::default(),
        }
    }
}
