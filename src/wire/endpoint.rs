//! Where a broker listens: addresses, and the encoding that is spoken at each.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::str::FromStr;

use serde::de::{self, Deserialize, Deserializer};

/// The port that a broker listens on unless told otherwise.
///
/// ```
/// # use msgstream::client::ServerAddress;
/// # use msgstream::broker::DEFAULT_PORT;
/// assert!(ServerAddress::DEFAULT.ends_with(&DEFAULT_PORT.to_string()));
/// ```
pub const DEFAULT_PORT: u16 = 7342;

/// Where the broker listens: a TCP address (`127.0.0.1:7342`, `[::1]:7342`, `localhost:7342`) or a Unix socket
/// (`unix:/run/msgstream.sock`).
///
/// ```
/// # use msgstream::broker::Address;
/// let address: Address = "127.0.0.1:7342".parse()?;
/// assert_eq!(address, Address::Tcp(([127, 0, 0, 1], 7342).into()));
/// assert_eq!("unix:/run/msgstream.sock".parse::<Address>()?.to_string(), "unix:/run/msgstream.sock");
/// # Ok::<(), msgstream::broker::BadAddress>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A TCP address; port 0 lets the system choose.
    Tcp(SocketAddr),
    /// The path of a Unix socket.
    Unix(PathBuf),
}

/// An address that could not be read, and what would be right.
///
/// ```
/// # use msgstream::broker::Address;
/// let error = "127.0.0.1".parse::<Address>().unwrap_err();
/// assert!(error.to_string().contains("the port is missing"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not an address: {why}; write \"127.0.0.1:7342\", \"[::1]:7342\" or \"unix:/run/msgstream.sock\", with \"msgpack+tcp://\" or \"msgpack+\" before it for MessagePack"
)]
pub struct BadAddress {
    text: String,
    why: String,
}

impl FromStr for Address {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Self, BadAddress> {
        let bad = |why: &str| BadAddress { text: text.to_owned(), why: why.to_owned() };
        if let Some(path) = text.strip_prefix("unix:") {
            if path.is_empty() {
                return Err(bad("the path is missing"));
            }
            return Ok(Self::Unix(PathBuf::from(path)));
        }
        if let Some((scheme, _)) = text.split_once("://") {
            return Err(bad(&format!("there is no {scheme:?} transport")));
        }
        if !text.contains(':') {
            return Err(bad("the port is missing"));
        }
        let mut found = text.to_socket_addrs().map_err(|error| bad(&error.to_string()))?;
        found.next().map(Self::Tcp).ok_or_else(|| bad("the host name has no address"))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// What is spoken where.
///
/// ```
/// # use msgstream::broker::{Encoding, Listen};
/// assert_eq!("127.0.0.1:7342".parse::<Listen>()?.encoding, Encoding::JsonLines);
/// assert_eq!("msgpack+tcp://127.0.0.1:7343".parse::<Listen>()?.encoding, Encoding::MessagePack);
/// # Ok::<(), msgstream::broker::BadAddress>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Encoding {
    /// One JSON object a line.
    #[default]
    JsonLines,
    /// MessagePack, each message behind its length.
    MessagePack,
}

/// One address that the broker listens on, and what is spoken there: an [`Address`] for JSON lines, or with `msgpack+`
/// before it and `tcp://` before a host (`msgpack+tcp://127.0.0.1:7343`, `msgpack+unix:/run/msgpack.sock`).
///
/// ```
/// # use msgstream::broker::{Address, Encoding, Listen};
/// let listen: Listen = "msgpack+unix:/run/msgpack.sock".parse()?;
/// assert_eq!(listen.address, Address::Unix("/run/msgpack.sock".into()));
/// assert_eq!(listen.encoding, Encoding::MessagePack);
///
/// let json = Listen::from(Address::Tcp(([127, 0, 0, 1], 7342).into()));
/// assert_eq!(json.to_string(), "127.0.0.1:7342");
/// # Ok::<(), msgstream::broker::BadAddress>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// Where.
    pub address: Address,
    /// What is spoken there.
    pub encoding: Encoding,
}

impl From<Address> for Listen {
    fn from(address: Address) -> Self {
        Self { address, encoding: Encoding::default() }
    }
}

impl FromStr for Listen {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Self, BadAddress> {
        let Some(rest) = text.strip_prefix("msgpack+") else { return text.parse().map(|address: Address| address.into()) };
        let bad = |why: String| BadAddress { text: text.to_owned(), why };
        let address = match rest.strip_prefix("tcp://") {
            Some(host) if host.starts_with("unix:") => None,
            Some(host) => Some(host),
            None => rest.starts_with("unix:").then_some(rest),
        };
        let Some(address) = address else {
            return Err(bad("behind \"msgpack+\" stands \"tcp://HOST:PORT\" or \"unix:/PATH\"".to_owned()));
        };
        let address = address.parse().map_err(|error: BadAddress| bad(error.why))?;
        Ok(Self { address, encoding: Encoding::MessagePack })
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.encoding, &self.address) {
            (Encoding::JsonLines, address) => address.fmt(f),
            (Encoding::MessagePack, Address::Tcp(address)) => write!(f, "msgpack+tcp://{address}"),
            (Encoding::MessagePack, address @ Address::Unix(_)) => write!(f, "msgpack+{address}"),
        }
    }
}

impl<'de> Deserialize<'de> for Listen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_its_encoding() {
        for text in ["127.0.0.1:1", "[::1]:7342", "unix:/a/b", "msgpack+tcp://127.0.0.1:1", "msgpack+tcp://[::1]:0", "msgpack+unix:/a"] {
            let listen: Listen = text.parse().unwrap();
            assert_eq!(listen.to_string(), text);
            assert_eq!(listen.encoding == Encoding::MessagePack, text.starts_with("msgpack+"));
        }
        for (text, phrase) in [
            ("msgpack+127.0.0.1:1", "tcp://HOST:PORT"),
            ("msgpack+tls://127.0.0.1:1", "tcp://HOST:PORT"),
            ("msgpack+tcp://unix:/a", "tcp://HOST:PORT"),
            ("msgpack+tcp://127.0.0.1", "the port is missing"),
            ("msgpack+unix:", "the path is missing"),
            ("cbor+tcp://127.0.0.1:1", "there is no \"cbor+tcp\" transport"),
        ] {
            let error = text.parse::<Listen>().unwrap_err().to_string();
            assert!(error.contains(phrase) && error.contains(text), "{error}");
        }
    }
}
