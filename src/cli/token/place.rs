//! Where the tokens are.

use std::path::PathBuf;

/// The flag for it.
#[derive(Debug, clap::Args)]
pub(super) struct Place {
    /// The file of the tokens
    #[arg(long, value_name = "FILE", env = "MSGSTREAM_AUTH__TOKENS", default_value = "/etc/msgstream/tokens.toml")]
    pub(super) file: PathBuf,
}
