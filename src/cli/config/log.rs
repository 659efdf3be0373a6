//! The `[log]` section of the configuration.

use serde::Deserialize;

/// What is logged, and how. The log goes to standard error.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogSettings {
    /// Lines for people or objects for machines. Text.
    pub format: LogFormat,
    /// The minimum severity to log. Info.
    pub level: LogLevel,
}

/// How an event is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// A line for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// The minimum severity to log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Nothing.
    Off,
    /// What the operator must repair.
    Error,
    /// What may need attention: a listener was cut off, a limit was met.
    Warn,
    /// The life of the broker: it listens, it drains, it ends.
    #[default]
    Info,
    /// The life of each connection.
    Debug,
    /// The same as `debug`: there are no such events yet.
    Trace,
}

impl LogFormat {
    /// The names that the configuration takes.
    pub const NAMES: [&str; 2] = ["text", "json"];
}

impl LogLevel {
    /// The names that the configuration takes, from nothing to everything.
    pub const NAMES: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
}
