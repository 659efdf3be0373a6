//! Listening sockets that another process has opened, such as a supervisor that keeps them open while the broker is restarted.

use std::mem;
use std::os::fd::OwnedFd;

use socket2::{SockRef, Type};

use crate::wire::{Address, Listen};

/// A socket that listens already, and what is spoken there. The broker takes connections from it as from its own: the settings of `[tcp]`
/// count for them. What was settled when it began to listen stays: its address, its backlog, whether an IPv6 socket takes IPv4 too, and the
/// file of a Unix socket, with its rights, which is not removed either.
///
/// ```
/// use std::net::TcpListener;
///
/// use msgstream::broker::{HandedIn, Server, Settings};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let socket = TcpListener::bind("127.0.0.1:0")?;
/// let address = socket.local_addr()?;
/// let handed_in = HandedIn::new(socket.into(), Some("msgpack+tcp"))?;
/// assert_eq!(handed_in.listen().to_string(), format!("msgpack+tcp://{address}"));
///
/// let server = Server::bind_beside(&["127.0.0.1:0".parse()?], vec![handed_in], &Settings::default())?;
/// assert_eq!(server.addresses().len(), 2);
/// assert_eq!(server.addresses()[1].to_string(), address.to_string());
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct HandedIn {
    listen: Listen,
    /// HTTP is spoken there, whatever encoding `listen` has.
    is_http: bool,
    socket: OwnedFd,
}

/// A socket that cannot be listened on.
///
/// ```
/// use msgstream::broker::HandedIn;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let socket = std::net::UdpSocket::bind("127.0.0.1:0")?;
/// let error = HandedIn::new(socket.into(), None).unwrap_err();
/// assert!(error.to_string().contains("does not listen"));
/// # Ok(()) }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BadSocket {
    /// It is no stream socket, or is not listening.
    #[error("a socket that was handed in does not listen for streams: write ListenStream=, and leave Accept=yes out")]
    NotListening,
    /// Its address is one that the broker has no name for.
    #[error("a socket that was handed in has no address, or not that of a TCP socket or of a file: {0}")]
    NoAddress(String),
    /// The name is no scheme, or not one of such a socket.
    #[error("a socket that was handed in is named {name:?}, which its address would begin with: {why}; see FileDescriptorName=")]
    BadName {
        /// The name.
        name: String,
        /// What is wrong with it.
        why: String,
    },
}

impl HandedIn {
    /// A socket, and the scheme of its address, which says what is spoken there: `tcp`, `tls`, `unix`, or any with the prefix of an encoding,
    /// such as `msgpack+tcp`; `http`, over TCP or a Unix socket, and `https`. Without a scheme it is JSON lines.
    ///
    /// # Errors
    /// [`BadSocket`] if it does not listen for streams, or if the scheme is none or does not fit the socket.
    ///
    /// ```
    /// use msgstream::broker::HandedIn;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let socket = std::net::TcpListener::bind("127.0.0.1:0")?;
    /// assert!(HandedIn::new(socket.try_clone()?.into(), Some("tcp")).is_ok());
    /// assert!(HandedIn::new(socket.into(), Some("unix")).is_err());
    /// # Ok(()) }
    /// ```
    pub fn new(socket: OwnedFd, scheme: Option<&str>) -> Result<Self, BadSocket> {
        let asked = SockRef::from(&socket);
        if !asked.r#type().is_ok_and(|kind| kind == Type::STREAM) || !asked.is_listener().unwrap_or(false) {
            return Err(BadSocket::NotListening);
        }
        let address = asked.local_addr().map_err(|error| BadSocket::NoAddress(error.to_string()))?;
        let (address, whole) = match (address.as_socket(), address.as_pathname()) {
            (Some(socket), _) => (Address::Tcp(socket), "://127.0.0.1:1"),
            (None, Some(path)) => (Address::Unix(path.to_owned()), ":/socket"),
            (None, None) => return Err(BadSocket::NoAddress("it has no path".to_owned())),
        };
        let Some(scheme) = scheme else { return Ok(Self { listen: address.into(), is_http: false, socket }) };
        if ["http", "https"].contains(&scheme) {
            return Ok(Self { listen: web_address(scheme, address)?.into(), is_http: true, socket });
        }
        // One parser for all addresses: whatever can stand before one, the name of a socket can be.
        let spoken: Listen = format!("{scheme}{whole}").parse().map_err(|error| bad_name(scheme, format!("{error}{BESIDE_ADDRESSES}")))?;
        // TLS is spoken over TCP.
        let address = match (&spoken.address, address) {
            (Address::Tls(_), Address::Tcp(address)) => Address::Tls(address),
            (_, address) => address,
        };
        if mem::discriminant(&spoken.address) != mem::discriminant(&address) {
            return Err(bad_name(scheme, format!("it listens on {address}")));
        }
        Ok(Self { listen: Listen { address, ..spoken }, is_http: false, socket })
    }

    /// Where it listens, and what is spoken there unless [that is HTTP](Self::is_http).
    ///
    /// ```
    /// use msgstream::broker::{Encoding, HandedIn};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let socket = std::net::TcpListener::bind("127.0.0.1:0")?;
    /// assert_eq!(HandedIn::new(socket.into(), Some("msgpack+tcp"))?.listen().encoding, Encoding::MessagePack);
    /// # Ok(()) }
    /// ```
    pub fn listen(&self) -> &Listen {
        &self.listen
    }

    /// Whether HTTP is spoken there.
    ///
    /// ```
    /// use msgstream::broker::HandedIn;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let socket = std::net::TcpListener::bind("127.0.0.1:0")?;
    /// assert!(HandedIn::new(socket.try_clone()?.into(), Some("http"))?.is_http());
    /// assert!(!HandedIn::new(socket.into(), Some("tcp"))?.is_http());
    /// # Ok(()) }
    /// ```
    #[cfg(feature = "http")]
    pub fn is_http(&self) -> bool {
        self.is_http
    }

    /// Whether whoever connects to this address reaches this socket.
    fn covers(&self, address: &Address) -> bool {
        match (&self.listen.address, address) {
            (Address::Tcp(own), Address::Tcp(other)) | (Address::Tls(own), Address::Tls(other))
                if own.ip().is_unspecified() && own.port() == other.port() =>
            {
                own.is_ipv4() == other.is_ipv4() || own.is_ipv6() && SockRef::from(&self.socket).only_v6().is_ok_and(|only| !only)
            }
            (own, other) => own == other,
        }
    }

    pub(super) fn into_parts(self) -> (Listen, OwnedFd) {
        (self.listen, self.socket)
    }
}

/// Where a broker listens that was given sockets: where it was asked to, less what a socket covers at which the same is spoken, and then on
/// each of the sockets where HTTP is not spoken.
pub(crate) fn beside(asked: &[Listen], handed_in: &[HandedIn]) -> Vec<Listen> {
    let own = || handed_in.iter().filter(|socket| !socket.is_http);
    let covered = |listen: &Listen| own().any(|socket| socket.listen.encoding == listen.encoding && socket.covers(&listen.address));
    let asked = asked.iter().filter(|listen| !covered(listen));
    asked.chain(own().map(HandedIn::listen)).cloned().collect()
}

/// The same for the addresses where HTTP is spoken.
#[cfg(feature = "http")]
pub(crate) fn http_beside(asked: &[Address], handed_in: &[HandedIn]) -> Vec<Address> {
    let own = || handed_in.iter().filter(|socket| socket.is_http);
    let asked = asked.iter().filter(|address| !own().any(|socket| socket.covers(address)));
    asked.chain(own().map(|socket| &socket.listen.address)).cloned().collect()
}

/// The address of a socket where HTTP is spoken, encrypted or not.
#[cfg(feature = "http")]
fn web_address(scheme: &str, address: Address) -> Result<Address, BadSocket> {
    match (scheme, address) {
        ("https", Address::Tcp(address)) => Ok(Address::Tls(address)),
        ("https", address) => Err(bad_name(scheme, format!("it listens on {address}"))),
        (_, address) => Ok(address),
    }
}

#[cfg(not(feature = "http"))]
fn web_address(scheme: &str, _address: Address) -> Result<Address, BadSocket> {
    Err(bad_name(scheme, "this program was built without the feature http"))
}

/// What a name may be beside the beginning of an address.
const BESIDE_ADDRESSES: &str = if cfg!(feature = "http") { "; for HTTP name it http or https" } else { "" };

fn bad_name(name: &str, why: impl ToString) -> BadSocket {
    BadSocket::BadName { name: name.to_owned(), why: why.to_string() }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn handed_in(address: &str, scheme: Option<&str>) -> HandedIn {
        HandedIn::new(TcpListener::bind(address).unwrap().into(), scheme).unwrap()
    }

    fn port(socket: &HandedIn) -> u16 {
        let (Address::Tcp(address) | Address::Tls(address)) = socket.listen.address else { panic!("{:?}", socket.listen) };
        address.port()
    }

    #[test]
    fn a_socket_takes_the_place_of_the_addresses_that_it_covers() {
        for (bound, scheme, asked, is_covered) in [
            ("127.0.0.1:0", None, "127.0.0.1:PORT", true),
            ("127.0.0.1:0", Some("tcp"), "127.0.0.1:PORT", true),
            ("127.0.0.1:0", Some("msgpack+tcp"), "msgpack+tcp://127.0.0.1:PORT", true),
            ("0.0.0.0:0", None, "127.0.0.1:PORT", true),
            ("[::]:0", None, "127.0.0.1:PORT", true),
            ("[::]:0", None, "[::1]:PORT", true),
            // Somebody else speaks, or is spoken to.
            ("127.0.0.1:0", Some("msgpack+tcp"), "127.0.0.1:PORT", false),
            ("127.0.0.1:0", Some("tls"), "127.0.0.1:PORT", false),
            ("127.0.0.1:0", Some("tls"), "tls://127.0.0.1:PORT", true),
            ("0.0.0.0:0", Some("msgpack+tls"), "msgpack+tls://127.0.0.1:PORT", true),
            ("0.0.0.0:0", Some("msgpack+tcp"), "127.0.0.1:PORT", false),
            ("127.0.0.1:0", None, "127.0.0.1:1", false),
            ("0.0.0.0:0", None, "127.0.0.1:1", false),
            ("127.0.0.1:0", None, "0.0.0.0:PORT", false),
            ("0.0.0.0:0", None, "[::1]:PORT", false),
            ("127.0.0.1:0", None, "unix:/PORT", false),
        ] {
            let socket = handed_in(bound, scheme);
            let asked: Listen = asked.replace("PORT", &port(&socket).to_string()).parse().unwrap();
            let own = socket.listen.clone();
            let expected = if is_covered { vec![own.clone()] } else { vec![asked.clone(), own.clone()] };
            assert_eq!(beside(std::slice::from_ref(&asked), &[socket]), expected, "{own} beside {asked}");
        }
    }

    #[cfg(feature = "http")]
    #[test]
    fn where_http_is_spoken_it_takes_the_place_of_addresses_for_http_alone() {
        for (bound, scheme, asked, is_covered) in [
            ("127.0.0.1:0", "http", "127.0.0.1:PORT", true),
            ("0.0.0.0:0", "http", "127.0.0.1:PORT", true),
            ("127.0.0.1:0", "https", "tls://127.0.0.1:PORT", true),
            ("127.0.0.1:0", "https", "127.0.0.1:PORT", false),
            ("127.0.0.1:0", "http", "tls://127.0.0.1:PORT", false),
            ("127.0.0.1:0", "http", "127.0.0.1:1", false),
        ] {
            let socket = [handed_in(bound, Some(scheme))];
            let asked: Listen = asked.replace("PORT", &port(&socket[0]).to_string()).parse().unwrap();
            let (own, address) = (socket[0].listen.address.clone(), asked.address.clone());
            let expected = if is_covered { vec![own.clone()] } else { vec![address.clone(), own.clone()] };
            assert_eq!(http_beside(&[address], &socket), expected, "{own} beside {asked}");
            assert_eq!(beside(std::slice::from_ref(&asked), &socket), [asked], "nothing else is spoken at {own}");
        }
        let other = [handed_in("127.0.0.1:0", Some("tcp"))];
        let address = other[0].listen.address.clone();
        assert_eq!(http_beside(std::slice::from_ref(&address), &other), [address], "HTTP is not spoken there");
    }

    #[test]
    fn a_name_that_does_not_fit_is_told() {
        let named = |name: &str| HandedIn::new(TcpListener::bind("127.0.0.1:0").unwrap().into(), Some(name)).unwrap_err().to_string();
        for (name, why) in [
            ("unix", "it listens on 127.0.0.1:"),
            ("msgpack+unix", "it listens on 127.0.0.1:"),
            ("msgpak+tcp", "there is no \"msgpak+tcp\" transport"),
            ("json", "there is no \"json\" transport"),
            ("msgpack+http", "there is no \"msgpack+http\" transport"),
        ] {
            let said = named(name);
            assert!(said.contains(why) && said.contains(&format!("{name:?}")) && said.contains("FileDescriptorName="), "{said}");
        }
    }
}
