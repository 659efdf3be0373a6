//! The `[store]` section of the configuration.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::auth::path_or_nothing;
use crate::wire::setters;
use crate::wire::units::Span;

/// What is kept beyond a restart, and where.
///
/// ```
/// # use msgstream::broker::StoreSettings;
/// # use msgstream::units::Span;
/// let settings = StoreSettings::at("/var/lib/msgstream/store.redb").interval(Span::from_secs(1));
/// assert_eq!(settings.path.as_deref(), Some("/var/lib/msgstream/store.redb".as_ref()));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct StoreSettings {
    /// The file. It is made if there is none, in a directory that must be there. Default: none, so a restart forgets everything.
    #[serde(deserialize_with = "path_or_nothing")]
    pub path: Option<PathBuf>,
    /// How often what has changed is written, at most: what a crash loses. 0 writes as often as the disk can. Default: 200 ms.
    pub interval: Span,
}

impl StoreSettings {
    /// A store in this file.
    ///
    /// ```
    /// # use msgstream::broker::StoreSettings;
    /// assert_eq!(StoreSettings::at("store.redb").interval.to_string(), "200ms");
    /// ```
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self::default().path(path.into())
    }
}

impl Default for StoreSettings {
    fn default() -> Self {
        Self { path: None, interval: Span(Duration::from_millis(200)) }
    }
}

setters! {
    "{msgstream::{broker::*, units::*}, std::path::PathBuf}";
    StoreSettings {
        path: impl Into<Option<PathBuf>>, "PathBuf::from(\"store.redb\")";
        interval: Span, "Span::from_secs(1)";
    }
}
