//! Where a broker listens: addresses, looked up, and the encoding that is spoken at each.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::str::FromStr;

use serde::de::{self, Deserialize, Deserializer};

use super::endpoint::{Encoding, Endpoint, Place};

/// Where the broker listens: a TCP address (`127.0.0.1:7342`, `tcp://[::1]:7342`, `localhost`, with the default port), one where
/// connections are encrypted (`tls://127.0.0.1:7342`), or a Unix socket (`unix:/run/msgstream.sock`).
///
/// ```
/// # use msgstream::broker::Address;
/// let address: Address = "127.0.0.1:7342".parse()?;
/// assert_eq!(address, Address::Tcp(([127, 0, 0, 1], 7342).into()));
/// assert_eq!("unix:/run/msgstream.sock".parse::<Address>()?.to_string(), "unix:/run/msgstream.sock");
/// # Ok::<(), msgstream::broker::BadAddress>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Address {
    /// A TCP address; port 0 lets the system choose.
    Tcp(SocketAddr),
    /// A TCP address where TLS is spoken; port 0 lets the system choose.
    Tls(SocketAddr),
    /// The path of a Unix socket.
    Unix(PathBuf),
}

/// An address that could not be read, and what would be right.
///
/// ```
/// # use msgstream::broker::Address;
/// let error = ":7342".parse::<Address>().unwrap_err();
/// assert!(error.to_string().contains("the host is missing"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not an address: {why}; write \"127.0.0.1:7342\", \"tcp://[::1]:7342\", \"tls://[::1]:7342\" or \"unix:/run/msgstream.sock\", {}",
    prefixes()
)]
pub struct BadAddress {
    text: String,
    why: String,
}

/// How other encodings are asked for.
fn prefixes() -> String {
    let prefixes: Vec<_> = Encoding::prefixed().map(|encoding| format!("{:?} for {}", encoding.prefix(), encoding.name())).collect();
    format!("the last three with {} before them", prefixes.join(" or "))
}

impl Address {
    /// The address and port, unless it is a Unix socket.
    pub(crate) fn socket(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) | Self::Tls(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }
}

impl FromStr for Address {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Self, BadAddress> {
        let bad = |why: String| BadAddress { text: text.to_owned(), why };
        let Listen { address, encoding } = text.parse()?;
        if encoding != Encoding::default() {
            return Err(bad(format!("only {} is spoken here: leave out {:?}", Encoding::default().name(), encoding.prefix())));
        }
        Ok(address)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Tls(address) => write!(f, "tls://{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// One address that the broker listens on, and what is spoken there: an [`Address`] for JSON lines, or with `msgpack+`
/// before it and `tcp://` before a host (`msgpack+tcp://127.0.0.1:7343`, `msgpack+tls://127.0.0.1:7343`,
/// `msgpack+unix:/run/msgpack.sock`).
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
#[non_exhaustive]
pub struct Listen {
    /// Where.
    pub address: Address,
    /// What is spoken there.
    pub encoding: Encoding,
}

impl Listen {
    /// An address where this is spoken.
    ///
    /// ```
    /// # use msgstream::broker::{Address, Encoding, Listen};
    /// let listen = Listen::new(Address::Unix("/run/msgpack.sock".into()), Encoding::MessagePack);
    /// assert_eq!(listen.to_string(), "msgpack+unix:/run/msgpack.sock");
    /// ```
    pub fn new(address: Address, encoding: Encoding) -> Self {
        Self { address, encoding }
    }
}

impl From<Address> for Listen {
    fn from(address: Address) -> Self {
        Self { address, encoding: Encoding::default() }
    }
}

impl FromStr for Listen {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Self, BadAddress> {
        let bad = |why: String| BadAddress { text: text.to_owned(), why };
        let Endpoint { encoding, place } = Endpoint::parse(text).map_err(bad)?;
        let address = match place {
            Place::Unix(path) => Address::Unix(path),
            Place::Tcp(host) => Address::Tcp(looked_up(&host).map_err(bad)?),
            Place::Tls(host) => Address::Tls(looked_up(&host).map_err(bad)?),
        };
        Ok(Self { address, encoding })
    }
}

fn looked_up(host: &str) -> Result<SocketAddr, String> {
    let mut found = host.to_socket_addrs().map_err(|error| error.to_string())?;
    found.next().ok_or_else(|| "the host name has no address".to_owned())
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefix = self.encoding.prefix();
        match &self.address {
            // After a prefix, the address must name its transport.
            Address::Tcp(address) if !prefix.is_empty() => write!(f, "{prefix}tcp://{address}"),
            address => write!(f, "{prefix}{address}"),
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
        for text in [
            "127.0.0.1:1",
            "[::1]:7342",
            "tls://[::1]:7342",
            "unix:/a/b",
            "msgpack+tcp://127.0.0.1:1",
            "msgpack+tcp://[::1]:0",
            "msgpack+tls://127.0.0.1:1",
            "msgpack+unix:/a",
        ] {
            let listen: Listen = text.parse().unwrap();
            assert_eq!(listen.to_string(), text);
            assert_eq!(listen.encoding == Encoding::MessagePack, text.starts_with("msgpack+"));
        }
        assert_eq!("tcp://127.0.0.1:1".parse::<Listen>().unwrap().to_string(), "127.0.0.1:1");
        let error = "msgpack+127.0.0.1:1".parse::<Listen>().unwrap_err().to_string();
        assert!(error.contains("tcp://HOST:PORT") && error.contains("\"msgpack+127.0.0.1:1\""), "{error}");
        assert!(error.contains("with \"msgpack+\" for MessagePack before them"), "{error}");
        let error = "msgpack+unix:/a".parse::<Address>().unwrap_err().to_string();
        assert!(error.contains("leave out \"msgpack+\""), "{error}");
    }
}
