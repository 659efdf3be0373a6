//! All settings of a broker, with their defaults and reasons. `assemble` makes the running parts from them.

mod auth;
#[cfg(feature = "http")]
mod http;
mod limits;
mod memory;
#[cfg(feature = "nodes")]
mod nodes;
mod outbox;
mod replay;
mod sockets;
#[cfg(feature = "store")]
mod store;
#[cfg(feature = "tls")]
mod tls;

pub use auth::AuthSettings;
#[cfg(feature = "cli")]
pub(crate) use auth::path_or_nothing;
#[cfg(feature = "http")]
pub use http::HttpSettings;
pub use limits::Limits;
pub(super) use memory::memory;
#[cfg(feature = "nodes")]
pub use nodes::NodesSettings;
pub use outbox::{OutboxSettings, Policy};
pub use replay::ReplaySettings;
pub use sockets::{RuntimeSettings, TcpSettings, UnixSettings};
#[cfg(feature = "store")]
pub use store::StoreSettings;
#[cfg(feature = "tls")]
pub use tls::{ClientCertificates, TlsSettings};

use crate::wire::setters;

/// The settings of a server.
///
/// ```
/// # use msgstream::broker::{Limits, OutboxSettings, Policy, Settings};
/// let outbox = OutboxSettings::default().policy(Policy::Throttle);
/// let settings = Settings::default().limits(Limits::default().streams(1000)).outbox(outbox);
/// assert_eq!(settings.limits.listens, 10_000, "what is not named has its default");
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Settings {
    /// Limits on what a peer can make grow.
    pub limits: Limits,
    /// Limits on what waits to be sent.
    pub outbox: OutboxSettings,
    /// What is kept of messages.
    pub replay: ReplaySettings,
    /// Who is let in.
    pub auth: AuthSettings,
    /// Options of TCP connections.
    pub tcp: TcpSettings,
    /// Options of Unix sockets.
    pub unix: UnixSettings,
    /// Certificates.
    #[cfg(feature = "tls")]
    pub tls: TlsSettings,
    /// What there is over HTTP.
    #[cfg(feature = "http")]
    pub http: HttpSettings,
}

impl Settings {
    /// Whether whoever connects with TLS has to have a certificate.
    pub(crate) fn requires_certificates(&self) -> bool {
        #[cfg(feature = "tls")]
        return self.tls.client_certificates == ClientCertificates::Required;
        #[cfg(not(feature = "tls"))]
        false
    }
}

setters! {
    "msgstream::{broker::*, units::*}";
    Settings {
        limits: Limits, "Limits::default().streams(1000)";
        outbox: OutboxSettings, "OutboxSettings::default().policy(Policy::Throttle)";
        replay: ReplaySettings, "ReplaySettings::default().stream(ByteSize(0))";
        auth: AuthSettings, "AuthSettings::default().allow_anonymous(true)";
        tcp: TcpSettings, "TcpSettings::default().no_delay(false)";
        unix: UnixSettings, "UnixSettings::default().mode(0o666)";
    }
}

#[cfg(feature = "tls")]
setters! {
    "msgstream::broker::*";
    Settings {
        tls: TlsSettings, "TlsSettings::default().key(\"broker-key.pem\".into())";
    }
}

#[cfg(feature = "http")]
setters! {
    "msgstream::broker::*";
    Settings {
        http: HttpSettings, "HttpSettings::default().origins(vec![\"https://lab.example.org\".to_owned()])";
    }
}
