//! Encrypted connections to a broker, and what went wrong with them in words.

use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::pki_types::ServerName;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{AlertDescription, CertificateError, ClientConfig, InvalidMessage, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::spawn_blocking;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::tls::{PemFile, TlsError, certified_key, provider};
use crate::wire::setters;

/// Whom a client believes to be the broker, and who it says it is itself, on connections to `tls://` addresses. The files are in PEM.
/// They are read for each connection, so that a renewed one needs no restart.
///
/// ```
/// # use msgstream::client::{Options, TlsOptions};
/// // A broker whose certificate is signed by the group's own authority.
/// let options = Options::default().tls(TlsOptions::default().ca("group-ca.pem".into()));
/// assert_eq!(TlsOptions::default().ca, None, "the authorities that the system knows");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct TlsOptions {
    /// The authorities that the broker's certificate is to be signed by. Default: those that the system knows.
    pub ca: Option<PathBuf>,
    /// The client's own certificate, and behind it those that lead to its authority. Default: none.
    pub certificate: Option<PathBuf>,
    /// The private key of that certificate, not encrypted. Default: the file of the certificate, which may hold both.
    pub key: Option<PathBuf>,
}

setters! {
    "msgstream::client::*";
    TlsOptions {
        ca: PathBuf, "\"group-ca.pem\".into()";
        certificate: PathBuf, "\"me.pem\".into()";
        key: PathBuf, "\"me-key.pem\".into()";
    }
}

/// How the files are called in errors: by the program's flag, and by the field.
const CA: &str = "--ca, TlsOptions::ca";
const CERTIFICATE: &str = "--certificate, TlsOptions::certificate";
const KEY: &str = "--key, TlsOptions::key";

impl TlsOptions {
    /// Makes an encrypted connection to `host:port` over a socket. Errors are for people.
    pub(super) async fn connect(&self, socket: TcpStream, host: &str) -> io::Result<impl AsyncRead + AsyncWrite + Send + Unpin + use<>> {
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        let name = name.trim_start_matches('[').trim_end_matches(']').to_owned();
        let server = ServerName::try_from(name.clone());
        let server = server
            .map_err(|_| io::Error::other(format!("{name:?} cannot stand in a certificate: connect by a host name or an IP address")))?;
        // The files may be far away, and whoever drives this connection may have more to do.
        let options = self.clone();
        let config = spawn_blocking(move || options.config()).await.map_err(io::Error::other)?;
        let config = config.map_err(|fault| io::Error::new(io::ErrorKind::InvalidInput, fault))?;
        let connector = TlsConnector::from(Arc::new(config));
        match connector.connect(server, socket).await {
            Ok(stream) => Ok(Explained { stream, host: name }),
            Err(error) => Err(explained(error, &name)),
        }
    }

    /// Reads the files that are named, to tell what is wrong with them before anybody is called.
    #[cfg(feature = "cli")]
    pub(crate) fn check(&self) -> Result<(), TlsError> {
        if let Some(path) = &self.ca {
            PemFile { path, setting: CA }.authorities()?;
        }
        self.own().map(drop)
    }

    fn config(&self) -> Result<ClientConfig, TlsError> {
        let roots = match &self.ca {
            Some(path) => PemFile { path, setting: CA }.authorities()?,
            None => of_the_system()?,
        };
        let own = self.own()?;
        // Only the two versions that are not broken: 1.2 and 1.3.
        let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
        let fault = |error: rustls::Error| PemFile { path: "the cryptography".as_ref(), setting: "aws-lc" }.fault(error.to_string());
        let builder = builder.map_err(fault)?.with_root_certificates(roots);
        Ok(match own {
            Some(own) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(own))),
            None => builder.with_no_client_auth(),
        })
    }
}

impl TlsOptions {
    /// The client's own certificate, if it has one.
    fn own(&self) -> Result<Option<CertifiedKey>, TlsError> {
        match (&self.certificate, &self.key) {
            (None, None) => Ok(None),
            (Some(path), key) => {
                let (certificate, key) = (PemFile { path, setting: CERTIFICATE }, key.as_ref().unwrap_or(path));
                certified_key(certificate, PemFile { path: key, setting: KEY }).map(Some)
            }
            (None, Some(path)) => {
                Err(PemFile { path, setting: KEY }.fault(format!("there is no certificate to go with the key; name it ({CERTIFICATE})")))
            }
        }
    }
}

/// The authorities that the system knows. Those that cannot be read are left out, as other programs do.
fn of_the_system() -> Result<RootCertStore, TlsError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let system = PemFile { path: "the system's certificates".as_ref(), setting: "/etc/ssl, SSL_CERT_FILE" };
        let why = found.errors.first().map_or_else(|| "there are none".to_owned(), ToString::to_string);
        return Err(system.fault(format!("{why}; install the package ca-certificates, or name the file of the broker's authority ({CA})")));
    }
    Ok(roots)
}

/// An encrypted connection whose errors say what to do. Some things come to light only when it is used: in TLS 1.3 a client may send at
/// once, and hears later that its certificate is not accepted.
struct Explained {
    stream: TlsStream<TcpStream>,
    host: String,
}

impl AsyncRead for Explained {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        Poll::Ready(match ready!(Pin::new(&mut this.stream).poll_read(cx, buffer)) {
            // An end without a farewell is an end, as it is without encryption: what counts is what was said.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(()),
            read => read.map_err(|error| explained(error, &this.host)),
        })
    }
}

impl AsyncWrite for Explained {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        Pin::new(&mut this.stream).poll_write(cx, bytes).map_err(|error| explained(error, &this.host))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        Pin::new(&mut this.stream).poll_flush(cx).map_err(|error| explained(error, &this.host))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

/// An error of a connection in words that say what to do.
fn explained(error: io::Error, host: &str) -> io::Error {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return io::Error::new(error.kind(), "the connection ended within the TLS handshake; does a broker speak TLS there?");
    }
    let Some(fault) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) else { return error };
    io::Error::new(error.kind(), in_words(fault, host))
}

fn in_words(error: &rustls::Error, host: &str) -> String {
    use CertificateError::{
        BadSignature, Expired, ExpiredContext, NotValidForName, NotValidForNameContext, NotValidYet, NotValidYetContext, UnknownIssuer,
    };
    match error {
        rustls::Error::InvalidCertificate(Expired | ExpiredContext { .. }) => {
            "the broker's certificate has expired; give the broker a new one, which it takes up by itself (or set this machine's clock)"
                .to_owned()
        }
        rustls::Error::InvalidCertificate(NotValidYet | NotValidYetContext { .. }) => {
            "the broker's certificate is not valid yet; set this machine's clock, or the broker's when the certificate was made".to_owned()
        }
        rustls::Error::InvalidCertificate(NotValidForNameContext { presented, .. }) if !presented.is_empty() => {
            let names: Vec<_> = presented.iter().map(|name| plain_name(name)).collect();
            format!(
                "the broker's certificate is not for {host:?} but for {}; connect by such a name, or give the broker a certificate that has this one",
                names.join(", ")
            )
        }
        rustls::Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. }) => {
            format!(
                "the broker's certificate is not for {host:?}; give the broker one that has this name as an alternative name (subjectAltName)"
            )
        }
        // One of the same name with another key is another authority.
        rustls::Error::InvalidCertificate(UnknownIssuer | BadSignature) => {
            format!(
                "the broker's certificate is signed by an authority that is not known here; name the file of that authority ({CA}, MSGSTREAM_CA)"
            )
        }
        rustls::Error::InvalidCertificate(CertificateError::Other(other)) if other.to_string().contains("CaUsedAsEndEntity") => {
            "the broker's certificate is that of an authority; make an authority, and sign a certificate of the broker's own with it"
                .to_owned()
        }
        rustls::Error::InvalidCertificate(error) => format!("the broker's certificate cannot be trusted: {error}"),
        rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion) => {
            "no TLS is spoken there; leave tls:// out, or connect to an address of the broker that has it".to_owned()
        }
        rustls::Error::AlertReceived(alert) => in_words_of_alert(*alert),
        rustls::Error::PeerIncompatible(error) => format!("the broker speaks no TLS that is safe, 1.2 or 1.3: {error:?}"),
        error => error.to_string(),
    }
}

fn in_words_of_alert(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::CertificateRequired => {
            format!("the broker wants a certificate of this client; name its file ({CERTIFICATE}) and its key's ({KEY})")
        }
        AlertDescription::UnknownCA => {
            "the broker does not know the authority that has signed this client's certificate (the broker's tls.client_ca)".to_owned()
        }
        AlertDescription::CertificateExpired => "this client's certificate has expired; get a new one".to_owned(),
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateRevoked
        | AlertDescription::CertificateUnknown
        | AlertDescription::DecryptError => {
            format!("the broker does not accept this client's certificate: {alert:?}")
        }
        AlertDescription::ProtocolVersion | AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity => {
            format!("the broker and this client have no way of encryption in common: {alert:?}")
        }
        alert => format!("the broker ended the encrypted connection: {alert:?}"),
    }
}

/// A name of a certificate as people write it: the library names its kind as well.
fn plain_name(name: &str) -> &str {
    name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).map_or(name, |name| name.trim_matches('"'))
}
