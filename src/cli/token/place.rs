//! Where the tokens are.

use std::path::PathBuf;

use clap::builder::{OsStringValueParser, TypedValueParser};

/// The variable that names the file, unless the option does.
pub(crate) const VARIABLE: &str = "MSGSTREAM_AUTH__TOKENS";

const DEFAULT: &str = "/etc/msgstream/tokens.toml";

/// Reads the path. An empty variable counts as unset, and an empty option is a mistake: another file would be changed.
fn file() -> impl TypedValueParser<Value = PathBuf> {
    let is_unset = || std::env::var_os(VARIABLE).is_some_and(|value| value.is_empty());
    OsStringValueParser::new().try_map(move |path| match path.is_empty() {
        true if is_unset() => Ok(PathBuf::from(DEFAULT)),
        true => Err("the path is empty; leave the option out for the default"),
        false => Ok(PathBuf::from(path)),
    })
}

/// The flag for it.
#[derive(Debug, clap::Args)]
pub(super) struct Place {
    /// The file of the tokens
    #[arg(long, value_name = "FILE", env = VARIABLE, default_value = DEFAULT, value_parser = file())]
    pub(super) file: PathBuf,
}
