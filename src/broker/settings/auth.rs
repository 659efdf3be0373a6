//! The `[auth]` section of the configuration.

use std::path::PathBuf;

use serde::{Deserialize, Deserializer};

use crate::wire::units::Span;
use crate::wire::{Address, Listen, setters};

/// Who is let in.
///
/// ```
/// # use msgstream::broker::{AuthSettings, Settings};
/// # use msgstream::units::Span;
/// let auth = AuthSettings::default().tokens("/etc/msgstream/tokens.toml").time(Span::from_secs(10));
/// let settings = Settings::default().auth(auth);
/// assert_eq!(settings.auth.waiting, 1024, "what is not named has its default");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct AuthSettings {
    /// The file that says who may do what. With it, whoever it does not name is turned away. Default: none, so everybody who can connect
    /// may do everything.
    #[serde(deserialize_with = "path_or_nothing")]
    pub tokens: Option<PathBuf>,
    /// Whether to listen without `tokens` on an address that other machines may reach. With `tokens` it changes nothing. Default: no.
    pub allow_anonymous: bool,
    /// How long a client may take to say who it is. Default: 5 s.
    pub time: Span,
    /// The most connections at once that have yet to say who they are; never more than half of all connections. For one
    /// more, the oldest of the address that has the most is closed. Default: 1,024.
    pub waiting: usize,
}

impl Default for AuthSettings {
    fn default() -> Self {
        Self { tokens: None, allow_anonymous: false, time: Span::from_secs(5), waiting: 1024 }
    }
}

impl AuthSettings {
    /// The most that may wait, where there may be so many connections.
    pub(crate) fn most_waiting(&self, most_connections: usize) -> usize {
        self.waiting.min(most_connections / 2).max(1)
    }

    /// Why the broker must not listen there, if so: other machines could reach it, and nobody would have to say who they are.
    /// `certified`: whoever speaks TLS has to have a certificate.
    pub(crate) fn refusal(&self, listen: &Listen, certified: bool) -> Option<String> {
        let (address, is_proven) = match &listen.address {
            Address::Tcp(address) => (address, false),
            Address::Tls(address) => (address, certified),
            Address::Unix(_) => return None,
        };
        let is_private = is_proven || address.ip().to_canonical().is_loopback();
        if is_private || self.tokens.is_some() || self.allow_anonymous {
            return None;
        }
        Some(format!(
            "{listen} can be reached from other machines, and everybody there could read and write every stream: name a file of tokens in auth.tokens (\"msgstream token new\" writes it), require client certificates on a tls:// address (tls.client_certificates), listen on 127.0.0.1 or a Unix socket, or set auth.allow_anonymous = true (MSGSTREAM_AUTH__ALLOW_ANONYMOUS=true) if all who can reach it may do everything"
        ))
    }
}

/// An empty text stands for no path, so that a file or variable can also take a setting back.
pub(crate) fn path_or_nothing<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PathBuf>, D::Error> {
    let text = String::deserialize(deserializer)?;
    Ok((!text.is_empty()).then(|| PathBuf::from(text)))
}

setters! {
    "msgstream::{broker::*, units::*}";
    AuthSettings {
        allow_anonymous: bool, "true";
        time: Span, "Span::from_secs(10)";
        waiting: usize, "100";
    }
}

impl AuthSettings {
    /// Sets [`tokens`](field@Self::tokens).
    #[must_use]
    pub fn tokens(mut self, file: impl Into<PathBuf>) -> Self {
        self.tokens = Some(file.into());
        self
    }
}
