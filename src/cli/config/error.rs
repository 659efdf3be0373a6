//! Errors of a configuration. Their texts say how to repair it without looking anything up.

use std::fmt;
use std::io;

use super::BadValue;
use crate::tls::cure;
use crate::wire::{holds_secret, showable, without_passwords};

/// The configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {}: {source}{}", showable(file), cure(source))]
    Unreadable {
        /// Its path, as given.
        file: String,
        /// Why.
        source: io::Error,
    },
    /// The file is not TOML.
    #[error("{file} is not valid TOML:\n{reason}")]
    Syntax {
        /// Its path, as given.
        file: String,
        /// Where and why, over several lines.
        reason: String,
    },
    /// All that is wrong with keys and values.
    #[error("the configuration is not valid:{}", .0.iter().map(|problem| format!("\n  {problem}")).collect::<String>())]
    Invalid(Vec<Problem>),
    /// All that is wrong now that sockets were handed in.
    #[error("the sockets that were handed in and the configuration do not fit:{}", .0.iter().map(|bad| format!("\n  {bad}")).collect::<String>())]
    Sockets(Vec<BadValue>),
    /// The list of settings and their types disagree, which is a mistake in this program.
    #[error("the configuration cannot be put together: {0}")]
    Unexpected(String),
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// An unknown key.
    UnknownKey {
        /// The key, with its section.
        key: String,
        /// The file.
        file: String,
        /// The known key that is most like it.
        nearest: &'static str,
    },
    /// A variable that looks like a setting and is not.
    UnknownVariable {
        /// Its name.
        name: String,
        /// The known variable that is most like it.
        nearest: String,
    },
    /// A value that cannot be used.
    BadValue {
        /// The key, with its section.
        key: String,
        /// The value, as given.
        value: String,
        /// Where the value comes from: "in FILE", "from VARIABLE", "from --flag", "by default".
        origin: String,
        /// Why, and what would be right.
        reason: String,
    },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownKey { key, file, .. } if holds_secret(key) => write!(f, "unknown key in {file} {}", showable(key)),
            Self::UnknownKey { key, file, nearest } => write!(f, "unknown key {key:?} in {file}; did you mean {nearest:?}?"),
            Self::UnknownVariable { name, nearest } => {
                write!(f, "unknown variable {name} in the environment; did you mean {nearest}?")
            }
            Self::BadValue { key, value, origin, reason } => {
                let [key, value, reason] = [key, value, reason].map(|text| without_passwords(showable(text)));
                write!(f, "{key} = {value} ({origin}): {reason}")
            }
        }
    }
}
