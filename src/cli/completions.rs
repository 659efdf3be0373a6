//! `msgstream completions`: what a shell needs to complete this program's command line.

use super::exit::{Exit, Outcome};
use super::standard::print;

/// Print the completions for a shell
///
/// For bash, as an example: msgstream completions bash > ~/.local/share/bash-completion/completions/msgstream
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The shell
    shell: clap_complete::Shell,
}

pub(crate) fn run(args: &Args, mut program: clap::Command) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut program, "msgstream", &mut script);
    print(&script)?;
    Ok(Exit::Fine)
}
