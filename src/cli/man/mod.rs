//! `msgstream man`: the manual pages.

mod page;

use std::fs;
use std::path::PathBuf;

use anyhow::Context;

use super::exit::{Exit, OrExit, Outcome};

/// Write the manual pages into a directory, one per subcommand
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The directory; created if it does not exist
    directory: PathBuf,
}

pub(crate) fn run(args: &Args, program: clap::Command) -> Outcome {
    let name = || format!("cannot write the manual pages to {}", args.directory.display());
    fs::create_dir_all(&args.directory).with_context(name).or_exit(Exit::Io)?;
    // It has no page of its own.
    let mut program = program.disable_help_subcommand(true);
    program.build();
    // Those that are hidden are for the program itself.
    for command in program.get_subcommands().filter(|command| !command.is_hide_set()).chain([&program]) {
        let page = page::of(command).with_context(name).or_exit(Exit::Io)?;
        fs::write(args.directory.join(format!("{}.1", page::name(command))), page).with_context(name).or_exit(Exit::Io)?;
    }
    Ok(Exit::Fine)
}
