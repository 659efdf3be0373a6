//! The address of a broker, and how a connection to it is made.

use std::fmt;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::str::FromStr;
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

/// Makes connections to one broker, whose address it shows. A test may put a simulated network in the place of an address.
pub trait Connector: fmt::Debug + fmt::Display + Send + Sync + 'static {
    /// Makes a connection.
    fn connect(&self) -> Connecting<'_>;
}

/// A connection that is being made.
pub type Connecting<'c> = Pin<Box<dyn Future<Output = io::Result<Box<dyn ByteStream>>> + Send + 'c>>;

/// An address, and what a connection to it takes beside that.
#[derive(Debug)]
pub(super) struct Way {
    address: ServerAddress,
    #[cfg(feature = "tls")]
    tls: TlsOptions,
}

impl Way {
    pub(super) fn new(address: ServerAddress, options: &Options) -> Self {
        #[cfg(not(feature = "tls"))]
        let _ = options;
        Self {
            address,
            #[cfg(feature = "tls")]
            tls: options.tls.clone(),
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

impl Connector for Way {
    fn connect(&self) -> Connecting<'_> {
        Box::pin(async move {
            Ok(match &self.address {
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
