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
        !origin.is_empty() && self.origins.contains(&origin.to_ascii_lowercase())
    }

    /// Whether the address that was asked for can only be this broker's.
    pub(super) fn is_own(&self, host: &Authority) -> bool {
        let name = host.host().trim_start_matches('[').trim_end_matches(']').trim_end_matches('.').to_ascii_lowercase();
        let is_named = self.origins.iter().filter_map(|origin| origin.parse::<Uri>().ok()).any(|origin| origin.host() == Some(&name));
        name.parse::<IpAddr>().is_ok() || name == "localhost" || name.ends_with(".localhost") || name == self.machine || is_named
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sites() -> Sites {
        Sites::new(&["https://Lab.example.org/".to_owned(), "http://other:8080".to_owned(), String::new()])
    }

    #[test]
    fn a_site_is_named_with_its_scheme_and_its_port() {
        let sites = sites();
        for named in ["https://lab.example.org", "HTTPS://LAB.example.org", "http://other:8080"] {
            assert!(sites.names(named), "{named}");
        }
        for other in
            ["http://lab.example.org", "https://lab.example.org:8443", "http://other", "https://a.lab.example.org", "null", "", "*"]
        {
            assert!(!sites.names(other), "{other}");
        }
    }

    #[test]
    fn its_own_are_names_that_nobody_else_can_have() {
        let sites = sites();
        let is_own = |host: &str| sites.is_own(&host.parse().unwrap());
        for own in [
            "127.0.0.1",
            "127.0.0.1:7380",
            "[::1]:7380",
            "192.0.2.1",
            "localhost",
            "LocalHost.:1",
            "a.localhost",
            "LAB.example.org",
            "other:1",
        ] {
            assert!(is_own(own), "{own}");
        }
        assert!(is_own(&sites.machine), "{}", sites.machine);
        for other in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "xlocalhost",
            "2130706433",
            "0x7f.1",
            "lab.example.org.evil",
        ] {
            assert!(!is_own(other), "{other}");
        }
    }
}
