//! The protocols, as bytes: how to greet, listen, publish, and what a broker's answers mean. No sockets here.
//!
//! What is on the path of every message is a [`Template`](template::Template), the same for all protocols: bytes that are known
//! beforehand, with the stream's digits and the id at fixed places. The rest is read with [`Dialect::unit`], which may be slow.

mod dialect;
mod events;
mod lines;
mod message_pack;
mod mqtt;
mod nats;
mod protocol;
mod redis;
mod template;
mod unit;

use super::carried::By;
pub(crate) use dialect::Dialect;
pub(crate) use protocol::Protocol;
pub(crate) use template::STREAM_DIGITS;
pub(crate) use unit::Unit;

/// The protocol of that name.
pub(crate) fn of(protocol: Protocol) -> &'static dyn Dialect {
    match protocol {
        Protocol::Msgstream => &lines::Lines { relay: false },
        Protocol::Msgpack => &message_pack::Msgpack,
        Protocol::Relay => &lines::Lines { relay: true },
        Protocol::Redis => &redis::Redis,
        Protocol::Nats => &nats::Nats,
        Protocol::Mqtt => &mqtt::Mqtt,
        Protocol::Nchan => &events::Nchan,
    }
}

/// What listeners speak that are connected so; `None` if the protocol has no such listeners.
pub(crate) fn heard(protocol: Protocol, by: By) -> Option<&'static dyn Dialect> {
    match (protocol, by) {
        (Protocol::Nchan, By::Socket) => None,
        (_, By::Socket) | (Protocol::Msgstream | Protocol::Mqtt | Protocol::Nchan, By::Websocket) | (Protocol::Nchan, By::Events) => {
            Some(of(protocol))
        }
        (Protocol::Msgstream, By::Events) => Some(&events::Events),
        (Protocol::Msgpack | Protocol::Redis | Protocol::Nats | Protocol::Relay, By::Websocket)
        | (Protocol::Msgpack | Protocol::Redis | Protocol::Nats | Protocol::Relay | Protocol::Mqtt, By::Events) => None,
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::super::content::{ContentKind, id};
    use super::*;

    #[test]
    fn templates_keep_the_places_of_stream_and_id() {
        for protocol in Protocol::value_variants().iter().copied() {
            let content = of(protocol).content(ContentKind::Progress, 108).unwrap();
            for template in [of(protocol).published(42, &content), of(protocol).delivered(42, &content)] {
                assert_eq!(&template.head[template.stream_at..][..STREAM_DIGITS], b"000042", "{protocol:?}");
                assert_eq!(&template.head[template.id_at()..], id(0, 0), "{protocol:?}");
            }
        }
    }

    #[test]
    fn delivered_messages_are_units() {
        for protocol in [Protocol::Msgstream, Protocol::Msgpack, Protocol::Redis, Protocol::Nats, Protocol::Mqtt, Protocol::Nchan] {
            let content = of(protocol).content(ContentKind::Curve, 4000).unwrap();
            let bytes = of(protocol).delivered(42, &content).bytes();
            assert_eq!(of(protocol).unit(&bytes[..bytes.len() - 1]).unwrap(), None, "{protocol:?}");
            assert_eq!(of(protocol).unit(&bytes).unwrap(), Some((bytes.len(), Unit::Delivered(bytes.len()))), "{protocol:?}");
        }
    }

    #[test]
    fn answers_are_understood() {
        let cases: [(Protocol, &[u8], Unit); 17] = [
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
            (Protocol::Nchan, b"HTTP/1.1 201 Created\r\nContent-Length: 3\r\n\r\nok\n", Unit::Published),
            (
                Protocol::Nchan,
                b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
                Unit::Failure("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n".into()),
            ),
            (Protocol::Mqtt, &[0x20, 2, 0, 5], Unit::Failure("connection refused with code 5".into())),
        ];
        for (protocol, bytes, unit) in cases {
            assert_eq!(of(protocol).unit(bytes).unwrap(), Some((bytes.len(), unit)), "{protocol:?}");
        }
    }
}
