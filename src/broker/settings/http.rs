//! The `[http]` section of the configuration.

use serde::Deserialize;

use crate::wire::{Address, setters};

/// What is told and taken over HTTP: health, metrics, streams, and WebSockets.
///
/// ```
/// # use msgstream::broker::{HttpSettings, Settings};
/// let http = HttpSettings::default().listen(vec!["127.0.0.1:7380".parse()?]);
/// let settings = Settings::default().http(http);
/// assert!(settings.http.origins.is_empty(), "what is not named has its default");
/// # Ok::<(), msgstream::broker::BadAddress>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct HttpSettings {
    /// Where HTTP is spoken, by TLS at an address that begins with `tls://`. Default: nowhere.
    pub listen: Vec<Address>,
    /// The sites whose pages may use the broker, as browsers write them: `https://lab.example.org`. The names in them are the broker's own
    /// too. Default: none, so only the broker's page may.
    pub origins: Vec<String>,
}

setters! {
    "msgstream::broker::*";
    HttpSettings {
        listen: Vec<Address>, "vec![Address::Tcp(([127, 0, 0, 1], 7380).into())]";
        origins: Vec<String>, "vec![\"https://lab.example.org\".to_owned()]";
    }
}
