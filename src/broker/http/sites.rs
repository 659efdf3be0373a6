//! Which pages may use the broker by their readers' browsers: its own, and those of sites that are named. A browser lets every page that
//! somebody looks at ask this machine for something, so others are refused, and so are names that anybody can have point here.

use std::net::IpAddr;

use axum::http::Uri;
use axum::http::uri::Authority;

/// The sites that are named.
#[derive(Debug)]
pub(super) struct Sites {
    /// As browsers write them, such as `https://lab.example.org`.
    origins: Vec<String>,
    /// How this machine calls itself.
    machine: String,
}

impl Sites {
    pub(super) fn new(origins: &[String]) -> Self {
        let machine = rustix::system::uname().nodename().to_string_lossy().to_ascii_lowercase();
        let origins = origins.iter().map(|origin| origin.trim_end_matches('/').to_ascii_lowercase()).collect();
        Self { origins, machine }
    }

    /// Whether this is one of them.
    pub(super) fn names(&self, origin: &str) -> bool {
        self.origins.contains(&origin.to_ascii_lowercase())
    }

    /// Whether the address that was asked for can only be this broker's.
    pub(super) fn is_own(&self, host: &Authority) -> bool {
        let name = host.host().trim_start_matches('[').trim_end_matches(']').trim_end_matches('.').to_ascii_lowercase();
        let is_named = self.origins.iter().filter_map(|origin| origin.parse::<Uri>().ok()).any(|origin| origin.host() == Some(&name));
        name.parse::<IpAddr>().is_ok() || name == "localhost" || name.ends_with(".localhost") || name == self.machine || is_named
    }
}
