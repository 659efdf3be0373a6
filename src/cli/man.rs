//! `msgstream man`: the manual pages.

use std::path::PathBuf;

use anyhow::Context;

use super::exit::{Exit, OrExit, Outcome};

/// Write the manual pages into a folder, one for each subcommand
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The folder; created if it does not exist
    directory: PathBuf,
}

pub(crate) fn run(args: &Args, program: clap::Command) -> Outcome {
    let name = || format!("cannot write the manual pages to {}", args.directory.display());
    std::fs::create_dir_all(&args.directory).with_context(name).or_exit(Exit::Io)?;
    clap_mangen::generate_to(program, &args.directory).with_context(name).or_exit(Exit::Io)?;
    Ok(Exit::Fine)
}
