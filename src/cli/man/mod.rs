//! `msgstream man`: the manual pages.

mod page;
mod roff;
mod surroundings;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::exit::{Exit, OrExit, Outcome};

/// Write the manual pages into a directory, one per subcommand, such as msgstream-token-new.1
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The directory; created if it does not exist
    directory: PathBuf,
}

pub(crate) fn run(args: &Args, program: clap::Command) -> Outcome {
    let name = || format!("cannot write the manual pages to {}", args.directory.display());
    fs::create_dir_all(&args.directory).with_context(name).or_exit(Exit::Io)?;
    // It has no page of its own, here or below.
    let mut program = program.disable_help_subcommand(true);
    program.build();
    write(&program, &args.directory).with_context(name).or_exit(Exit::Io)?;
    Ok(Exit::Fine)
}

/// Writes the page of a command, and those of the commands below it. Those that are hidden are for the program itself.
fn write(command: &clap::Command, directory: &Path) -> io::Result<()> {
    fs::write(directory.join(format!("{}.1", page::name(command))), page::of(command)?)?;
    command.get_subcommands().filter(|command| !command.is_hide_set()).try_for_each(|command| write(command, directory))
}
