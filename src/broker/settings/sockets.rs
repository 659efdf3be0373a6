//! The settings of the sockets: `[tcp]`, `[unix]`, `[runtime]`.

use serde::de::{self, Deserialize, Deserializer};

use crate::wire::setters;
use crate::wire::units::{ByteSize, Span};

/// The `[tcp]` section: options of every TCP connection, in the system's terms.
///
/// ```
/// # use msgstream::broker::{Settings, TcpSettings};
/// # use msgstream::units::ByteSize;
/// let settings = Settings::default().tcp(TcpSettings::default().send_buffer(ByteSize(64 << 10)));
/// assert!(settings.tcp.no_delay, "what is not named has its default");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct TcpSettings {
    /// What the kernel may hold for a connection beyond its outbox (`SO_SNDBUF`). 0: the kernel decides, and may hold megabytes for a
    /// listener that does not read. Default: 256 KiB.
    pub send_buffer: ByteSize,
    /// Send small messages at once (`TCP_NODELAY`). Default: on.
    pub no_delay: bool,
    /// Idle time before the first keepalive probe. Default: 60 s.
    pub keepalive_time: Span,
    /// Time between keepalive probes. Default: 10 s.
    pub keepalive_interval: Span,
    /// Unanswered probes after which an idle peer is gone. Default: 6.
    pub keepalive_retries: u32,
    /// How long sent data may stay unacknowledged before the peer is gone (`TCP_USER_TIMEOUT`). Never less
    /// than `outbox.write_time` and `outbox.drain_time` together, which end a slow connection with a reason. Default: 30 s.
    pub user_timeout: Span,
    /// Connections that may wait to be accepted. Default: 1,024.
    pub backlog: u32,
}

impl Default for TcpSettings {
    fn default() -> Self {
        Self {
            send_buffer: ByteSize(256 << 10),
            no_delay: true,
            keepalive_time: Span::from_secs(60),
            keepalive_interval: Span::from_secs(10),
            keepalive_retries: 6,
            user_timeout: Span::from_secs(30),
            backlog: 1024,
        }
    }
}

/// The `[unix]` section.
///
/// ```
/// # use msgstream::broker::{Settings, UnixSettings};
/// // Everybody on this machine may connect.
/// let settings = Settings::default().unix(UnixSettings::default().mode(0o666));
/// assert_eq!(UnixSettings::default().mode, 0o660);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct UnixSettings {
    /// The socket file's mode, in octal: who may connect. Default: `0660`, the owner and the group.
    #[serde(deserialize_with = "octal")]
    pub mode: u32,
}

impl Default for UnixSettings {
    fn default() -> Self {
        Self { mode: 0o660 }
    }
}

fn octal<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let text = String::deserialize(deserializer)?;
    let mode = u32::from_str_radix(text.trim_start_matches("0o"), 8).ok().filter(|mode| *mode <= 0o777);
    mode.ok_or_else(|| de::Error::custom(format!("{text:?} is not a mode: write it in octal, such as \"0660\"")))
}

/// The `[runtime]` section. It is for the program that creates the runtime: a [`Server`](crate::broker::Server) runs on the current
/// one.
///
/// ```
/// # use msgstream::broker::RuntimeSettings;
/// let workers = RuntimeSettings::default().workers;
/// assert_eq!(workers, 1, "no message waits for another core");
/// let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build()?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct RuntimeSettings {
    /// Threads that serve connections. 1 is fastest and cheapest as long as one core can do the work. Default: 1.
    pub workers: usize,
}

impl Default for RuntimeSettings {
    fn default() -> Self {
        Self { workers: 1 }
    }
}

setters! {
    "msgstream::{broker::*, units::*}";
    TcpSettings {
        send_buffer: ByteSize, "ByteSize(64 << 10)";
        no_delay: bool, "false";
        keepalive_time: Span, "Span::from_secs(5)";
        keepalive_interval: Span, "Span::from_secs(5)";
        keepalive_retries: u32, "3";
        user_timeout: Span, "Span::from_secs(60)";
        backlog: u32, "100";
    }
}

setters! {
    "msgstream::broker::*";
    UnixSettings {
        mode: u32, "0o666";
    }
}

setters! {
    "msgstream::broker::*";
    RuntimeSettings {
        workers: usize, "4";
    }
}
