//! The `[http]` section: what the broker is told of it, and what only the program needs.

use std::path::PathBuf;

use serde::Deserialize;

use crate::broker::settings::{HttpSettings, path_or_nothing};
use crate::wire::Address;

/// What there is over HTTP.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpConfig {
    /// Where HTTP is spoken. Nowhere.
    pub listen: Vec<Address>,
    /// The sites whose pages may use the broker. None but its own.
    pub origins: Vec<String>,
    /// A file that holds the ports of `listen` while the broker runs. None.
    #[serde(deserialize_with = "path_or_nothing")]
    pub port_file: Option<PathBuf>,
}

impl HttpConfig {
    /// What the broker is told.
    pub(crate) fn settings(&self) -> HttpSettings {
        HttpSettings::default().listen(self.listen.clone()).origins(self.origins.clone())
    }
}
