//! The settings of the sockets: `listen`, `[tcp]`, `[unix]`, `[runtime]`.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::str::FromStr;

use serde::de::{self, Deserialize, Deserializer};

use crate::units::{ByteSize, Span};

/// The port that a broker listens on unless told otherwise.
///
/// ```
/// # use msgstream::client::ServerAddress;
/// # use msgstream::server::DEFAULT_PORT;
/// assert!(ServerAddress::DEFAULT.ends_with(&DEFAULT_PORT.to_string()));
/// ```
pub const DEFAULT_PORT: u16 = 7342;

/// Where the broker listens: a TCP address (`127.0.0.1:7342`, `[::1]:7342`, `localhost:7342`) or a Unix socket
/// (`unix:/run/msgstream.sock`).
///
/// ```
/// # use msgstream::server::Address;
/// let address: Address = "127.0.0.1:7342".parse()?;
/// assert_eq!(address, Address::Tcp(([127, 0, 0, 1], 7342).into()));
/// assert_eq!("unix:/run/msgstream.sock".parse::<Address>()?.to_string(), "unix:/run/msgstream.sock");
/// # Ok::<(), msgstream::server::BadAddress>(())
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
/// # use msgstream::server::Address;
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
/// # use msgstream::server::{Encoding, Listen};
/// assert_eq!("127.0.0.1:7342".parse::<Listen>()?.encoding, Encoding::JsonLines);
/// assert_eq!("msgpack+tcp://127.0.0.1:7343".parse::<Listen>()?.encoding, Encoding::MessagePack);
/// # Ok::<(), msgstream::server::BadAddress>(())
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
/// # use msgstream::server::{Address, Encoding, Listen};
/// let listen: Listen = "msgpack+unix:/run/msgpack.sock".parse()?;
/// assert_eq!(listen.address, Address::Unix("/run/msgpack.sock".into()));
/// assert_eq!(listen.encoding, Encoding::MessagePack);
///
/// let json = Listen::from(Address::Tcp(([127, 0, 0, 1], 7342).into()));
/// assert_eq!(json.to_string(), "127.0.0.1:7342");
/// # Ok::<(), msgstream::server::BadAddress>(())
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

/// The `[tcp]` section: options of every TCP connection, in the system's terms.
///
/// ```
/// # use msgstream::server::{Settings, TcpSettings};
/// # use msgstream::units::ByteSize;
/// let tcp = TcpSettings { send_buffer: ByteSize(64 << 10), ..TcpSettings::default() };
/// let settings = Settings { tcp, ..Settings::default() };
/// assert!(settings.tcp.no_delay, "what is not named has its default");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TcpSettings {
    /// What the kernel may hold for a connection on top of its outbox (`SO_SNDBUF`). 0 leaves it to the kernel, which may
    /// park megabytes for a listener that does not read. 256 KiB.
    pub send_buffer: ByteSize,
    /// Send small messages at once (`TCP_NODELAY`). On.
    pub no_delay: bool,
    /// Idle time before the first keepalive probe. 60 s.
    pub keepalive_time: Span,
    /// Time between keepalive probes. 10 s.
    pub keepalive_interval: Span,
    /// Unanswered probes after which an idle peer is gone. 6.
    pub keepalive_retries: u32,
    /// How long sent data may stay unacknowledged before the peer is gone (`TCP_USER_TIMEOUT`). Never less
    /// than `outbox.write_time` and `outbox.drain_time` together, which end a slow connection with a reason. 30 s.
    pub user_timeout: Span,
    /// Connections that may wait to be accepted. 1,024.
    pub backlog: u32,
}

impl Default for TcpSettings {
    fn default() -> Self {
        Self {
            send_buffer: ByteSize(256 << 10),
            no_delay: true,
            keepalive_time: Span::from_secs(60),
            keepalive_interval: Span::from_secs(10),
            keepalive_retries: 6,
            user_timeout: Span::from_secs(30),
            backlog: 1024,
        }
    }
}

/// The `[unix]` section.
///
/// ```
/// # use msgstream::server::{Settings, UnixSettings};
/// // Everybody on this machine may connect.
/// let settings = Settings { unix: UnixSettings { mode: 0o666 }, ..Settings::default() };
/// assert_eq!(UnixSettings::default().mode, 0o660);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UnixSettings {
    /// The socket file's mode, in octal: who may connect. `0660`: owner and group.
    #[serde(deserialize_with = "octal")]
    pub mode: u32,
}

impl Default for UnixSettings {
    fn default() -> Self {
        Self { mode: 0o660 }
    }
}

fn octal<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let text = String::deserialize(deserializer)?;
    let mode = u32::from_str_radix(text.trim_start_matches("0o"), 8).ok().filter(|mode| *mode <= 0o777);
    mode.ok_or_else(|| de::Error::custom(format!("{text:?} is not a mode: write it in octal, such as \"0660\"")))
}

/// The `[runtime]` section, for whoever makes the runtime: a [`Server`](super::Server) runs on the one it finds.
///
/// ```
/// # use msgstream::server::RuntimeSettings;
/// let workers = RuntimeSettings::default().workers;
/// assert_eq!(workers, 1, "no message waits for another core");
/// let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build()?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RuntimeSettings {
    /// Threads that serve connections. 1 is the quickest and the least costly up to a core's worth of work; more help
    /// where TLS or many cores matter. 1.
    pub workers: usize,
}

impl Default for RuntimeSettings {
    fn default() -> Self {
        Self { workers: 1 }
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
