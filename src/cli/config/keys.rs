//! The one list of settings: their names and what a value of each looks like.

use config::{ConfigError, Map, Value, ValueKind};

use super::log::{LogFormat, LogLevel};
use crate::broker::settings::{ClientCertificates, UnixSettings};
use crate::wire::units::{ByteSize, Span};
use crate::wire::{Address, Listen};

/// What a value looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ValueType {
    Addresses,
    /// Addresses without an encoding.
    WebAddresses,
    /// Sites, as browsers write them.
    Origins,
    /// Addresses of NATS servers.
    NatsServers,
    /// A text, such as this one.
    Text(&'static str),
    /// A path, such as this one.
    Path(&'static str),
    OneOf(&'static [&'static str]),
    Size,
    Time,
    /// A whole number, and the largest that there may be.
    Count(u64),
    Switch,
    Mode,
}

/// Every setting there is. A test proves that it is equal to the fields of [`Config`](super::Config).
pub(super) const KEYS: [(&str, ValueType); 60] = [
    ("listen", ValueType::Addresses),
    ("port_file", ValueType::Path("/run/msgstream/port")),
    ("log.format", ValueType::OneOf(&LogFormat::NAMES)),
    ("log.level", ValueType::OneOf(&LogLevel::NAMES)),
    ("limits.line", ValueType::Size),
    ("limits.name", ValueType::Size),
    ("limits.header", ValueType::Size),
    ("limits.headers_total", ValueType::Size),
    ("limits.streams", ValueType::Count(usize::MAX as u64)),
    ("limits.ended_time", ValueType::Time),
    ("limits.listens", ValueType::Count(usize::MAX as u64)),
    ("limits.sessions", ValueType::Count(usize::MAX as u64)),
    ("limits.session_time", ValueType::Time),
    ("limits.connections", ValueType::Count(usize::MAX as u64)),
    ("limits.reserved_descriptors", ValueType::Count(usize::MAX as u64)),
    ("limits.errors_in_a_row", ValueType::Count(usize::MAX as u64)),
    ("limits.first_line_time", ValueType::Time),
    ("limits.unfinished_lines", ValueType::Size),
    ("outbox.limit", ValueType::Size),
    ("outbox.total", ValueType::Size),
    ("outbox.policy", ValueType::OneOf(&["disconnect", "throttle"])),
    ("outbox.throttle_time", ValueType::Time),
    ("outbox.write_time", ValueType::Time),
    ("outbox.drain_time", ValueType::Time),
    ("outbox.drain_limit", ValueType::Time),
    ("replay.stream", ValueType::Size),
    ("replay.total", ValueType::Size),
    ("replay.time", ValueType::Time),
    ("store.path", ValueType::Path("/var/lib/msgstream/store.redb")),
    ("store.interval", ValueType::Time),
    ("nodes.nats", ValueType::NatsServers),
    ("nodes.space", ValueType::Text("lab")),
    ("nodes.name", ValueType::Text("north")),
    ("nodes.replicas", ValueType::Count(5)),
    ("nodes.credentials", ValueType::Path("/etc/msgstream/nats.creds")),
    ("nodes.ca", ValueType::Path("/etc/msgstream/nats-ca.pem")),
    ("nodes.certificate", ValueType::Path("/etc/msgstream/node.pem")),
    ("nodes.key", ValueType::Path("/etc/msgstream/node-key.pem")),
    ("nodes.lease", ValueType::Time),
    ("nodes.log", ValueType::Size),
    ("auth.tokens", ValueType::Path("/etc/msgstream/tokens.toml")),
    ("auth.allow_anonymous", ValueType::Switch),
    ("auth.time", ValueType::Time),
    ("auth.waiting", ValueType::Count(usize::MAX as u64)),
    ("tcp.send_buffer", ValueType::Size),
    ("tcp.no_delay", ValueType::Switch),
    ("tcp.keepalive_time", ValueType::Time),
    ("tcp.keepalive_interval", ValueType::Time),
    ("tcp.keepalive_retries", ValueType::Count(u32::MAX as u64)),
    ("tcp.user_timeout", ValueType::Time),
    ("tcp.backlog", ValueType::Count(u32::MAX as u64)),
    ("unix.mode", ValueType::Mode),
    ("tls.certificate", ValueType::Path("/etc/msgstream/broker.pem")),
    ("tls.key", ValueType::Path("/etc/msgstream/broker-key.pem")),
    ("tls.client_ca", ValueType::Path("/etc/msgstream/clients.pem")),
    ("tls.client_certificates", ValueType::OneOf(&ClientCertificates::NAMES)),
    ("http.listen", ValueType::WebAddresses),
    ("http.origins", ValueType::Origins),
    ("http.port_file", ValueType::Path("/run/msgstream/http-port")),
    ("runtime.workers", ValueType::Count(usize::MAX as u64)),
];

/// Names that people try because other programs have them, and the setting that they mean.
const OTHER_NAMES: [(&str, &str); 5] =
    [("port", "listen"), ("bind", "listen"), ("address", "listen"), ("host", "listen"), ("threads", "runtime.workers")];

/// The names of all settings, with their sections: `listen`, `outbox.limit`, ...
pub fn known_keys() -> impl Iterator<Item = &'static str> {
    KEYS.iter().map(|(key, _)| *key)
}

/// The environment variable of a setting: `outbox.limit` is `MSGSTREAM_OUTBOX__LIMIT`.
pub fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "__").to_ascii_uppercase())
}

/// What every variable begins with.
pub(super) const PREFIX: &str = "MSGSTREAM_";

pub(super) fn is_section(name: &str) -> bool {
    known_keys().any(|key| key.split_once('.').is_some_and(|(section, _)| section == name))
}

/// Variables of clients, which the broker passes over.
const OF_CLIENTS: [&str; 8] = ["server", "ca", "certificate", "key", "token", "token_file", "bin", "stream"];

/// The variable that a person may have meant by an unknown one, without its prefix. None if it does not look like a mistyped
/// setting: variables of clients begin alike, and later ones may have names that are not known here.
pub(super) fn mistyped(unknown: &str) -> Option<String> {
    let lower = unknown.to_ascii_lowercase();
    if lower == "config" {
        return Some("the flag --config".to_owned());
    }
    if OF_CLIENTS.contains(&&*lower) || lower.starts_with("client_") {
        return None;
    }
    let nearest = nearest(unknown);
    let plain = lower.replace("__", "_");
    let plain = plain.trim_start_matches('_');
    let starts_as = |key: &str| plain.strip_prefix(key).is_some_and(|rest| rest.starts_with('_'));
    let is_below = known_keys().filter_map(|key| key.split('.').next()).any(starts_as);
    let is_close = |name: &str| strsim::damerau_levenshtein(plain, &name.replace('.', "_")) <= 1 + name.len() / 8;
    let is_alike = is_close(nearest) || nearest.split_once('.').is_some_and(|(_, name)| is_close(name));
    let is_other = OTHER_NAMES.iter().any(|(name, _)| *name == lower);
    (lower.contains("__") || is_below || is_alike || is_other).then(|| variable(nearest))
}

/// The known key that is most like an unknown one. A right name in a wrong section counts as nearly right.
pub(super) fn nearest(unknown: &str) -> &'static str {
    let unknown = unknown.to_ascii_lowercase().replace("__", ".").replace('-', "_");
    if let Some((_, key)) = OTHER_NAMES.iter().find(|(name, _)| *name == unknown) {
        return key;
    }
    let last = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
    let distance = |key: &&str| {
        // A dot and an underscore are one mistake away from another in a variable's name, so they count as equal.
        let whole = strsim::damerau_levenshtein(&unknown.replace('.', "_"), &key.replace('.', "_"));
        let name = strsim::damerau_levenshtein(&last(&unknown), &last(key));
        (whole.min(name + 1), whole)
    };
    known_keys().min_by_key(distance).unwrap_or_default()
}

impl ValueType {
    /// Whether it is several texts, which a variable separates by commas.
    pub(super) fn is_list(self) -> bool {
        matches!(self, Self::Addresses | Self::WebAddresses | Self::Origins | Self::NatsServers)
    }

    /// A value as an error may show it: without the passwords of NATS.
    pub(super) fn shown(self, value: &Value) -> Value {
        let hide = |item: &Value| match &item.kind {
            ValueKind::String(text) => Value::new(None, shown_server(text)),
            _ => item.clone(),
        };
        match &value.kind {
            ValueKind::Array(items) if self == Self::NatsServers => Value::new(None, items.iter().map(hide).collect::<Vec<_>>()),
            ValueKind::String(_) if self == Self::NatsServers => hide(value),
            _ => value.clone(),
        }
    }

    /// Why a value cannot be used, if so.
    ///
    /// Stricter than the deserializer underneath, which takes `true` for 1, rounds 1.5, and reads a TOML `0o660` as decimal.
    pub(super) fn fault(self, value: &Value) -> Option<String> {
        let text = match &value.kind {
            ValueKind::String(text) => Some(text.as_str()),
            _ => None,
        };
        match self {
            Self::Addresses => {
                texts_fault(value, "address", "127.0.0.1:7342", |text| text.parse::<Listen>().err().map(|error| error.to_string()))
            }
            Self::WebAddresses => {
                texts_fault(value, "address", "127.0.0.1:7380", |text| text.parse::<Address>().err().map(|error| error.to_string()))
            }
            Self::Origins => texts_fault(value, "site", "https://lab.example.org", origin_fault),
            Self::Path(example) => text.is_none().then(|| format!("is not a path: write a text such as {example:?}")),
            Self::OneOf(names) => {
                let known = text.is_some_and(|text| names.contains(&text));
                (!known).then(|| format!("is not one of {}", names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ")))
            }
            Self::Size => value.clone().try_deserialize::<ByteSize>().err().map(reason),
            Self::Time => value.clone().try_deserialize::<Span>().err().map(reason),
            Self::Count(most) => {
                let number = match (&value.kind, text) {
                    (ValueKind::I64(number), _) => u64::try_from(*number).ok(),
                    (ValueKind::U64(number), _) => Some(*number),
                    (_, Some(text)) => text.parse::<u64>().ok(),
                    (_, None) => None,
                };
                let range = if most == usize::MAX as u64 { "0 up".to_owned() } else { format!("0 to {most}") };
                let reason = || format!("is not a whole number from {range}: write digits only, such as 64");
                number.is_none_or(|number| number > most).then(reason)
            }
            Self::NatsServers => texts_fault(value, "NATS server", "nats://127.0.0.1:4222", nats_fault),
            Self::Text(example) => text.is_none().then(|| format!("is not a text: write it in quotes, such as {example:?}")),
            Self::Switch => {
                let known = matches!(value.kind, ValueKind::Boolean(_)) || text.is_some_and(|text| ["true", "false"].contains(&text));
                (!known).then(|| "is neither true nor false: write one of them, in a file without quotes".to_owned())
            }
            Self::Mode if text.is_none() => Some("is not a text: write the mode in octal and in quotes, such as \"0660\"".to_owned()),
            Self::Mode => {
                let section = Value::new(None, Map::from_iter([("mode".to_owned(), value.clone())]));
                section.try_deserialize::<UnixSettings>().err().map(reason)
            }
        }
    }
}

/// What is wrong with a list of texts, each of which is a `what`, such as the example.
fn texts_fault(value: &Value, what: &str, example: &str, fault: impl Fn(&str) -> Option<String>) -> Option<String> {
    let ValueKind::Array(items) = &value.kind else {
        return Some(format!("is not a list: write it in brackets, such as [{example:?}]"));
    };
    items.iter().find_map(|item| match &item.kind {
        ValueKind::String(text) => fault(text),
        other => Some(format!("{other} is not a {what}: write a text such as {example:?}").replace("a address", "an address")),
    })
}

/// What is wrong with a site: browsers name it by scheme, host and port, and by nothing else.
fn origin_fault(text: &str) -> Option<String> {
    let host = ["http://", "https://"].iter().find_map(|scheme| text.strip_prefix(scheme));
    let is_good = host.is_some_and(|host| {
        let host = host.strip_suffix('/').unwrap_or(host);
        !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte))
    });
    (!is_good).then(|| {
        format!("{text:?} is not a site: write http:// or https://, a host and, if it has one, a port, such as \"https://lab.example.org\"")
    })
}

/// What is wrong with the address of a NATS server. It may hold a password, which is not repeated.
fn nats_fault(text: &str) -> Option<String> {
    if text.contains('@') {
        return Some("one holds a name or a password: write that into a file, and name it in nodes.credentials".to_owned());
    }
    let server = ["nats://", "tls://"].iter().find_map(|scheme| text.strip_prefix(scheme));
    let is_good = server.is_some_and(|server| {
        // An IPv6 address has colons of its own.
        let (host, port) = match server.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, Some(port)),
            _ => (server, None),
        };
        let is_host = !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte));
        is_host && port.is_none_or(|port| port.parse::<u16>().is_ok())
    });
    (!is_good).then(|| {
        "one is not the address of a NATS server: write nats:// or tls://, a host and a port, such as \"nats://127.0.0.1:4222\"".to_owned()
    })
}

/// The address of a NATS server as it may be shown, or what somebody took for one.
fn shown_server(text: &str) -> String {
    let scheme = text.find("://").map_or("", |at| &text[..at + 3]);
    match text.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}...@{host}"),
        // A password without a host.
        None if !scheme.is_empty() && nats_fault(text).is_some() => format!("{scheme}..."),
        None => text.to_owned(),
    }
}

/// The plain reason, without the key and the origin that are reported beside it.
pub(super) fn reason(error: ConfigError) -> String {
    match error {
        ConfigError::At { error, .. } => reason(*error),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_key_is_what_a_person_meant() {
        for (unknown, meant) in [
            ("outbox.limt", "outbox.limit"),
            ("outbox_limit", "outbox.limit"),
            ("outbox.line", "limits.line"),
            ("workers", "runtime.workers"),
            ("log_level", "log.level"),
            ("limits.max-streams", "limits.streams"),
            ("Listen", "listen"),
            ("port", "listen"),
            ("tcp.nodelay", "tcp.no_delay"),
        ] {
            assert_eq!(nearest(unknown), meant, "{unknown}");
        }
    }

    #[test]
    fn a_variable_has_two_underscores_below_its_section() {
        assert_eq!(variable("port_file"), "MSGSTREAM_PORT_FILE");
        assert_eq!(variable("outbox.limit"), "MSGSTREAM_OUTBOX__LIMIT");
    }
}
