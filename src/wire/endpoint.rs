//! Addresses as people write them: one grammar for the broker, which listens there, and for clients, which connect.
//!
//! An address is `HOST:PORT`, `tcp://HOST:PORT` or `unix:/PATH`; the prefix of an encoding may stand
//! before the latter two. A further transport is a scheme in [`Place::parse`].

use std::path::PathBuf;

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
    /// The path of a Unix socket.
    Unix(PathBuf),
}

/// Makes [`Encoding`] from the table, so that every encoding has a prefix and stands in `ALL`.
macro_rules! encodings {
    ($($(#[$doc:meta])* $encoding:ident: $prefix:literal, $name:literal;)*) => {
        /// What is spoken at an address.
        ///
        /// ```
        /// # use msgstream::broker::{Encoding, Listen};
        /// assert_eq!("127.0.0.1:7342".parse::<Listen>()?.encoding, Encoding::JsonLines);
        /// assert_eq!("msgpack+tcp://127.0.0.1:7343".parse::<Listen>()?.encoding, Encoding::MessagePack);
        /// # Ok::<(), msgstream::broker::BadAddress>(())
        /// ```
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        pub enum Encoding {
            $($(#[$doc])* $encoding,)*
        }

        impl Encoding {
            /// Every encoding.
            const ALL: &[Self] = &[$(Self::$encoding),*];

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
    JsonLines: "", "JSON lines";
    /// MessagePack, each message behind its length.
    MessagePack: "msgpack+", "MessagePack";
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
            return Err(format!("behind {:?} stands \"tcp://HOST:PORT\" or \"unix:/PATH\"", encoding.prefix()));
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
        match text.split_once("://") {
            None => host_and_port(text),
            Some(("tcp", host)) => host_and_port(host),
            Some((scheme, _)) => Err(format!("there is no \"{}{scheme}\" transport", encoding.prefix())),
        }
        .map(|host| Self::Tcp(host.to_owned()))
    }
}

fn host_and_port(text: &str) -> Result<&str, String> {
    let why = match text.rsplit_once(':') {
        // A colon within the brackets of an IPv6 address does not begin a port.
        Some((_, rest)) if rest.ends_with(']') => "the port is missing",
        Some(("", _)) => "the host is missing",
        Some((host, _)) if host.contains(':') && !(host.starts_with('[') && host.ends_with(']')) => {
            "an IPv6 address stands in brackets before its port, as in [::1]:7342"
        }
        Some((_, port)) if port.parse::<u16>().is_err() => "the port is not a number up to 65535",
        Some(_) => return Ok(text),
        None => "the port is missing",
    };
    Err(why.to_owned())
}

#[cfg(test)]
mod tests {
    use super::{Encoding, Endpoint, Place};

    #[test]
    fn an_address_is_read_in_every_form() {
        let tcp = |host: &str| Place::Tcp(host.to_owned());
        let unix = |path: &str| Place::Unix(path.into());
        use Encoding::{JsonLines, MessagePack};
        for (text, encoding, place) in [
            ("127.0.0.1:7342", JsonLines, tcp("127.0.0.1:7342")),
            ("tcp://broker.example:7342", JsonLines, tcp("broker.example:7342")),
            ("[::1]:0", JsonLines, tcp("[::1]:0")),
            ("unix:/a/b", JsonLines, unix("/a/b")),
            ("msgpack+tcp://[::1]:1", MessagePack, tcp("[::1]:1")),
            ("msgpack+unix:/a", MessagePack, unix("/a")),
        ] {
            assert_eq!(Endpoint::parse(text), Ok(Endpoint { encoding, place }), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_told() {
        for (text, why) in [
            ("localhost", "the port is missing"),
            ("[::1]", "the port is missing"),
            ("", "the port is missing"),
            (":7342", "the host is missing"),
            ("tcp://:7342", "the host is missing"),
            ("::1:7342", "in brackets"),
            ("localhost:http", "not a number up to 65535"),
            ("localhost:65536", "not a number up to 65535"),
            ("unix:", "the path is missing"),
            ("http://localhost:7342", "there is no \"http\" transport"),
            ("cbor+tcp://127.0.0.1:1", "there is no \"cbor+tcp\" transport"),
            ("msgpack+tls://127.0.0.1:1", "there is no \"msgpack+tls\" transport"),
            ("msgpack+127.0.0.1:1", "behind \"msgpack+\" stands \"tcp://HOST:PORT\""),
            ("msgpack+tcp://unix:/a", "the port is not a number"),
            ("msgpack+tcp://127.0.0.1", "the port is missing"),
            ("msgpack+unix:", "the path is missing"),
        ] {
            let error = Endpoint::parse(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
