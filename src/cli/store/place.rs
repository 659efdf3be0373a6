//! Where the store is, and how what is wrong with it ends the program.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::broker::store::StoreError;
use crate::cli::exit::{Exit, Failure};

/// The argument for it.
#[derive(Debug, clap::Args)]
pub(super) struct Place {
    /// The file of the store
    #[arg(value_name = "PATH", value_hint = clap::ValueHint::FilePath)]
    pub(super) path: PathBuf,
}

/// Since 1970.
pub(super) fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Each kind has its code.
pub(super) fn failure(error: StoreError) -> Failure {
    let exit = match &error {
        StoreError::Held(_) => Exit::Unavailable,
        StoreError::Damaged { .. } | StoreError::NotAStore(_) | StoreError::Newer(_) | StoreError::Replaced(_) => Exit::Failed,
        StoreError::NoDirectory(_)
        | StoreError::Missing(_)
        | StoreError::NotPermitted(..)
        | StoreError::ReadOnly(_)
        | StoreError::Full(..)
        | StoreError::Running(_)
        | StoreError::Io(..) => Exit::Io,
    };
    Failure { exit, error: error.into() }
}
