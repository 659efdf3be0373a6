//! Where log events go: standard error, as text or as JSON.

use std::io::{self, IsTerminal};

use crate::cli::config::{LogFormat, LogLevel, LogSettings};
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::LevelFilter;

/// Events that may wait to be written.
const QUEUE: usize = 10_000;

/// Starts logging for the whole process, for as long as what it returns is held.
///
/// Events are written by a thread of their own: a reader that stalls or has gone must not hold up or end the broker. Events that
/// do not fit into the queue to that thread are dropped.
///
/// Colours are used on terminals only, and not if `NO_COLOR` is set to anything (see no-color.org).
pub(crate) fn start(settings: &LogSettings) -> WorkerGuard {
    let level = match settings.level {
        LogLevel::Off => LevelFilter::OFF,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let colours = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let (writer, guard) = NonBlockingBuilder::default().buffered_lines_limit(QUEUE).finish(io::stderr());
    // A line that cannot be written must not be reported on the same broken stream: that would make the caller panic.
    let subscriber = tracing_subscriber::fmt().with_writer(writer).with_max_level(level).with_ansi(colours).log_internal_errors(false);
    match settings.format {
        LogFormat::Text => subscriber.with_target(false).init(),
        LogFormat::Json => subscriber.json().flatten_event(true).init(),
    }
    guard
}
