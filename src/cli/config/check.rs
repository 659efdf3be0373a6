//! What a configuration must hold beyond the type of each value, and what to write instead.

use std::fmt::Display;
use std::os::unix::ffi::OsStrExt;

use super::Config;
use crate::broker::settings::{ClientCertificates, NodesSettings, TlsSettings};
use crate::wire::units::{ByteSize, Span};
use crate::wire::{Address, Encoding, Listen, showable};

/// A value that is well-formed and still cannot work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key} = {}: {}", showable(value), showable(reason))]
pub struct BadValue {
    /// The setting.
    pub key: &'static str,
    /// Its value.
    pub value: String,
    /// Why it cannot work, and what would.
    pub reason: String,
}

/// The lowest line limit: about the length of the shortest useful lines, with a name and an id.
const LEAST_LINE: ByteSize = ByteSize(64);

/// The line that shows the longest token, with a receipt.
const LEAST_TOKEN_LINE: usize = 1 << 10;

/// The longest line where MessagePack is spoken: JSON of numbers such as `0.5` takes 9 bytes for 4 there, and 2^32 is the end.
const MOST_PACKED: ByteSize = ByteSize(1 << 30);

/// What an outbox must hold on top of the longest line: the envelope, should it be longer than it came in, and the last line,
/// which says why the connection ends.
const OUTBOX_SLACK: usize = 1 << 10;

/// The longest path of a Unix socket: `sun_path` has 108 bytes, and the last is NUL (see unix(7)).
const LONGEST_UNIX_PATH: usize = 107;

/// Longer names of spaces and nodes help nobody.
const LONGEST_SPACE: usize = 64;
const LONGEST_NODE: usize = 64;

/// Nodes say something once a second, and NATS may pause.
const LEAST_LEASE: Span = Span::from_secs(3);

/// The least log: a few records of the longest kind.
const LEAST_LOG: ByteSize = ByteSize(8 << 20);

/// More threads than this are a typing error: no machine has that many cores.
const MOST_WORKERS: usize = 1024;

/// The most seconds (`TCP_KEEPIDLE`, `TCP_KEEPINTVL`) and the most probes (`TCP_KEEPCNT`) that Linux takes, see tcp(7).
const MOST_KEEPALIVE: Span = Span::from_secs(32767);
const MOST_RETRIES: u32 = 127;

/// The largest value that a socket option or a call takes: a C `int`.
const MOST_INT: usize = i32::MAX as usize;

/// The bad values found so far.
struct BadValues(Vec<BadValue>);

impl BadValues {
    fn unless(&mut self, good: bool, key: &'static str, value: impl Display, reason: impl FnOnce() -> String) {
        if !good {
            self.0.push(BadValue { key, value: value.to_string(), reason: reason() });
        }
    }

    fn some_time(&mut self, key: &'static str, value: Span, because: &str) {
        self.unless(value > Span::from_secs(0), key, value, || format!("{because}; write a time such as \"10s\""));
    }

    fn at_least_one(&mut self, key: &'static str, value: usize, because: &str) {
        self.unless(value >= 1, key, value, || format!("{because}; write 1 or more"));
    }

    /// A total of 0 is chosen by the broker; any other must leave room for a single one.
    fn total(&mut self, key: &'static str, total: ByteSize, one: (&str, ByteSize)) {
        let (name, least) = one;
        let reason =
            || format!("is less than a single {name} may be ({least}); write that or more, or 0 to have it chosen from the memory");
        self.unless(total.0 == 0 || total >= least, key, total, reason);
    }
}

impl Config {
    /// All values that cannot work. [`Config::load`] has checked this already.
    pub fn check(&self) -> Vec<BadValue> {
        let mut bad = BadValues(Vec::new());
        self.check_listen(&mut bad);
        self.check_limits(&mut bad);
        self.check_outbox(&mut bad);
        self.check_nodes(&mut bad);
        self.check_auth(&mut bad);
        self.check_sockets(&mut bad);
        self.check_tls(&mut bad);
        let workers = self.runtime.workers;
        bad.at_least_one("runtime.workers", workers, "nobody would serve the connections");
        bad.unless(workers <= MOST_WORKERS, "runtime.workers", workers, || {
            format!("no machine has that many cores; write at most {MOST_WORKERS}")
        });
        bad.0
    }

    fn check_listen(&self, bad: &mut BadValues) {
        let web: Vec<_> = self.http.listen.iter().cloned().map(Listen::from).collect();
        let all = |of: &[Listen]| format!("[{}]", of.iter().map(|listen| format!("\"{listen}\"")).collect::<Vec<_>>().join(", "));
        bad.unless(!self.listen.is_empty(), "listen", all(&self.listen), || {
            "nobody could connect; write at least one address, such as \"127.0.0.1:7342\"".to_owned()
        });
        let mut earlier: Vec<&Listen> = Vec::new();
        for (key, of) in [("listen", &self.listen), ("http.listen", &web)] {
            for listen in of {
                if let Some(earlier) = earlier.iter().find(|earlier| collide(&earlier.address, &listen.address)) {
                    bad.unless(false, key, all(of), || {
                        let twice = earlier.address == listen.address;
                        let why = if twice { "is listed twice" } else { "has the same port on the same machine" };
                        format!("{listen} {why} (beside {earlier}); leave one of them out")
                    });
                }
                earlier.push(listen);
                if let Some(reason) = self.auth.refusal(listen, self.tls.client_certificates == ClientCertificates::Required) {
                    bad.unless(false, key, all(of), || reason);
                }
                if let Address::Unix(path) = &listen.address {
                    let length = path.as_os_str().as_bytes().len();
                    bad.unless(length <= LONGEST_UNIX_PATH, key, all(of), || {
                        format!("the path of a Unix socket may have {LONGEST_UNIX_PATH} bytes, this one has {length}; choose a shorter one")
                    });
                }
            }
        }
        for (file, key, of) in
            [(&self.port_file, "port_file", ("listen", &self.listen)), (&self.http.port_file, "http.port_file", ("http.listen", &web))]
        {
            let (list, of) = of;
            let Some(path) = file else { continue };
            let has_port = of.iter().any(|listen| listen.address.socket().is_some());
            bad.unless(has_port, key, format!("{path:?}"), || {
                format!("no address in \"{list}\" has a port; add one such as \"127.0.0.1:0\", or remove {key}")
            });
        }
    }

    /// Whether the files can be used is looked at when they are read.
    fn check_tls(&self, bad: &mut BadValues) {
        let TlsSettings { certificate, key, client_ca, client_certificates, .. } = &self.tls;
        let mut addresses = self.listen.iter().map(|listen| &listen.address).chain(&self.http.listen);
        let is_used = addresses.any(|address| matches!(address, Address::Tls(_)));
        for (name, file) in [("tls.certificate", certificate), ("tls.key", key)] {
            bad.unless(!is_used || file.is_some(), name, "\"\"", || {
                "an address in \"listen\" begins with tls://; name a file in PEM, or write tcp:// there".to_owned()
            });
        }
        let is_open = *client_certificates == ClientCertificates::Off;
        bad.unless(is_open || client_ca.is_some(), "tls.client_ca", "\"\"", || {
            "nobody's certificate could be verified; name a file of their authorities, or set tls.client_certificates to \"off\"".to_owned()
        });
        bad.unless(!is_open || client_ca.is_none(), "tls.client_certificates", "\"off\"", || {
            "clients are asked for no certificate, so tls.client_ca keeps nobody out; write \"required\" or \"optional\", or remove tls.client_ca".to_owned()
        });
    }

    fn check_limits(&self, bad: &mut BadValues) {
        let limits = &self.limits;
        bad.unless(limits.line >= LEAST_LINE, "limits.line", limits.line, || {
            format!("no useful line would fit; write at least {LEAST_LINE}")
        });
        let packed = self.listen.iter().any(|Listen { encoding, .. }| *encoding == Encoding::MessagePack);
        bad.unless(!packed || limits.line <= MOST_PACKED, "limits.line", limits.line, || {
            format!(
                "a MessagePack message gives its length in four bytes, and JSON may grow when it is translated; write at most {MOST_PACKED}"
            )
        });
        for (key, value) in [("limits.name", limits.name), ("limits.header", limits.header)] {
            bad.unless(value.0 >= 1, key, value, || "nothing would fit; write 1 or more".to_owned());
            bad.unless(value <= limits.line, key, value, || {
                format!("arrives in one line, and limits.line is {}; write at most that, or raise limits.line", limits.line)
            });
        }
        bad.total("limits.headers_total", limits.headers_total, ("header", limits.header));
        bad.total("limits.unfinished_lines", limits.unfinished_lines, ("line", limits.line));
        bad.at_least_one("limits.streams", limits.streams, "there could be no stream");
        bad.at_least_one("limits.listens", limits.listens, "nobody could listen");
        bad.at_least_one("limits.errors_in_a_row", limits.errors_in_a_row, "every connection would be closed at once");
        let reserve = limits.reserved_descriptors;
        bad.at_least_one("limits.reserved_descriptors", reserve, "no descriptor would be left to tell a client that there is no room");
        bad.some_time("limits.first_line_time", limits.first_line_time, "no first line could be in time");
    }

    fn check_outbox(&self, bad: &mut BadValues) {
        let outbox = &self.outbox;
        let least = ByteSize(self.limits.line.0.saturating_add(OUTBOX_SLACK));
        bad.unless(outbox.limit >= least, "outbox.limit", outbox.limit, || {
            let line = self.limits.line;
            format!("the longest message (limits.line is {line}) could never be delivered; write at least {least}, or lower limits.line")
        });
        bad.total("outbox.total", outbox.total, ("outbox", outbox.limit));
        bad.some_time("outbox.throttle_time", outbox.throttle_time, "publishers would never be held back; set outbox.policy instead");
        bad.some_time("outbox.write_time", outbox.write_time, "every listener would be cut off at once");
        bad.some_time("outbox.drain_time", outbox.drain_time, "nobody would be sent what is queued, nor told why the connection ends");
    }

    fn check_nodes(&self, bad: &mut BadValues) {
        let nodes = &self.nodes;
        let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        let NodesSettings { space, name, replicas, lease, log, .. } = nodes;
        bad.unless(!space.is_empty() && space.len() <= LONGEST_SPACE && plain(space), "nodes.space", format!("{space:?}"), || {
            format!("NATS could not use it; write up to {LONGEST_SPACE} letters, digits, - and _")
        });
        bad.unless(!space.ends_with("-state"), "nodes.space", format!("{space:?}"), || {
            "ends as the stream of a state does in NATS; write another name".to_owned()
        });
        bad.unless(name.len() <= LONGEST_NODE, "nodes.name", format!("{name:?}"), || {
            format!("is too long; write at most {LONGEST_NODE} bytes")
        });
        bad.unless(matches!(replicas, 1 | 3 | 5), "nodes.replicas", replicas, || "NATS keeps 1, 3 or 5; write one of them".to_owned());
        bad.unless(*lease >= LEAST_LEASE, "nodes.lease", lease, || format!("nodes speak once a second; write {LEAST_LEASE} or more"));
        bad.unless(*log >= LEAST_LOG, "nodes.log", log, || format!("the state of the space has to fit beside; write {LEAST_LOG} or more"));
        let is_kept = nodes.is_on() && self.store.path.is_some();
        bad.unless(!is_kept, "store.path", format!("{:?}", self.store.path.as_deref().unwrap_or("".as_ref())), || {
            "the streams of nodes are kept in NATS (nodes.nats); remove one of the two".to_owned()
        });
        for (key, file, other, of) in [
            ("nodes.certificate", &nodes.certificate, "nodes.key", &nodes.key),
            ("nodes.key", &nodes.key, "nodes.certificate", &nodes.certificate),
        ] {
            let is_alone = file.is_some() && of.is_none();
            bad.unless(!is_alone, key, format!("{:?}", file.as_deref().unwrap_or("".as_ref())), || {
                format!("needs {other}; set both or none")
            });
        }
    }

    fn check_auth(&self, bad: &mut BadValues) {
        let auth = &self.auth;
        bad.some_time("auth.time", auth.time, "nobody could say who they are in time");
        bad.at_least_one("auth.waiting", auth.waiting, "nobody could be let in");
        let least = ByteSize(LEAST_TOKEN_LINE);
        bad.unless(auth.tokens.is_none() || self.limits.line >= least, "limits.line", self.limits.line, || {
            format!("the line that shows a token (auth.tokens) would not fit; write at least {least}")
        });
    }

    fn check_sockets(&self, bad: &mut BadValues) {
        let tcp = &self.tcp;
        let least = Span::from_secs(1);
        for (key, value) in [("tcp.keepalive_time", tcp.keepalive_time), ("tcp.keepalive_interval", tcp.keepalive_interval)] {
            bad.unless((least..=MOST_KEEPALIVE).contains(&value), key, value, || {
                format!("the system takes whole seconds from 1 to {}; write one of them, such as \"60s\"", MOST_KEEPALIVE.0.as_secs())
            });
        }
        bad.unless((1..=MOST_RETRIES).contains(&tcp.keepalive_retries), "tcp.keepalive_retries", tcp.keepalive_retries, || {
            format!("the system takes 1 to {MOST_RETRIES}")
        });
        let buffer = tcp.send_buffer;
        bad.unless(buffer.0 <= MOST_INT, "tcp.send_buffer", buffer, || "the system takes less than 2GiB; write less, or 0".to_owned());
        let backlog = tcp.backlog as usize;
        bad.unless((1..=MOST_INT).contains(&backlog), "tcp.backlog", backlog, || format!("the system takes 1 to {MOST_INT}"));
        let timeout = tcp.user_timeout;
        bad.unless(timeout.0.as_millis() <= MOST_INT as u128, "tcp.user_timeout", timeout, || {
            "the system takes less than 24 days".to_owned()
        });
        let mode = self.unix.mode;
        bad.unless(mode & 0o222 != 0, "unix.mode", format!("\"{mode:04o}\""), || {
            "nobody could connect, which needs the right to write; write a mode such as \"0660\"".to_owned()
        });
    }
}

/// Whether the second of two addresses could not be bound: it is the same, or one of both stands for all addresses of the machine.
/// Port 0 never collides, since each gets a port of its own.
fn collide(earlier: &Address, later: &Address) -> bool {
    match (earlier.socket(), later.socket()) {
        (None, None) => earlier == later,
        (Some(earlier), Some(later)) => {
            let port = earlier.port() != 0 && earlier.port() == later.port();
            let family = earlier.is_ipv4() == later.is_ipv4();
            port && (earlier == later || family && (earlier.ip().is_unspecified() || later.ip().is_unspecified()))
        }
        (None, Some(_)) | (Some(_), None) => false,
    }
}
