//! Where log events go: standard error, as text or as JSON.

use std::io::{self, IsTerminal};

use crate::cli::config::{LogFormat, LogLevel, LogSettings};
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::layer;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Registry, registry, reload};

/// Events that may wait to be written.
const QUEUE: usize = 10_000;

/// The log of the process.
pub(crate) struct Log {
    level: reload::Handle<Targets, Registry>,
}

impl Log {
    /// Starts logging for the whole process, for as long as the guard that it returns is held.
    ///
    /// Events are written by a thread of their own: a reader that stalls or has gone must not hold up or end the broker. Events that
    /// do not fit into the queue to that thread are dropped.
    ///
    /// Colours are used on terminals only, and not if `NO_COLOR` is set to anything (see no-color.org).
    pub(crate) fn start(settings: &LogSettings) -> (Self, WorkerGuard) {
        let colours = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let (writer, guard) = NonBlockingBuilder::default().buffered_lines_limit(QUEUE).finish(io::stderr());
        let (level, handle) = reload::Layer::new(filter(settings.level));
        // A line that cannot be written must not be reported on the same broken stream: that would make the caller panic.
        let lines = layer().with_writer(writer).with_ansi(colours).log_internal_errors(false);
        match settings.format {
            LogFormat::Text => registry().with(level).with(lines.with_target(false)).init(),
            LogFormat::Json => registry().with(level).with(lines.json().flatten_event(true)).init(),
        }
        (Self { level: handle }, guard)
    }

    /// From now on this is the minimum severity.
    pub(crate) fn set_level(&self, level: LogLevel) {
        // It fails only if the process's subscriber is gone.
        let _ = self.level.reload(filter(level));
    }
}

/// What the library that speaks to NATS says would not be understood beside the broker's own words, which say the same.
const NOT_OURS: &str = "async_nats";

fn filter(level: LogLevel) -> Targets {
    let level = match level {
        LogLevel::Off => LevelFilter::OFF,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    Targets::new().with_default(level).with_target(NOT_OURS, LevelFilter::OFF)
}
