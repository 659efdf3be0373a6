//! What keeps the broker busy: bursts of bytes, and the same for those who are compared with it. No sockets here.

use super::super::content::{ContentKind, LoadContent, id};
use super::super::wire::Protocol;
use super::super::workload::Workload;

/// One write, as much as a broker reads at once, and what it brings about.
pub(crate) struct Burst {
    /// What the connection says before its first burst.
    pub(crate) greeting: Vec<u8>,
    /// One message, to learn what a listener receives.
    pub(crate) sample: Vec<u8>,
    pub(crate) bytes: Vec<u8>,
    /// Messages in it, each for every listener.
    pub(crate) messages: u64,
    /// Pings in it, of which the last is at its end.
    pub(crate) pings: u64,
    /// Whether it is meant to be answered by errors.
    pub(crate) is_wrong: bool,
}

/// What is written at once.
const BURST: usize = 64 << 10;
const BIG: usize = 1 << 20;
/// One below where the broker would close the connection.
const ERRORS_IN_A_ROW: usize = 63;

impl Burst {
    /// The burst of a work in a protocol, of which `ping` is the ping. All protocols send as many messages as fit into
    /// [`BURST`] as lines of JSON.
    pub(crate) fn new(protocol: Protocol, work: Workload, ping: Vec<u8>) -> Self {
        let verbose = protocol == Protocol::Nats && work == Workload::Receipts;
        let greeting = if verbose { b"CONNECT {\"verbose\":true,\"pedantic\":false,\"echo\":true}\r\n".to_vec() } else { Vec::new() };
        let none = Self { greeting, sample: Vec::new(), bytes: Vec::new(), messages: 0, pings: 0, is_wrong: false };
        match work {
            Workload::Nothing => none,
            Workload::Errors => {
                let wrong = if protocol == Protocol::Redis { &b"x\r\n"[..] } else { b"x\n" };
                let group = [&wrong.repeat(ERRORS_IN_A_ROW), &ping[..]].concat();
                let count = BURST / group.len();
                Self { bytes: group.repeat(count), pings: count as u64, is_wrong: true, ..none }
            }
            Workload::Puts | Workload::Receipts | Workload::Headers | Workload::Alternating | Workload::Big | Workload::Translation => {
                let content = content(work);
                let count = (BURST / message(Protocol::Msgstream, work, "a", &content).len()).max(1);
                let each: Vec<_> = work.streams().iter().map(|stream| message(protocol, work, stream, &content)).collect();
                let mut bytes: Vec<u8> = each.iter().cycle().take(count).flatten().copied().collect();
                bytes.extend(ping);
                Self { sample: each[0].clone(), bytes, messages: count as u64, pings: 1, ..none }
            }
        }
    }
}

/// The content of each message, in JSON.
fn content(work: Workload) -> Vec<u8> {
    let made = |kind, size| LoadContent::json(kind, size).map(|content| content.with_id(id(0, 0)));
    match work {
        Workload::Big => made(ContentKind::Text, BIG),
        Workload::Translation => made(ContentKind::Progress, 108),
        Workload::Nothing | Workload::Puts | Workload::Receipts | Workload::Headers | Workload::Alternating | Workload::Errors => {
            Ok(b"1".to_vec())
        }
    }
    .unwrap_or_default()
}

/// One message, with what the work wants to be done with it.
fn message(protocol: Protocol, work: Workload, stream: &str, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let (before, after) = match protocol {
        Protocol::Redis => (format!("*3\r\n$7\r\nPUBLISH\r\n$1\r\n{stream}\r\n${length}\r\n"), "\r\n"),
        Protocol::Nats => (format!("PUB {stream} {length}\r\n"), "\r\n"),
        Protocol::Msgstream | Protocol::Msgpack | Protocol::Mqtt | Protocol::Nchan | Protocol::Relay => {
            let extra = match work {
                Workload::Receipts => ",\"receipt\":1}\n",
                Workload::Headers => ",\"header\":1}\n",
                Workload::Nothing | Workload::Puts | Workload::Alternating | Workload::Errors | Workload::Big | Workload::Translation => {
                    "}\n"
                }
            };
            (format!("{{\"action\":\"put\",\"stream\":\"{stream}\",\"message\":"), extra)
        }
    };
    let header = match protocol {
        Protocol::Redis if work == Workload::Headers => format!("*3\r\n$3\r\nSET\r\n$1\r\n{stream}\r\n$1\r\n1\r\n"),
        Protocol::Nats if work == Workload::Headers => format!("PUB header.{stream} 1\r\n1\r\n"),
        Protocol::Redis | Protocol::Nats | Protocol::Msgstream | Protocol::Msgpack | Protocol::Mqtt | Protocol::Nchan | Protocol::Relay => {
            String::new()
        }
    };
    [header.as_bytes(), before.as_bytes(), content, after.as_bytes()].concat()
}

/// What a listener says to listen to the streams.
pub(crate) fn listens(protocol: Protocol, streams: &[&str]) -> Vec<Vec<u8>> {
    let listen = |(number, stream): (usize, &&str)| match protocol {
        Protocol::Redis => format!("*2\r\n$9\r\nSUBSCRIBE\r\n$1\r\n{stream}\r\n").into_bytes(),
        Protocol::Nats => format!("SUB {stream} {number}\r\n").into_bytes(),
        Protocol::Msgpack => [&b"\0\0\0\x18\x82\xa6action\xa6listen\xa6stream\xa1"[..], stream.as_bytes()].concat(),
        Protocol::Msgstream | Protocol::Mqtt | Protocol::Nchan | Protocol::Relay => {
            format!("{{\"action\":\"listen\",\"stream\":\"{stream}\"}}\n").into_bytes()
        }
    };
    streams.iter().enumerate().map(listen).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_fits_into_one_read_and_ends_with_a_ping() {
        let ping = b"{\"action\":\"ping\"}\n";
        for (work, least) in [
            (Workload::Puts, 1400),
            (Workload::Receipts, 1000),
            (Workload::Headers, 1100),
            (Workload::Alternating, 1400),
            (Workload::Big, 1),
        ] {
            let burst = Burst::new(Protocol::Msgstream, work, ping.to_vec());
            assert!(burst.messages >= least, "{work:?}: {}", burst.messages);
            assert!(burst.bytes.len() <= BURST + ping.len() || work == Workload::Big, "{work:?}: {}", burst.bytes.len());
            assert!(burst.bytes.ends_with(ping), "{work:?}");
            let other = Burst::new(Protocol::Nats, work, b"PING\r\n".to_vec());
            assert_eq!(other.messages, burst.messages, "{work:?}");
        }
    }

    #[test]
    fn errors_are_broken_by_pings() {
        let burst = Burst::new(Protocol::Msgstream, Workload::Errors, b"p\n".to_vec());
        let lines: Vec<_> = burst.bytes.split_inclusive(|byte| *byte == b'\n').collect();
        assert_eq!(lines.len() as u64, burst.pings * 64);
        assert!(lines.chunks(64).all(|group| group[..63].iter().all(|line| *line == b"x\n") && group[63] == b"p\n"));
    }

    #[test]
    fn alternating_messages_alternate() {
        let burst = Burst::new(Protocol::Nats, Workload::Alternating, Vec::new());
        assert!(burst.bytes.starts_with(b"PUB a 1\r\n1\r\nPUB b 1\r\n1\r\nPUB a 1\r\n"));
    }
}
