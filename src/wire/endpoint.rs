//! Addresses as people write them: one grammar for the broker, which listens there, and for clients, which connect.
//!
//! An address is `HOST`, `HOST:PORT`, either with `tcp://` or `tls://` before it, or `unix:/PATH`; one with `tcp://`, `tls://` or `unix:`
//! may have the prefix of an encoding before it. docs/protocol.md has the table. A further transport is a scheme in [`Place::parse`].

use std::net::Ipv6Addr;
use std::path::PathBuf;

/// The default port of a broker.
///
/// ```
/// # use msgstream::client::{DEFAULT_PORT, ServerAddress};
/// assert!(ServerAddress::DEFAULT.ends_with(&DEFAULT_PORT.to_string()));
/// ```
pub const DEFAULT_PORT: u16 = 7342;

/// What an address says. No host is looked up here: a client does that for each connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) encoding: Encoding,
    pub(crate) place: Place,
}

/// Where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// A host name or IP address and a port.
    Tcp(String),
    /// The same, encrypted.
    Tls(String),
    /// The path of a Unix socket.
    Unix(PathBuf),
}

/// Makes [`Encoding`] from the table, so that every encoding has a prefix and a number, and stands in `ALL`.
macro_rules! encodings {
    ($($(#[$doc:meta])* $encoding:ident: $number:literal, $prefix:literal, $name:literal;)*) => {
        /// What is spoken at an address.
        ///
        /// ```
        /// # use msgstream::broker::{Encoding, Listen};
        /// assert_eq!("127.0.0.1:7342".parse::<Listen>()?.encoding, Encoding::JsonLines);
        /// assert_eq!("msgpack+tcp://127.0.0.1:7343".parse::<Listen>()?.encoding, Encoding::MessagePack);
        /// # Ok::<(), msgstream::broker::BadAddress>(())
        /// ```
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        #[non_exhaustive]
        pub enum Encoding {
            $($(#[$doc])* $encoding,)*
        }

        impl Encoding {
            /// Every encoding.
            pub(crate) const ALL: &[Self] = &[$(Self::$encoding),*];

            /// Its number in files. It never changes, and no other encoding is given it.
            #[cfg(feature = "broker")]
            pub(crate) const fn number(self) -> u8 {
                match self {
                    $(Self::$encoding => $number,)*
                }
            }

            /// The prefix of the addresses where it is spoken.
            pub(crate) const fn prefix(self) -> &'static str {
                match self {
                    $(Self::$encoding => $prefix,)*
                }
            }

            /// Its name, for people.
            pub(crate) const fn name(self) -> &'static str {
                match self {
                    $(Self::$encoding => $name,)*
                }
            }
        }
    };
}

encodings! {
    /// One JSON object a line.
    #[default]
    JsonLines: 1, "", "JSON lines";
    /// MessagePack, each message behind its length.
    MessagePack: 2, "msgpack+", "MessagePack";
}

impl Encoding {
    /// Those that are spoken only where an address asks for them.
    pub(crate) fn prefixed() -> impl Iterator<Item = Self> {
        Self::ALL.iter().copied().filter(|encoding| !encoding.prefix().is_empty())
    }
}

impl Endpoint {
    /// Reads an address. The error says, for people, what is wrong.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let asked = Encoding::prefixed().find_map(|encoding| Some((encoding, text.strip_prefix(encoding.prefix())?)));
        let (encoding, rest) = asked.unwrap_or((Encoding::default(), text));
        if encoding != Encoding::default() && !rest.starts_with("unix:") && !rest.contains("://") {
            return Err(format!("behind {:?} stands \"tcp://HOST:PORT\", \"tls://HOST:PORT\" or \"unix:/PATH\"", encoding.prefix()));
        }
        let place = Place::parse(rest, encoding)?;
        Ok(Self { encoding, place })
    }
}

impl Place {
    fn parse(text: &str, encoding: Encoding) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.is_empty() { Err("the path is missing".to_owned()) } else { Ok(Self::Unix(path.into())) };
        }
        let (place, host): (fn(String) -> Self, _) = match text.split_once("://") {
            None => (Self::Tcp, text),
            Some(("tcp", host)) => (Self::Tcp, host),
            Some(("tls", host)) => (Self::Tls, host),
            Some((scheme, _)) => return Err(format!("there is no \"{}{scheme}\" transport", encoding.prefix())),
        };
        let (host, port) = host_and_port(host)?;
        match port {
            Some(port) => Ok(place(format!("{host}:{port}"))),
            // Only one encoding can have the default port.
            None if encoding != Encoding::default() => Err("the port is missing".to_owned()),
            None => Ok(place(format!("{host}:{DEFAULT_PORT}"))),
        }
    }
}

/// A host, an IPv6 address in brackets, and a port if there is one.
fn host_and_port(text: &str) -> Result<(String, Option<u16>), String> {
    if text.starts_with(['/', '.']) {
        return Err("the path of a Unix socket has \"unix:\" before it".to_owned());
    }
    // Without brackets a colon is part of the address, so that there is no port.
    if text.parse::<Ipv6Addr>().is_ok() {
        return Ok((format!("[{text}]"), None));
    }
    let (host, port) = match text.rsplit_once(':') {
        // The last colon within the brackets of an IPv6 address does not begin a port.
        Some((_, rest)) if rest.ends_with(']') => (text, None),
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    };
    if host.is_empty() {
        return Err("the host is missing".to_owned());
    }
    if host.contains(':') && !(host.starts_with('[') && host.ends_with(']')) {
        return Err("an IPv6 address stands in brackets before its port, as in [::1]:7342".to_owned());
    }
    if host.contains(|character: char| character.is_whitespace() || "/?#@,".contains(character)) {
        return Err(format!("{host:?} is no host"));
    }
    let is_number = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    let port = port.map(|port| port.parse::<u16>().ok().filter(|_| is_number(port)).ok_or("the port is not a number up to 65535"));
    Ok((host.to_owned(), port.transpose()?))
}

#[cfg(test)]
mod tests {
    use super::{Encoding, Endpoint, Place};

    #[test]
    fn an_address_is_read_in_every_form() {
        let tcp = |host: &str| Place::Tcp(host.to_owned());
        let tls = |host: &str| Place::Tls(host.to_owned());
        let unix = |path: &str| Place::Unix(path.into());
        use Encoding::{JsonLines, MessagePack};
        for (text, encoding, place) in [
            ("127.0.0.1:7342", JsonLines, tcp("127.0.0.1:7342")),
            ("tcp://broker.example:7342", JsonLines, tcp("broker.example:7342")),
            ("[::1]:0", JsonLines, tcp("[::1]:0")),
            ("localhost", JsonLines, tcp("localhost:7342")),
            ("localhost:7341", JsonLines, tcp("localhost:7341")),
            ("tcp://localhost", JsonLines, tcp("localhost:7342")),
            ("127.0.0.1", JsonLines, tcp("127.0.0.1:7342")),
            ("::1", JsonLines, tcp("[::1]:7342")),
            ("[::1]", JsonLines, tcp("[::1]:7342")),
            ("tcp://[::1]", JsonLines, tcp("[::1]:7342")),
            ("tcp://::1", JsonLines, tcp("[::1]:7342")),
            ("fe80::1:2", JsonLines, tcp("[fe80::1:2]:7342")),
            ("unix:run/socket", JsonLines, unix("run/socket")),
            ("unix:/a/b", JsonLines, unix("/a/b")),
            ("msgpack+tcp://[::1]:1", MessagePack, tcp("[::1]:1")),
            ("tls://broker.example:7343", JsonLines, tls("broker.example:7343")),
            ("tls://broker.example", JsonLines, tls("broker.example:7342")),
            ("tls://::1", JsonLines, tls("[::1]:7342")),
            ("msgpack+tls://[::1]:1", MessagePack, tls("[::1]:1")),
            ("msgpack+unix:/a", MessagePack, unix("/a")),
        ] {
            assert_eq!(Endpoint::parse(text), Ok(Endpoint { encoding, place }), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_told() {
        for (text, why) in [
            ("", "the host is missing"),
            ("tcp://", "the host is missing"),
            ("localhost:", "not a number up to 65535"),
            ("localhost:+80", "not a number up to 65535"),
            ("a broker", "\"a broker\" is no host"),
            ("user@host:7342", "is no host"),
            ("localhost:7342/path", "not a number up to 65535"),
            ("/run/msgstream.sock", "has \"unix:\" before it"),
            (":7342", "the host is missing"),
            ("tcp://:7342", "the host is missing"),
            ("::1:73421", "in brackets"),
            ("localhost:http", "not a number up to 65535"),
            ("localhost:65536", "not a number up to 65535"),
            ("unix:", "the path is missing"),
            ("http://localhost:7342", "there is no \"http\" transport"),
            ("cbor+tcp://127.0.0.1:1", "there is no \"cbor+tcp\" transport"),
            ("ssl://127.0.0.1:1", "there is no \"ssl\" transport"),
            ("tls://", "the host is missing"),
            ("msgpack+tls://127.0.0.1", "the port is missing"),
            ("msgpack+wss://127.0.0.1:1", "there is no \"msgpack+wss\" transport"),
            ("msgpack+127.0.0.1:1", "behind \"msgpack+\" stands \"tcp://HOST:PORT\""),
            ("msgpack+tcp://unix:/a", "the port is not a number up to 65535"),
            ("msgpack+tcp://127.0.0.1", "the port is missing"),
            ("msgpack+unix:", "the path is missing"),
        ] {
            let error = Endpoint::parse(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
