//! Where log events go: standard error, as text or as JSON.

use std::io::{self, IsTerminal};

use msgstream::config::{LogFormat, LogLevel, LogSettings};
use tracing_subscriber::filter::LevelFilter;

/// Starts logging for the whole process.
///
/// Colours are for terminals only, and for nobody who sets `NO_COLOR` to anything (see no-color.org).
pub(crate) fn start(settings: &LogSettings) {
    let level = match settings.level {
        LogLevel::Off => LevelFilter::OFF,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let colours = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let subscriber = tracing_subscriber::fmt().with_writer(io::stderr).with_max_level(level).with_ansi(colours);
    // A line that cannot be written must not be told on the same broken stream: that would panic, whoever logged it.
    let subscriber = subscriber.log_internal_errors(false);
    match settings.format {
        LogFormat::Text => subscriber.with_target(false).init(),
        LogFormat::Json => subscriber.json().flatten_event(true).init(),
    }
}
