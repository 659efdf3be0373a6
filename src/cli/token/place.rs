//! Where the tokens are.

use std::path::PathBuf;

use clap::builder::{OsStringValueParser, TypedValueParser};

/// The variable that names the file, unless the option does.
pub(crate) const VARIABLE: &str = "MSGSTREAM_AUTH__TOKENS";

const DEFAULT: &str = "/etc/msgstream/tokens.toml";

/// Reads the path. An empty variable counts as unset.
fn file() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().map(|path| PathBuf::from(if path.is_empty() { DEFAULT.into() } else { path }))
}

/// The flag for it.
#[derive(Debug, clap::Args)]
pub(super) struct Place {
    /// The file of the tokens
    #[arg(long, value_name = "FILE", env = VARIABLE, default_value = DEFAULT, value_parser = file())]
    pub(super) file: PathBuf,
}
