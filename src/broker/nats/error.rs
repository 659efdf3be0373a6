//! What may be wrong with the settings of a node. Each text says what would be right.

use std::path::{Path, PathBuf};

use crate::tls::TlsError;
use crate::wire::showable;

/// A node cannot begin with these settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NatsError {
    /// No server is named.
    #[error("no NATS server is named (nodes.nats); give the address of one at least, such as \"nats://nats-1.example.org:4222\"")]
    NoAddress,
    /// An address is none.
    #[error("{address:?} is no address of a NATS server (nodes.nats): {reason}; write nats://HOST:PORT or tls://HOST:PORT")]
    Address {
        /// The address, without what may be a password.
        address: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The space has a name that NATS would not take.
    #[error(
        "{0:?} cannot be the name of a space (nodes.space); use 1 to 100 letters, digits, \"-\" and \"_\", and another end than \"-state\""
    )]
    Space(String),
    /// The log cannot be kept by so many servers.
    #[error("{0} NATS servers cannot keep the log (nodes.replicas); choose 1, 3 or 5")]
    Replicas(usize),
    /// The log would not hold anything.
    #[error("a log of {0} bytes is too small (nodes.log); give it 1 MiB at least")]
    Log(usize),
    /// The credentials cannot be used.
    #[error("cannot use {} (nodes.credentials): {reason}", showable(&path.to_string_lossy()))]
    Credentials {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A file of certificates or keys cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl NatsError {
    /// What is before an `@` may be a password, and is not repeated.
    pub(super) fn address(address: &str, reason: impl ToString) -> Self {
        let shown = address.rsplit('@').next().unwrap_or_default();
        Self::Address { address: showable(shown).to_owned(), reason: reason.to_string() }
    }

    pub(super) fn space(name: &str) -> Self {
        Self::Space(showable(name).to_owned())
    }

    pub(super) fn credentials(path: &Path, reason: impl Into<String>) -> Self {
        Self::Credentials { path: path.to_owned(), reason: reason.into() }
    }
}
