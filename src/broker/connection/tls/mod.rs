//! TLS over another transport: the handshake, and then a transport like any other.

mod handshake;
mod session;
mod transport;

pub use handshake::{Handshakes, Refused};
pub use transport::TlsTransport;
