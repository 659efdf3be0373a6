//! The protocols, as bytes: how to greet, listen, publish, and what a broker's answers mean. No sockets here.
//!
//! What is on the path of every message is a [`Template`], the same for all protocols: bytes that are known
//! beforehand, with the stream's digits and the id at fixed places. The rest is read with [`Wire::unit`], which may be slow.

mod lines;
mod message_pack;
mod mqtt;
mod nats;
mod redis;

use anyhow::Result;

use super::args::Protocol;
use super::content::{Content, ID, Kind, id, write_digits};

/// A protocol, as the generator needs it.
pub(crate) trait Wire: Sync {
    /// What messages contain: JSON, unless the protocol has an encoding of its own.
    ///
    /// # Errors
    /// If there is no content of that size.
    fn content(&self, kind: Kind, size: usize) -> Result<Content> {
        Content::json(kind, size)
    }
    /// What a connection says first.
    fn hello(&self) -> Vec<u8>;
    /// Listens to a stream.
    fn listen(&self, stream: usize) -> Vec<u8>;
    /// Hangs up a stream.
    fn hangup(&self, stream: usize) -> Vec<u8>;
    /// Asks for an answer that proves all before it to have taken effect.
    fn ping(&self) -> Vec<u8>;
    /// Answers the broker's ping.
    fn pong(&self) -> &'static [u8] {
        b""
    }
    /// Stores content for those who join later; `None` if the protocol has no such thing.
    fn store(&self, stream: usize, content: &Content) -> Option<Vec<u8>>;
    /// A message as it is published.
    fn published(&self, stream: usize, content: &Content) -> Template;
    /// A message as a listener receives it.
    fn delivered(&self, stream: usize, content: &Content) -> Template;
    /// Whether every published message is answered by [`Unit::Published`].
    fn answers_each(&self) -> bool {
        false
    }
    /// The length and the meaning of the first whole unit of what a broker sent; `None` if it is not whole yet.
    fn unit(&self, bytes: &[u8]) -> Result<Option<(usize, Unit)>>;
}

/// What a broker said.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// A message or a header, with that many bytes.
    Delivered(usize),
    /// The answer to a publication.
    Published,
    /// The answer to a ping.
    Pong,
    /// A ping that wants an answer.
    Ping,
    /// Anything that needs no answer and is no mistake.
    Noise,
    /// A refusal, or an end that nobody asked for.
    Failure(String),
}

/// A whole message on the wire.
#[derive(Debug, Clone)]
pub(crate) struct Template {
    /// All up to and including the id.
    pub(crate) head: Vec<u8>,
    /// All after it.
    pub(crate) tail: Vec<u8>,
    /// Where the stream's digits are.
    pub(crate) stream_at: usize,
}

/// How many digits a stream's name ends with.
pub(crate) const STREAM_DIGITS: usize = 6;
const NAME: &str = "bench.";

impl Template {
    /// Puts content between what the protocol wants around it.
    fn new(before: &str, content: &Content, after: &str) -> Self {
        Self::from_bytes(before.as_bytes(), content, after.as_bytes())
    }

    fn from_bytes(before: &[u8], content: &Content, after: &[u8]) -> Self {
        let stream_at = before.windows(NAME.len()).position(|window| window == NAME.as_bytes()).unwrap_or(0) + NAME.len();
        let head = [before, &content.before, &id(0, 0)].concat();
        Self { head, tail: [&content.after, after].concat(), stream_at }
    }

    /// The bytes of the whole message.
    pub(crate) fn len(&self) -> usize {
        self.head.len() + self.tail.len()
    }

    /// Where the id is.
    pub(crate) fn id_at(&self) -> usize {
        self.head.len() - ID
    }

    /// The whole message.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        [&self.head[..], &self.tail].concat()
    }
}

/// The protocol of that name.
pub(crate) fn of(protocol: Protocol) -> &'static dyn Wire {
    match protocol {
        Protocol::Msgstream => &lines::Lines { relay: false },
        Protocol::Msgpack => &message_pack::MessagePack,
        Protocol::Relay => &lines::Lines { relay: true },
        Protocol::Redis => &redis::Redis,
        Protocol::Nats => &nats::Nats,
        Protocol::Mqtt => &mqtt::Mqtt,
    }
}

/// The name of a stream.
fn name(stream: usize) -> String {
    let mut digits = [b'0'; STREAM_DIGITS];
    write_digits(&mut digits, stream as u64);
    NAME.chars().chain(digits.map(char::from)).collect()
}

/// The first line, without its end, and the length with it.
fn line(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let end = memchr::memchr(b'\n', bytes)?;
    Some((bytes[..end].strip_suffix(b"\r").unwrap_or(&bytes[..end]), end + 1))
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(300)]).into_owned()
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn templates_keep_the_places_of_stream_and_id() {
        for protocol in Protocol::value_variants().iter().copied() {
            let content = of(protocol).content(Kind::Progress, 108).unwrap();
            for template in [of(protocol).published(42, &content), of(protocol).delivered(42, &content)] {
                assert_eq!(&template.head[template.stream_at..][..STREAM_DIGITS], b"000042", "{protocol:?}");
                assert_eq!(&template.head[template.id_at()..], id(0, 0), "{protocol:?}");
            }
        }
    }

    #[test]
    fn delivered_messages_are_units() {
        for protocol in [Protocol::Msgstream, Protocol::Msgpack, Protocol::Redis, Protocol::Nats, Protocol::Mqtt] {
            let content = of(protocol).content(Kind::Curve, 4000).unwrap();
            let bytes = of(protocol).delivered(42, &content).bytes();
            assert_eq!(of(protocol).unit(&bytes[..bytes.len() - 1]).unwrap(), None, "{protocol:?}");
            assert_eq!(of(protocol).unit(&bytes).unwrap(), Some((bytes.len(), Unit::Delivered(bytes.len()))), "{protocol:?}");
        }
    }

    #[test]
    fn answers_are_understood() {
        let cases: [(Protocol, &[u8], Unit); 15] = [
            (Protocol::Msgstream, b"{\"action\":\"pong\"}\n", Unit::Pong),
            (Protocol::Msgstream, b"{\"action\":\"receipt\",\"receipt\":1}\n", Unit::Noise),
            (Protocol::Msgstream, b"{\"action\":\"close\"}\n", Unit::Failure("{\"action\":\"close\"}".into())),
            (Protocol::Msgpack, b"\0\0\0\x0d\x81\xa6action\xa4pong", Unit::Pong),
            (Protocol::Msgpack, b"\0\0\0\x19\x82\xa6action\xa7receipt\xa7receipt\x01", Unit::Noise),
            (Protocol::Msgpack, b"\0\0\0\x0e\x81\xa6action\xa5close", Unit::Failure("action close".into())),
            (Protocol::Msgpack, b"{\"action\":\"close\"}\n", Unit::Failure("{\"action\":\"close\"}\n".into())),
            (Protocol::Redis, b":1\r\n", Unit::Published),
            (Protocol::Redis, b"*2\r\n$4\r\npong\r\n$0\r\n\r\n", Unit::Pong),
            (Protocol::Redis, b"*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n", Unit::Noise),
            (Protocol::Redis, b"-ERR no\r\n", Unit::Failure("-ERR no".into())),
            (Protocol::Nats, b"PING\r\n", Unit::Ping),
            (Protocol::Nats, b"INFO {}\r\n", Unit::Noise),
            (Protocol::Mqtt, &[0xd0, 0], Unit::Pong),
            (Protocol::Mqtt, &[0x20, 2, 0, 5], Unit::Failure("connection refused with code 5".into())),
        ];
        for (protocol, bytes, unit) in cases {
            assert_eq!(of(protocol).unit(bytes).unwrap(), Some((bytes.len(), unit)), "{protocol:?}");
        }
    }
}
