//! The address of a broker, and how a connection to it is made.

use std::fmt;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::str::FromStr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::sleep;

use crate::wire::{Encoding, Endpoint, Place, holds_secret, showable};

use super::options::Options;
#[cfg(feature = "tls")]
use super::tls::TlsOptions;

/// The address of a broker: `host:port`, with or without `tcp://` before it, `tls://host:port` for an encrypted connection, or
/// `unix:/path`. The default port is [`DEFAULT_PORT`].
///
/// [`DEFAULT_PORT`]: super::DEFAULT_PORT
///
/// A host name is looked up for each connection, so a client finds a broker that has moved.
///
/// ```
/// # use msgstream::client::ServerAddress;
/// let address: ServerAddress = "broker.example:7342".parse()?;
/// assert_eq!(address.to_string(), "broker.example:7342");
/// assert_eq!("broker.example".parse(), Ok(address));
/// assert!("http://broker.example".parse::<ServerAddress>().is_err());
/// # Ok::<(), msgstream::client::BadServerAddress>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServerAddress {
    /// A host name or IP address and a port: `localhost:7342`, `[::1]:7342`.
    Tcp(String),
    /// The same where TLS is spoken. The broker's certificate must be for this host. Needs the feature `tls`.
    Tls(String),
    /// The path of a Unix socket.
    Unix(PathBuf),
}

impl ServerAddress {
    /// The address that a broker listens on by default.
    ///
    /// ```
    /// # use msgstream::client::ServerAddress;
    /// assert_eq!(ServerAddress::DEFAULT.parse(), Ok(ServerAddress::Tcp("127.0.0.1:7342".to_owned())));
    /// ```
    pub const DEFAULT: &'static str = "127.0.0.1:7342";
}

/// The addresses of a broker, one or several: as text, with commas between them. A client takes the first one that answers. When its
/// connection is lost, it begins with the one behind that, and comes to the first again behind the last.
///
/// Several are of use where one broker can be reached by several networks, or where a second machine takes over what the first one has kept.
/// Two brokers that know nothing of each other have streams of their own: do not name both.
///
/// ```
/// # use msgstream::client::{ServerAddress, ServerAddresses};
/// let addresses: ServerAddresses = "broker.example,tls://spare.example:7343".parse()?;
/// assert_eq!(addresses.to_string(), "broker.example:7342,tls://spare.example:7343");
/// assert_eq!(addresses.iter().count(), 2);
/// let one: ServerAddress = "broker.example".parse()?;
/// assert_eq!("broker.example".parse(), Ok(ServerAddresses::from(one)));
/// # Ok::<(), msgstream::client::BadServerAddress>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerAddresses(Vec<ServerAddress>);

impl ServerAddresses {
    /// Each of them, in the order in which they are tried. There is one at least.
    ///
    /// ```
    /// # use msgstream::client::{ServerAddress, ServerAddresses};
    /// let addresses: ServerAddresses = "unix:/run/msgstream.sock,broker.example".parse()?;
    /// assert!(matches!(addresses.iter().next(), Some(ServerAddress::Unix(_))));
    /// # Ok::<(), msgstream::client::BadServerAddress>(())
    /// ```
    pub fn iter(&self) -> impl Iterator<Item = &ServerAddress> {
        self.0.iter()
    }
}

impl From<ServerAddress> for ServerAddresses {
    fn from(address: ServerAddress) -> Self {
        Self(vec![address])
    }
}

impl FromStr for ServerAddresses {
    type Err = BadServerAddress;

    fn from_str(text: &str) -> Result<Self, BadServerAddress> {
        text.split(',').map(|address| address.trim_ascii().parse()).collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Display for ServerAddresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, address) in self.0.iter().enumerate() {
            if number > 0 {
                f.write_str(",")?;
            }
            address.fmt(f)?;
        }
        Ok(())
    }
}

/// Makes connections to a broker, whose addresses it shows. A test may put a simulated network in the place of addresses.
pub trait Connector: fmt::Debug + fmt::Display + Send + Sync + 'static {
    /// Makes a connection: to the first address, and after that always to the next one.
    fn connect(&self) -> Connecting<'_>;

    /// How many addresses there are.
    fn addresses(&self) -> usize {
        1
    }
}

/// A connection that is being made.
pub type Connecting<'c> = Pin<Box<dyn Future<Output = io::Result<Box<dyn ByteStream>>> + Send + 'c>>;

/// Addresses, and what connections to them take beside that.
#[derive(Debug)]
pub(super) struct Way {
    addresses: ServerAddresses,
    /// How many connections have been begun.
    begun: AtomicUsize,
    #[cfg(feature = "tls")]
    tls: TlsOptions,
}

impl Way {
    pub(super) fn new(addresses: ServerAddresses, options: &Options) -> Self {
        #[cfg(not(feature = "tls"))]
        let _ = options;
        Self {
            addresses,
            begun: AtomicUsize::new(0),
            #[cfg(feature = "tls")]
            tls: options.tls.clone(),
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.addresses.fmt(f)
    }
}

impl Connector for Way {
    fn connect(&self) -> Connecting<'_> {
        let next = self.begun.fetch_add(1, Ordering::Relaxed) % self.addresses.0.len();
        Box::pin(async move {
            Ok(match &self.addresses.0[next] {
                ServerAddress::Tcp(host) => Box::new(connect_tcp(host).await?) as Box<dyn ByteStream>,
                #[cfg(feature = "tls")]
                ServerAddress::Tls(host) => Box::new(self.tls.connect(connect_tcp(host).await?, host).await?),
                #[cfg(not(feature = "tls"))]
                ServerAddress::Tls(_) => {
                    return Err(io::Error::other("this program was built without TLS (the feature \"tls\" of msgstream)"));
                }
                ServerAddress::Unix(path) => Box::new(connect_unix(path).await?),
            })
        })
    }

    fn addresses(&self) -> usize {
        self.addresses.0.len()
    }
}

async fn connect_tcp(host: &str) -> io::Result<TcpStream> {
    let socket = TcpStream::connect(host).await?;
    // Lines are gathered here already; waiting for more would only delay them.
    socket.set_nodelay(true)?;
    Ok(socket)
}

/// How long to wait until a socket is tried again where too many newcomers stand in line.
const PAUSE: Duration = Duration::from_millis(20);

/// As long as there is time for it: such a socket refuses at once, where a TCP address lets one wait.
async fn connect_unix(path: &Path) -> io::Result<UnixStream> {
    loop {
        match UnixStream::connect(path).await {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => sleep(PAUSE).await,
            connected => return connected,
        }
    }
}

/// A connection as a byte stream. TCP and Unix sockets are such streams; an encrypted session over one is another.
pub trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for T {}

/// An address that could not be parsed, and what would be right.
///
/// ```
/// # use msgstream::client::ServerAddress;
/// let error = "http://localhost:7342".parse::<ServerAddress>().unwrap_err();
/// assert!(error.to_string().contains("there is no \"http\" transport"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not the address of a broker: {why}; write \"localhost\", \"broker.example:7342\", \"tls://[::1]:7342\" or \"unix:/run/msgstream.sock\""
)]
pub struct BadServerAddress {
    text: String,
    why: String,
}

impl FromStr for ServerAddress {
    type Err = BadServerAddress;

    fn from_str(text: &str) -> Result<Self, BadServerAddress> {
        let bad = |why: String| BadServerAddress { text: showable(text).to_owned(), why: showable(&why).to_owned() };
        let Endpoint { encoding, place } = Endpoint::parse(text).map_err(bad)?;
        if encoding != Encoding::default() {
            let (spoken, prefix) = (Encoding::default().name(), encoding.prefix());
            return Err(bad(format!("this client speaks {spoken}: leave out {prefix:?}, and connect to where the broker speaks them")));
        }
        Ok(match place {
            // Nor is it asked for in the network.
            Place::Tcp(host) | Place::Tls(host) if holds_secret(&host) => return Err(bad("there is no such host".to_owned())),
            Place::Tcp(host) | Place::Tls(host) if host.ends_with(":0") => return Err(bad("nobody listens on port 0".to_owned())),
            Place::Tcp(host) => Self::Tcp(host),
            Place::Tls(host) => Self::Tls(host),
            Place::Unix(path) => Self::Unix(path),
        })
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(host) => f.write_str(host),
            Self::Tls(host) => write!(f, "tls://{host}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_as_people_write_them() {
        for text in ["127.0.0.1:7342", "[::1]:7342", "localhost:1", "tls://localhost:1", "unix:/tmp/s"] {
            assert_eq!(text.parse::<ServerAddress>().unwrap().to_string(), text);
        }
        assert_eq!("tcp://localhost:1".parse(), Ok(ServerAddress::Tcp("localhost:1".to_owned())));
        for (text, why) in [
            ("/run/msgstream.sock", "has \"unix:\" before it"),
            ("localhost:0", "port 0"),
            ("http://localhost:7342", "there is no \"http\" transport"),
            ("msgpack+tcp://localhost:7343", "leave out \"msgpack+\""),
        ] {
            let error = text.parse::<ServerAddress>().unwrap_err().to_string();
            assert!(error.contains(why) && error.contains(text), "{error}");
        }
        for text in ["mst_0123", "tls://mst_0123:1", "http://mst_0123"] {
            let error = text.parse::<ServerAddress>().unwrap_err().to_string();
            assert!(error.contains("not shown") && !error.contains("0123"), "{error}");
        }
    }
}
