//! The `[tls]` section: what the broker shows to clients on `tls://` addresses, and what it asks them for.

use std::path::PathBuf;

use crate::wire::setters;

use super::auth::path_or_nothing;

/// The `[tls]` section: files for the addresses where TLS is spoken, all of them in PEM.
///
/// ```
/// # use msgstream::broker::{ClientCertificates, Settings, TlsSettings};
/// let tls = TlsSettings::default().certificate("broker.pem".into()).key("broker-key.pem".into());
/// let closed = tls.client_ca("group-ca.pem".into()).client_certificates(ClientCertificates::Required);
/// let settings = Settings::default().tls(closed);
/// assert_eq!(TlsSettings::default().client_certificates, ClientCertificates::Off);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct TlsSettings {
    /// The broker's certificate, and behind it those that lead to its authority. Default: none, so that no `tls://` address is possible.
    #[serde(deserialize_with = "path_or_nothing")]
    pub certificate: Option<PathBuf>,
    /// The private key of the certificate, not encrypted. Default: none.
    #[serde(deserialize_with = "path_or_nothing")]
    pub key: Option<PathBuf>,
    /// The authorities whose clients are known. Default: none.
    #[serde(deserialize_with = "path_or_nothing")]
    pub client_ca: Option<PathBuf>,
    /// Whether clients show certificates of their own. Default: off.
    pub client_certificates: ClientCertificates,
}

/// Whether clients show certificates of their own, signed by one of the authorities in [`TlsSettings::client_ca`]. The name in it is the
/// client's name in the log. It is also who the client is, where the file of [`AuthSettings::tokens`](field@super::AuthSettings::tokens)
/// names a `certificate` so: such a client needs no token.
///
/// ```
/// # use msgstream::broker::ClientCertificates;
/// assert_eq!(ClientCertificates::default(), ClientCertificates::Off);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientCertificates {
    /// They are not asked for one.
    #[default]
    Off,
    /// They may; one that cannot be verified ends the connection.
    Optional,
    /// They must.
    Required,
}

impl ClientCertificates {
    /// The names that the configuration takes.
    #[cfg(feature = "cli")]
    pub(crate) const NAMES: [&str; 3] = ["off", "optional", "required"];
}

setters! {
    "msgstream::broker::*";
    TlsSettings {
        certificate: PathBuf, "\"broker.pem\".into()";
        key: PathBuf, "\"broker-key.pem\".into()";
        client_ca: PathBuf, "\"group-ca.pem\".into()";
        client_certificates: ClientCertificates, "ClientCertificates::Required";
    }
}
