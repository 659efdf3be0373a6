//! The `[nodes]` section of the configuration.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::auth::path_or_nothing;
use crate::wire::units::{ByteSize, Span};
use crate::wire::{setters, without_passwords};

/// Several brokers with one space of streams, on NATS JetStream.
///
/// ```
/// # use msgstream::broker::NodesSettings;
/// let settings = NodesSettings::on(["nats://nats-1.example.org:4222", "nats://nats-2.example.org:4222"]).replicas(3);
/// assert_eq!((settings.space.as_str(), settings.is_on()), ("msgstream", true));
/// ```
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct NodesSettings {
    /// The addresses of the NATS servers, `nats://HOST:PORT` or `tls://HOST:PORT`. Default: none, so this broker is on its own.
    pub nats: Vec<String>,
    /// The name of the space: brokers that give the same one have the same streams. Letters, digits, `-` and `_`. Default: `msgstream`.
    pub space: String,
    /// This node's name, which no other node of the space has. Default: the name of the host.
    pub name: String,
    /// How many NATS servers keep each message: 1, 3 or 5. It counts for the node that makes the space. Default: 1.
    pub replicas: usize,
    /// The file of credentials that NATS asks for: what `nsc generate creds` gives, a seed of an nkey, or a line of `NAME:PASSWORD`.
    /// Default: none.
    #[serde(deserialize_with = "path_or_nothing")]
    pub credentials: Option<PathBuf>,
    /// The authorities that the NATS servers' certificates are signed by. Default: those of the system.
    #[serde(deserialize_with = "path_or_nothing")]
    pub ca: Option<PathBuf>,
    /// The certificate that is shown to NATS. Default: none.
    #[serde(deserialize_with = "path_or_nothing")]
    pub certificate: Option<PathBuf>,
    /// Its private key. Default: none.
    #[serde(deserialize_with = "path_or_nothing")]
    pub key: Option<PathBuf>,
    /// A node of which the others hear nothing for this long is gone. Default: 10 s.
    pub lease: Span,
    /// The most that the log in NATS may take, in bytes. It counts for the node that makes the space. Default: 1 GiB.
    pub log: ByteSize,
}

impl NodesSettings {
    /// A node on these NATS servers.
    ///
    /// ```
    /// # use msgstream::broker::NodesSettings;
    /// assert_eq!(NodesSettings::on(["nats://127.0.0.1:4222"]).lease.to_string(), "10s");
    /// ```
    pub fn on<S: Into<String>>(nats: impl IntoIterator<Item = S>) -> Self {
        Self::default().nats(nats.into_iter().map(Into::into).collect())
    }

    /// Whether the broker is one of several.
    pub fn is_on(&self) -> bool {
        !self.nats.is_empty()
    }
}

/// Without a password that stands where it does not belong.
impl fmt::Debug for NodesSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { nats, space, name, replicas, credentials, ca, certificate, key, lease, log } = self;
        let nats: Vec<_> = nats.iter().map(|address| without_passwords(address)).collect();
        let mut told = f.debug_struct("NodesSettings");
        told.field("nats", &nats).field("space", space).field("name", name).field("replicas", replicas);
        told.field("credentials", credentials).field("ca", ca).field("certificate", certificate).field("key", key);
        told.field("lease", lease).field("log", log).finish()
    }
}

impl Default for NodesSettings {
    fn default() -> Self {
        Self {
            nats: Vec::new(),
            space: "msgstream".to_owned(),
            name: String::new(),
            replicas: 1,
            credentials: None,
            ca: None,
            certificate: None,
            key: None,
            lease: Span(Duration::from_secs(10)),
            log: ByteSize(1 << 30),
        }
    }
}

setters! {
    "{msgstream::{broker::*, units::*}, std::path::PathBuf}";
    NodesSettings {
        nats: Vec<String>, "vec![\"nats://127.0.0.1:4222\".to_owned()]";
        space: String, "\"lab\".to_owned()";
        name: String, "\"north\".to_owned()";
        replicas: usize, "3";
        credentials: impl Into<Option<PathBuf>>, "PathBuf::from(\"nats.creds\")";
        ca: impl Into<Option<PathBuf>>, "PathBuf::from(\"ca.pem\")";
        certificate: impl Into<Option<PathBuf>>, "PathBuf::from(\"node.pem\")";
        key: impl Into<Option<PathBuf>>, "PathBuf::from(\"node-key.pem\")";
        lease: Span, "Span::from_secs(5)";
        log: ByteSize, "ByteSize(64 << 20)";
    }
}
