//! What the client and the broker share of TLS: files of certificates and keys, and whose a certificate is.
//!
//! Knows nothing of sockets or of either side's settings: who reads a file says by which name a person knows it.

#![cfg_attr(not(feature = "broker"), allow(unreachable_pub, reason = "the broker shows what is public here"))]

#[cfg(feature = "broker")]
mod der;
mod files;
#[cfg(feature = "broker")]
mod identity;

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};

pub use files::TlsError;
#[cfg(any(feature = "cli", feature = "nodes"))]
pub(crate) use files::cure;
#[cfg(feature = "cli")]
pub(crate) use files::faults;
pub(crate) use files::{PemFile, certified_key};
#[cfg(feature = "broker")]
pub(crate) use identity::{names_of, own_name};

/// The cryptography of both sides.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}
